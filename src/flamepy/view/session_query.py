"""Which sessions, in which order: filter, sort and page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from typing import Any, TypeVar

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

T = TypeVar("T")
MOST_ROWS = 1_000  # of one page


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions, in which order.

    Attributes:
        text: part of the id or the application's name, in any case.
        application: the name.
        state: ``open``, ``closed``, or a level of a reason, such as ``attention``.
        sort: a column of ``SessionRow``, or a state of tasks; ``-`` before it turns the order.
        offset, limit: which part of it.

    Raises:
        InvalidArgumentError: a column or a state has no such name, or a number is out of range.
    """

    text: str = ""
    application: str = ""
    state: str = ""
    sort: str = "-created"
    offset: int = 0
    limit: int = 50

    def __post_init__(self) -> None:
        check_choice("sort", self.sort.removeprefix("-"), SORTS)
        check_choice("state", self.state, ("", *STATES))
        check_window(self.offset, self.limit)


SORTS = (
    *("id", "application", "state", "created", "total", "pending", "running", "succeed", "failed"),
    *("cancelled", "progress", "rate", "idle", "executors"),
)
STATES = ("open", "closed", "running", "waiting", "idle", "done", "attention")


def check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Check a word of a query.

    Raises:
        InvalidArgumentError: names the word and those that are allowed.
    """
    if value not in allowed:
        names = ", ".join(one for one in allowed if one)
        raise InvalidArgumentError(f"{name} must be one of {names}; got {repr_of(value)}")


def check_window(offset: int, limit: int) -> None:
    """Check which part of a list is asked for.

    Raises:
        InvalidArgumentError: names the number and the rule.
    """
    if offset < 0:
        raise InvalidArgumentError(f"offset must be a whole number >= 0, got {offset}")
    if not 0 <= limit <= MOST_ROWS:
        raise InvalidArgumentError(f"limit must be 0 to {MOST_ROWS}, got {limit}")


def part_of(
    found: list[T],
    key: Callable[[T], Any],  # Any: what can be compared
    *,
    descending: bool,
    offset: int,
    limit: int,
) -> list[T]:
    """Return a part of a sorted list, without sorting what comes after it."""
    end = offset + limit
    if end * 8 < len(found):
        return (nlargest if descending else nsmallest)(end, found, key=key)[offset:]
    return sorted(found, key=key, reverse=descending)[offset:end]
