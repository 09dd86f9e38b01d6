"""The official SDK in an environment of its own, made once and kept in ``.cache``.

It cannot live beside this library: both are called ``flamepy``.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

VERSION = "0.6.0"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def official() -> str:
    """Return the Python that has the official SDK."""
    tag = f"official-{VERSION}-py{sys.version_info.major}{sys.version_info.minor}"
    folder = ROOT / ".cache" / tag
    python = folder / "bin" / "python"
    ready = folder / "ready-2"  # the number grows with what is installed
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        wanted = [f"flamepy=={VERSION}", "numpy", "pandas", "polars"]
        command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            pytest.fail(f"flamepy {VERSION} could not be installed: {done.stderr[-800:]}")
        ready.touch()
    return str(python)
