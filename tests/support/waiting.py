"""Waiting for a condition, with a limit."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str = "the condition", limit: float = 30.0) -> T:
    """Return ``condition()`` once it is true; fail after ``limit`` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}; last: {value!r}")
        threading.Event().wait(0.02)
