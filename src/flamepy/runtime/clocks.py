"""The machine's clocks, whatever a test does to ``time``. Imports nothing of flamepy.

Libraries for tests freeze or move the clocks of module ``time``: ``time.time``, and some of them
``time.monotonic``, also where it was imported by name. A wait that is counted by such a clock never
ends, or is over at once. So flamepy counts by ``monotonic``, its loops do (``loops``), and gRPC,
which counts deadlines from ``time.time()``, is given a ``Timeout``.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

# The longest wait that everything can count: gRPC is over at once with a deadline after the year
# 2262, and threads refuse more than TIMEOUT_MAX, which sums of a few waits must not reach either.
LONGEST = min(1e9, threading.TIMEOUT_MAX / 4)  # seconds
TOLERANCE = 0.05  # seconds between two clocks that are taken for one
_REALTIME = 0  # CLOCK_REALTIME, on every Unix


def _choose() -> Callable[[], float]:
    """Return what reads the clock of ``time.monotonic`` and is not that function."""
    # On macOS CLOCK_MONOTONIC is another clock: it runs on while the machine sleeps.
    number = getattr(time, "CLOCK_UPTIME_RAW" if sys.platform == "darwin" else "CLOCK_MONOTONIC", 0)
    if not number:
        return time.monotonic  # Windows
    return partial(time.clock_gettime, number)  # no call of Python's at all


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Wall:
    """The machine's wall clock, read past Python: its readers are what tests replace."""

    def __init__(self) -> None:
        self._offset = 0.0  # of the wall clock to the monotonic one, when it was last read
        self._library: ctypes.CDLL | None = None
        try:
            library = ctypes.CDLL(None)
            library.clock_gettime.argtypes = [ctypes.c_int, ctypes.POINTER(_Timespec)]
        except (OSError, AttributeError, TypeError):
            return  # Windows: there ``time.time`` is believed
        self._library = library

    def now(self, shown: float) -> float:
        """Return the wall clock's seconds; ``shown`` is what ``time.time`` has just returned."""
        if self._library is None or abs(monotonic() + self._offset - shown) <= TOLERANCE:
            return shown
        found = _Timespec()
        if self._library.clock_gettime(_REALTIME, ctypes.byref(found)) != 0:
            return shown
        now = found.seconds + found.nanoseconds / 1e9
        self._offset = now - monotonic()  # it may have been set
        return now if abs(now - shown) > TOLERANCE else shown


monotonic = _choose()
_wall = _Wall()


def bounded(seconds: float | None) -> float | None:
    """Return seconds that a thread can wait; None, which is no limit, stays."""
    return None if seconds is None else min(max(0.0, seconds), LONGEST)


def wall() -> float:
    """Return the seconds since the epoch, by the machine's clock."""
    return _wall.now(float("inf"))


class Timeout(float):
    """Seconds for gRPC, which adds them to ``time.time()``: the sum is right if that is not."""

    def __radd__(self, now: float) -> float:
        """Return the deadline; a float on the left asks here first, for this is a subclass."""
        return _wall.now(now) + float(self)
