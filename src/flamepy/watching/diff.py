"""What differs between two pictures of the engine. Pure functions.

``store`` asks what a new picture of a session means; ``hub`` asks which tasks a list lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from flamepy.types import SessionInfo, SessionState
from flamepy.watching.events import SessionEventKind, Window


class Seen(Protocol):
    """What ``missing`` needs of a task record."""

    @property
    def seen_at(self) -> float:
        """When the first observation of the task had arrived (loop seconds)."""


def session_changes(old: SessionInfo | None, new: SessionInfo) -> list[SessionEventKind]:
    """Return what happened between two pictures of one session, in order.

    A session first seen closed was opened and closed: both are told.
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


def missing(known: Mapping[int, Seen], listed: Collection[int], window: Window) -> Iterable[int]:
    """Return the ids that a complete list lacks although they were known before it was sent.

    A task made while the list was under way may lack for that reason alone, so absence counts
    only for what was seen before; the caller confirms it with GetTask.
    """
    return [
        number
        for number, record in known.items()
        if number not in listed and record.seen_at <= window.start
    ]
