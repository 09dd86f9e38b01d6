"""Make events: each is recorded as delivered, and gets its sequence number. Pure."""

from __future__ import annotations

from flamepy.types import Event, SessionInfo, SessionState, Task
from flamepy.watching.state.diff import session_changes
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    Window,
)
from flamepy.watching.state.records import SessionRecord, TaskRecord


class EventFactory:
    """Makes the events of one link; their sequence numbers grow by one.

    Attributes:
        sequence: the last one.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.sequence = 0

    def task(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
    ) -> TaskEvent:
        """Return the event of a task first seen or changed, and record it as delivered."""
        old = known.task if known.delivered else None
        known.task, known.delivered, known.source = task, True, source
        if window.end > known.window.end:
            known.window = window
        known.sequence = record.sequence = self._next()
        if old is None:
            known.born = known.sequence
        return TaskEvent(
            kind=EventKind.ADDED if old is None else EventKind.UPDATED,
            task=task,
            old=old,
            application=record.application,
            source=source,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=known.sequence,
            observed_at=window.end,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def added(
        self, record: SessionRecord, known: TaskRecord, source: EventSource, *, initial: bool
    ) -> TaskEvent:
        """Return the event of a task that has just been recorded; record it as delivered."""
        known.delivered, known.source = True, source
        known.born = known.sequence = record.sequence = self._next()
        return TaskEvent(
            kind=EventKind.ADDED,
            task=known.task,
            application=record.application,
            source=source,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=known.sequence,
            initial=initial,
            observed_at=known.window.end,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def deleted(
        self, record: SessionRecord, known: TaskRecord, window: Window, source: EventSource
    ) -> TaskEvent:
        """Return that a task is gone."""
        return TaskEvent(
            kind=EventKind.DELETED,
            task=known.task,
            old=known.task,
            application=record.application,
            source=source,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=self._next(),
            final_state_known=known.task.state.is_terminal,
            observed_at=window.end,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def replay(self, record: SessionRecord, known: TaskRecord, now: float) -> TaskEvent:
        """Return a task's present state for a new subscription."""
        return TaskEvent(
            kind=EventKind.ADDED,
            task=known.task,
            application=record.application,
            source=EventSource.REPLAY,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=self._next(),
            initial=True,
            observed_at=now,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def replay_session(self, record: SessionRecord, now: float) -> list[SessionEvent]:
        """Return a session's present state for a new subscription, in the order of its life."""
        info = record.info
        if info is None:
            return []
        opened, *closed = session_changes(None, info)
        history: list[tuple[SessionEventKind, Event | None]] = [(opened, None)]
        history += [(SessionEventKind.EVENT, event) for event in record.events]
        if record.drained:
            history.append((SessionEventKind.DRAINED, None))
        history += [(kind, None) for kind in closed]
        return [
            self.session(kind, record, info, None, now, initial=True, event=event)
            for kind, event in history
        ]

    def unsequenced(
        self,
        record: SessionRecord,
        known: TaskRecord | None,
        task: Task,
        now: float,
        *,
        old: Task | None,
    ) -> TaskEvent:
        """Return a remark on a task, which is no part of its story and takes no number.

        Args:
            record: the session's.
            known: the task's; None for a retired one.
            task: what the event shows.
            now: when that was observed.
            old: what was delivered before.
        """
        return TaskEvent(
            kind=EventKind.UPDATED,
            task=task,
            old=old,
            application=record.application,
            source=EventSource.POLL,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=0 if known is None else known.sequence,
            observed_at=now,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def session(
        self,
        kind: SessionEventKind,
        record: SessionRecord,
        info: SessionInfo,
        old: SessionInfo | None,
        now: float,
        *,
        initial: bool = False,
        event: Event | None = None,
    ) -> SessionEvent:
        """Return that something happened to a session."""
        gone = kind is SessionEventKind.DELETED
        return SessionEvent(
            kind=kind,
            session=info,
            old=old,
            event=event,
            source=EventSource.REPLAY if initial else EventSource.POLL,
            endpoint=self._endpoint,
            epoch=record.epoch,
            sequence=self._next(),
            initial=initial,
            final_state_known=not gone or info.state == SessionState.CLOSED,
            observed_at=now,
            memo_holder=record,
        )

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence
