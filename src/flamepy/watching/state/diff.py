"""What differs between two pictures of the engine. Pure functions.

``store`` asks what a new picture of a session means; ``reader`` asks which tasks a list lacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Protocol

from flamepy.types import Event, SessionInfo, SessionState
from flamepy.watching.state.events import SessionEventKind, Window


class Seen(Protocol):
    """What ``missing`` needs of a task record: its id, and when it was first observed."""

    number: int
    seen_at: float


def session_changes(old: SessionInfo | None, new: SessionInfo) -> list[SessionEventKind]:
    """Return what happened between two pictures of one session, in order.

    A session first seen closed was opened and closed: both are delivered.
    """
    kinds: list[SessionEventKind] = []
    if old is None:
        kinds.append(SessionEventKind.OPENED)
    elif old.counts != new.counts:
        kinds.append(SessionEventKind.PROGRESS)
    was_closed = old is not None and old.state == SessionState.CLOSED
    if new.state == SessionState.CLOSED and not was_closed:
        kinds.append(SessionEventKind.CLOSED)
    return kinds


def engine_events(old: Iterable[Event], new: Iterable[Event]) -> list[Event]:
    """Return what the engine has recorded of a session since, in its order.

    Equal records count: a bind that fails twice in one millisecond failed twice.
    """
    left = Counter(old)
    fresh = []
    for event in new:
        if left[event]:
            left[event] -= 1
        else:
            fresh.append(event)
    return fresh


def is_drained(info: SessionInfo) -> bool:
    """Return True if every task in a session's counters has ended, and there are some."""
    return info.counts.total > 0 and info.counts.total == info.counts.terminal


def missing(known: Iterable[Seen], shown: Container[int], window: Window) -> list[int]:
    """Return the numbers that a complete list lacks although they were known before it was sent.

    A task made while the list was in flight may lack for that reason alone, so absence counts
    only for what was seen before; the caller confirms it with GetTask.

    Args:
        known: the records of the session.
        shown: the numbers that the list has.
        window: the list's.
    """
    return [one.number for one in known if one.number not in shown and one.seen_at <= window.start]
