"""``event.memo``: a dictionary that lives as long as a task, or a session, is known. Pure.

The record of a task has it, events refer to the record. It is made at its first use, on any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_making: dict[tuple[int, str], Any] = {}  # what is about to be set, by owner; Any: of each type


def make_once(owner: object, name: str, make: Callable[[], T]) -> T:
    """Return an attribute, made and set if it is missing or None; one for all threads.

    There is no lock, for a signal handler may come at any moment: threads that make it at the same
    time get one value by ``setdefault``, which is atomic. The value leaves ``_making`` after it was
    set, so that a thread that comes too late to get it there finds it set.

    Args:
        owner: what has it; it may be frozen.
        name: the attribute's.
        make: makes it; calls nothing of a user's.
    """
    key = (id(owner), name)
    made: T = _making.setdefault(key, make())
    known: T | None = getattr(owner, name, None)
    if known is None:
        object.__setattr__(owner, name, made)
        known = made
    _making.pop(key, None)
    return known


class MemoHolder:
    """What has a memo: the store's record of a task or of a session.

    A pickle or a deep copy of it is another one, with an empty memo.
    """

    __slots__ = ("_memo",)

    _memo: dict[Any, Any]  # Any: whatever handlers keep

    @property
    def memo(self) -> dict[Any, Any]:  # Any: as above
        """The dictionary, the same one at each use, from any thread."""
        try:
            return self._memo
        except AttributeError:
            return make_once(self, "_memo", dict)

    def __reduce__(self) -> tuple[type[MemoHolder], tuple[()]]:
        return MemoHolder, ()
