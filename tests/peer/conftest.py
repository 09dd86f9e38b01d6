"""The official SDK in an environment of its own, made once and kept in ``.cache``.

It cannot live beside this library: both are called ``flamepy``.
"""

from __future__ import annotations

import pytest
from support import pythons

VERSION = "0.6.0"


def sdk(version: str) -> str:
    """Return a Python of a version that has the official SDK."""
    packages = [f"flamepy=={VERSION}", "numpy", "pandas", "polars"]
    return pythons.environment(version, f"official-{VERSION}", packages)


@pytest.fixture(scope="session")
def official() -> str:
    """Return the Python that has the official SDK, of the version that runs the tests."""
    return sdk(pythons.THIS)


@pytest.fixture(scope="session", params=pythons.oldest_and_newest())
def official_of_each(request: pytest.FixtureRequest) -> str:
    """Return the same of the oldest and of the newest Python here."""
    return sdk(request.param)
