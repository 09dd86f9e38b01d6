"""A headless Chromium. Where there is none these tests are left out, and the report says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)


def missing() -> str:
    """Return what these tests lack; "" where they can run."""
    try:
        import playwright  # noqa: F401
        from axe_playwright_python import base  # noqa: F401
    except ImportError:
        return "playwright and axe-playwright-python (pip install playwright axe-playwright-python)"
    return "" if CHROMIUM else "Chromium (apt install chromium)"


LEFT_OUT = missing()
collect_ignore = ["test_pages.py", "test_scale.py"] if LEFT_OUT else []


def pytest_report_header() -> str:
    return f"browser tests: left out, for they need {LEFT_OUT}" if LEFT_OUT else ""


@pytest.fixture(
    scope="module"
)  # not longer: its loop counts as running in this thread as long as it is
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.getuid() == 0 else []
        )
        yield made
        made.close()
