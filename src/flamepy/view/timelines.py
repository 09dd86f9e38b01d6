"""Observed states of the latest tasks, and the feed of what just happened. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from flamepy.types import SessionState
from flamepy.view.rows import FeedRow, Transition
from flamepy.watching.state.events import (
    EventKind,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

TEXT_LENGTH = 300  # characters
BURST = 2.0  # seconds: like events so soon after the first one become one line
_QUIET = (SessionEventKind.PROGRESS,)

TaskKey = tuple[str, int, str]  # session id, epoch, task id


class Timelines:
    """The transitions of the tasks that changed last.

    Args:
        limit: tasks at most; the one that changed longest ago is dropped first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: OrderedDict[TaskKey, list[Transition]] = OrderedDict()
        self.dropped = 0

    def add(self, event: TaskEvent, at: float, late: float | None) -> None:
        """Record what an event showed."""
        key = event.task.session_id, event.epoch, event.task.id
        known = self._tasks.setdefault(key, [])
        self._tasks.move_to_end(key)
        gone = event.kind is EventKind.DELETED
        state = "deleted" if gone else event.task.state.name.lower()
        if not known or known[-1].state != state:
            known.append(
                Transition(
                    state=state, at=at, source=event.source.value, late=late, initial=event.initial
                )
            )
        if len(self._tasks) > self._limit:
            self._tasks.popitem(last=False)
            self.dropped += 1

    def of(self, session_id: str, task_id: str) -> list[Transition]:
        """Return what was observed of a task, of the newest session of that id; oldest first."""
        found = [key for key in self._epochs(session_id, task_id) if key in self._tasks]
        return list(self._tasks[found[-1]]) if found else []

    def _epochs(self, session_id: str, task_id: str) -> Iterator[TaskKey]:
        epoch = misses = 0
        while misses < 8:  # epochs of one id follow each other
            key = (session_id, epoch, task_id)
            misses = 0 if key in self._tasks else misses + 1
            yield key
            epoch += 1


class Feed:
    """The latest lines; of a burst of like events one line has the number.

    Args:
        limit: lines at most.
    """

    def __init__(self, limit: int) -> None:
        self._lines: deque[FeedRow] = deque(maxlen=limit)
        # Of the latest line of each kind its id, and when it began.
        self._last: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._next = 1

    def task_event(self, event: TaskEvent, at: float) -> None:
        """Add what happened to a task."""
        task = event.task
        gone = event.kind is EventKind.DELETED
        what = "deleted" if gone else task.state.name.lower()
        text = task.error or ""
        if event.is_requeue:
            what = "requeued"
        self._add(at, "task", what, event.application, task.session_id, task.id, text)

    def session_event(self, event: SessionEvent, at: float) -> None:
        """Add what happened to a session, but for counters that moved."""
        if event.kind in _QUIET:
            return
        text = ""
        if event.event is not None:
            text = event.event.message or f"code {event.event.code}"
        elif event.kind is SessionEventKind.OPENED and event.session.state is SessionState.CLOSED:
            return
        what = "engine event" if event.event is not None else event.kind.value
        self._add(at, "session", what, event.application, event.session_id, "", text)

    def notice(self, at: float, what: str, text: str, session: str = "") -> None:
        """Add something that is no change of a task or a session."""
        self._add(at, "notice", what, "", session, "", text)

    def _add(
        self, at: float, kind: str, what: str, application: str, session: str, task: str, text: str
    ) -> None:
        row = FeedRow(
            id=self._next,
            at=at,
            kind=kind,
            what=what,
            application=application,
            session=session,
            task=task,
            count=1,
            text=text[:TEXT_LENGTH],
        )
        key = (kind, what, session)
        number, began = self._last.get(key, (0, 0.0))
        place = self._place(number)
        if place is not None and 0 <= at - began <= BURST:
            known = self._lines[place]
            self._lines[place] = _folded(known, row)
            return
        self._last[key] = self._next, at
        self._next += 1
        self._lines.append(row)
        if len(self._last) > 4 * (self._lines.maxlen or 1):
            first = self._lines[0].id
            self._last = {key: one for key, one in self._last.items() if one[0] >= first}

    def _place(self, number: int) -> int | None:
        if not self._lines or number < self._lines[0].id:
            return None
        return number - self._lines[0].id

    def latest(self, limit: int) -> list[FeedRow]:
        """Return the latest lines, newest first."""
        lines = self._lines
        return [lines[-one] for one in range(1, min(limit, len(lines)) + 1)]


def _folded(known: FeedRow, row: FeedRow) -> FeedRow:
    return FeedRow(
        id=known.id,
        at=row.at,
        kind=row.kind,
        what=row.what,
        application=row.application,
        session=row.session,
        task=row.task,
        count=known.count + 1,
        text=row.text or known.text,
    )
