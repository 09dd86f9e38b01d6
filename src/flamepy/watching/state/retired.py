"""The terminal states of tasks that left the store: one byte each. Pure.

Ids are dense, so a bytearray holds them; an id far beyond the others goes into a dict.
"""

from __future__ import annotations

from collections.abc import Iterator

from flamepy.types import TaskState

_GAP = 65_536
_BITS = 3
_MASK = 0b111


class Retired:
    """The ends of one session's retired tasks, by number.

    A byte holds the delivered end and, after a drift, the other state that the engine showed last.
    """

    __slots__ = ("_bytes", "_far", "end")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._far: dict[int, int] = {}
        self.end = float("-inf")  # when the last of them was observed

    def add(self, number: int, delivered: TaskState, shown: TaskState, end: float) -> None:
        """Remember how a task ended, as delivered and as last shown, and when that was observed."""
        self._set(number, _code(delivered))
        if shown != delivered:
            self.show(number, shown)
        self.end = max(self.end, end)

    def delivered(self, number: int) -> TaskState | None:
        """Return how a task ended; None if it is not retired."""
        code = self._get(number) & _MASK
        return TaskState(code - 1) if code else None

    def shown(self, number: int) -> TaskState | None:
        """Return the state in which the engine showed it last."""
        code = self._get(number)
        code = code >> _BITS or code & _MASK
        return TaskState(code - 1) if code else None

    def states(self) -> Iterator[TaskState]:
        """Yield the state in which the engine showed each of them last."""
        for code in (*self._bytes, *self._far.values()):
            if code:
                yield TaskState((code >> _BITS or code & _MASK) - 1)

    def show(self, number: int, state: TaskState) -> None:
        """Record the state in which the engine shows it now."""
        self._set(number, self._get(number) & _MASK | _code(state) << _BITS)

    def _get(self, number: int) -> int:
        if self._far and number in self._far:  # also when the bytes have reached it since
            return self._far[number]
        return self._bytes[number] if number < len(self._bytes) else 0

    def _set(self, number: int, code: int) -> None:
        length = len(self._bytes)
        if number >= length + _GAP:
            self._far[number] = code
            return
        if number >= length:
            self._bytes.extend(bytes(number + 1 - length))
        self._far.pop(number, None)
        self._bytes[number] = code


def _code(state: TaskState) -> int:
    return min(int(state), 5) + 1
