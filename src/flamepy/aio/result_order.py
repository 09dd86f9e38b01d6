"""In which order results are handed on: as the inputs came, or as the tasks ended. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple


class Result(NamedTuple):
    """What became of one input.

    Attributes:
        place: the input's, from 0.
        value: what is handed on; the output of a task for ``map``.
        error: instead of it.
        fatal: the error is not this input's alone: nothing more will be made.
    """

    place: int
    value: Any = None  # Any: what the caller makes of a task
    error: BaseException | None = None
    fatal: bool = False


class InOrder:
    """Holds back what came before its turn."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Result] = {}

    def add(self, result: Result) -> list[Result]:
        """Add a result; return those whose turn has come."""
        if result.place != self._next:
            self._held[result.place] = result
            return []
        turn = [result]
        self._next += 1
        while self._held and (held := self._held.pop(self._next, None)) is not None:
            turn.append(held)
            self._next += 1
        return turn


class AsCompleted:
    """Holds nothing back."""

    def add(self, result: Result) -> list[Result]:
        """Return it."""
        return [result]
