"""``ReadAhead``: how many inputs of a ``map`` are read ahead of the results that were taken. Pure.

A number of the caller's own stays as it is. Otherwise it begins with ``FIRST`` and doubles while a
whole window of tasks ends within a moment, so that one list of the session shows the ends of many;
where they take longer it shrinks, so that a caller who leaves early leaves few tasks. The bytes of
inputs and outputs bound it in any case. ``mapping`` and ``core.mapping`` ask.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final, Literal

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

Window = int | Literal["auto"]
AUTO: Final = "auto"
FIRST = 2048  # tasks
LEAST, MOST = 16, 65_536
FAST, SLOW = 2.0, 10.0  # seconds in which as many end as are ahead: it grows, it shrinks
MEMORY = 64 << 20  # bytes of inputs and outputs
OVERHEAD = 1024  # bytes of memory for each task
MEAN = 1 / 16  # weight of one size in the mean of the recent ones


def check_window(window: object) -> Window:
    """Return it. Raises InvalidArgumentError."""
    if window == AUTO:
        return AUTO
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise InvalidArgumentError(
            f"window must be a whole number of tasks, 1 or more, or {AUTO!r}, got {repr_of(window)}"
        )
    return window


class ReadAhead:
    """The number of inputs that may be without a taken result.

    Args:
        window: the caller's own number, or ``"auto"``.
        now: monotonic seconds.

    Attributes:
        limit: the number.
    """

    __slots__ = ("_ended", "_fixed", "_input", "_output", "_since", "_window", "limit")

    def __init__(self, window: Window, now: float) -> None:
        self._fixed = window != AUTO
        self._window = self.limit = FIRST if window == AUTO else window
        self._input = self._output = 0.0  # bytes of one, recently
        self._ended, self._since = 0, now

    def read(self, payload: object) -> None:
        """Record an input."""
        if not self._fixed and isinstance(payload, Sized):
            self._input += (len(payload) - self._input) * MEAN

    def taken(self, value: object, now: float) -> None:
        """Record a result that was taken."""
        if self._fixed:
            return
        size = len(value) if isinstance(value, (bytes, bytearray, memoryview)) else 0
        self._output += (size - self._output) * MEAN
        self._ended += 1
        if self._ended >= self._window:
            self._follow(now - self._since)
            self._ended, self._since = 0, now
        self.limit = min(self._window, self._by_memory())

    def _follow(self, took: float) -> None:
        if took < FAST:
            self._window = min(MOST, 2 * self._window)
        elif took > SLOW:
            self._window = max(FIRST // 2, self._window // 2)

    def _by_memory(self) -> int:
        return max(LEAST, int(MEMORY / (OVERHEAD + self._input + self._output)))
