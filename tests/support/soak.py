"""The longer forms of tests: ``make soak`` sets ``FLAME_SOAK``."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
SOAK = bool(os.environ.get("FLAME_SOAK"))


def scaled(usual: T, soak: T) -> T:
    """Return how much of something a test does: as usual, or in a soak."""
    return soak if SOAK else usual
