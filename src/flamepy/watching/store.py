"""What is known of every session and task, and what an observation changes. Pure.

The rules (docs/architecture.md#observations):

- Every observation has a window. It applies if it was sent after the last applied one had
  ended; a terminal state applies over a non-terminal one at any time; any other disagreement is
  STALE and asks for a fresh look.
- The first terminal state is final; a different one later is DRIFT and is not delivered.
- A failed task is held until its text was read, so ``event.task.error`` is always there.
- Nothing is told of a task before its session was seen: an event names its application, and
  scopes ask for it. What was seen before is told, as one step, when the session is listed.
- A session with another creation time is another session: everything of the old one is deleted,
  the epoch grows.

No clock, no thread, no I/O: ``hub`` feeds it on the loop and hands the events on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from flamepy.types import SessionInfo, Task, TaskState
from flamepy.watching.diff import session_changes
from flamepy.watching.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    Window,
)
from flamepy.watching.records import Grave, SessionRecord, TaskRecord

Covers = Callable[[str, str], bool]  # session id, application


class Verdict(enum.Enum):
    """What an observation of a task amounted to."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STALE = "stale"
    NEEDS_TEXT = "needs text"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Observation:
    """The verdict on one observation and the events that it caused, in order."""

    verdict: Verdict
    events: tuple[TaskEvent, ...] = ()


class Store:
    """All records of one link, by session id."""

    def __init__(self, endpoint: str = "") -> None:
        self.endpoint = endpoint
        self.sessions: dict[str, SessionRecord] = {}
        self.sequence = 0
        self.keep_graves = False  # while some reader is behind
        self._graves: list[Grave] = []

    def session(self, session_id: str) -> SessionRecord:
        """Return the record of a session, made on demand."""
        record = self.sessions.get(session_id)
        if record is None:
            record = self.sessions[session_id] = SessionRecord(session_id)
        return record

    # ------------------------------------------------------------------ sessions

    def observe_session(
        self, info: SessionInfo, window: Window
    ) -> tuple[list[SessionEvent], list[TaskEvent]]:
        """Take in a session as the engine showed it; return what changed, sessions and tasks.

        An answer that was sent before the last applied one had ended is ignored.
        """
        record = self.session(info.id)
        if window.start < record.window_end:
            return [], []
        gone: list[TaskEvent] = []
        events: list[SessionEvent] = []
        if record.info is not None and record.info.creation_time != info.creation_time:
            deleted, gone = self.drop_session(info.id, window)
            events += deleted
            epoch = record.epoch + 1
            record = self.session(info.id)
            record.epoch = epoch
        kinds = session_changes(record.info, info)
        old, record.info, record.window_end = record.info, info, window.end
        events += [self._session_event(kind, record, info, old, window) for kind in kinds]
        return events, gone

    def drop_session(
        self, session_id: str, window: Window
    ) -> tuple[list[SessionEvent], list[TaskEvent]]:
        """Forget a session that the engine no longer has; return the deletes."""
        record = self.sessions.pop(session_id, None)
        if record is None:
            return [], []
        tasks: list[TaskEvent] = []
        for known in record.tasks.values():
            if known.is_held and record.info is not None:  # its text cannot be had any more
                last = known.failed_task()
                tasks.append(self._event(record, known, last, window, EventSource.PROBE))
            if known.delivered:
                tasks.append(self._deleted(record, known, window))
        if record.info is None:
            return [], tasks
        kind = SessionEventKind.DELETED
        return [self._session_event(kind, record, record.info, record.info, window)], tasks

    # ------------------------------------------------------------------ tasks

    def observe_task(
        self,
        task: Task,
        window: Window,
        source: EventSource,
        *,
        text_known: bool = False,
    ) -> Observation:
        """Take in a task as the engine showed it.

        Args:
            task: the observation, with or without payloads; the store keeps none.
            window: when it was true.
            source: which answer showed it.
            text_known: True if the answer would hold a failed task's text (GetTask), or if
                that text cannot be had any more.
        """
        record = self.session(task.session_id)
        number = int(task.id)
        known = record.tasks.get(number)
        if known is not None and known.task.creation_time != task.creation_time:
            return self._replace(record, known, task, window, source, text_known)
        if known is None:
            known = TaskRecord(number, _strip(task), task.state, window, window.end)
            record.tasks[number] = known
            record._note(known, task.state, new=True)
        elif known.state.is_terminal:
            return self._after_the_end(record, known, task, window, source, text_known)
        elif not task.state.is_terminal and window.start < known.window.end:
            same = task.state == known.state
            return Observation(Verdict.UNCHANGED if same else Verdict.STALE)
        else:
            known.window = window
            untold = not known.delivered and record.info is not None
            if task.state == known.state and not untold:
                return Observation(Verdict.UNCHANGED)
            record._note(known, task.state)
        if task.state == TaskState.FAILED and not text_known:
            return Observation(Verdict.NEEDS_TEXT)
        return Observation(Verdict.APPLIED, self._deliver(record, known, task, window, source))

    def delete_task(self, session_id: str, number: int, window: Window) -> tuple[TaskEvent, ...]:
        """Forget a task that the engine no longer has; return its delete, if it was delivered."""
        record = self.sessions.get(session_id)
        known = record.tasks.get(number) if record else None
        if record is None or known is None or window.start < known.window.end:
            return ()
        record._forget(number)
        return (self._deleted(record, known, window),) if known.delivered else ()

    def forget_task(self, session_id: str, number: int) -> None:
        """Drop a record that nobody needs any more, without an event."""
        record = self.sessions.get(session_id)
        if record is not None and number in record.tasks:
            record._forget(number)

    def replay(self, record: SessionRecord, now: float) -> list[TaskEvent]:
        """Return the present state of a session's delivered tasks, by number, for a newcomer."""
        return [
            TaskEvent(
                kind=EventKind.ADDED,
                task=known.task,
                application=record.application,
                source=EventSource.REPLAY,
                endpoint=self.endpoint,
                epoch=record.epoch,
                sequence=self._next(),
                initial=True,
                observed_at=now,
            )
            for _, known in sorted(record.tasks.items())
            if known.delivered
        ]

    def replay_session(self, record: SessionRecord, now: float) -> list[SessionEvent]:
        """Return that a session was opened, and closed if it was, for a newcomer."""
        if record.info is None:
            return []
        window = Window(now, now)
        return [
            self._session_event(kind, record, record.info, None, window, initial=True)
            for kind in session_changes(None, record.info)
        ]

    # ------------------------------------------------------------------ for readers behind

    def changed_since(
        self, sequence: int, covers: Covers
    ) -> Iterator[tuple[SessionRecord, TaskRecord]]:
        """Yield the tasks whose last event is newer than ``sequence``, in no order."""
        for record in self.sessions.values():
            if covers(record.id, record.application):
                for known in record.tasks.values():
                    if known.delivered and known.sequence > sequence:
                        yield record, known

    def deleted_since(self, sequence: int, covers: Covers) -> Iterator[Grave]:
        """Yield the tasks that went after ``sequence``, oldest first; see ``keep_graves``."""
        for grave in self._graves:
            event = grave.event
            if event.sequence > sequence and covers(event.task.session_id, event.application):
                yield grave

    def forget_graves(self, sequence: int | None) -> None:
        """Drop graves up to ``sequence``, which every reader has passed; all of them for None."""
        self.keep_graves = sequence is not None
        if sequence is None:
            self._graves.clear()
        elif self._graves and self._graves[0].event.sequence <= sequence:
            self._graves = [one for one in self._graves if one.event.sequence > sequence]

    # ------------------------------------------------------------------ inside

    def _replace(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
        text_known: bool,
    ) -> Observation:
        # Ids are used again after an engine without storage lost its data: another creation
        # time under the same number is another task.
        if window.start < known.window.end:
            return Observation(Verdict.STALE)
        record._forget(known.number)
        gone = (self._deleted(record, known, window),) if known.delivered else ()
        fresh = self.observe_task(task, window, source, text_known=text_known)
        return Observation(fresh.verdict, gone + fresh.events)

    def _after_the_end(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
        text_known: bool,
    ) -> Observation:
        if known.delivered and known.task.state == known.state:
            fresh = window.start >= known.window.end
            drifted = task.state != known.state and (task.state.is_terminal or fresh)
            return Observation(Verdict.DRIFT if drifted else Verdict.UNCHANGED)
        # A failed state is held for its text; only an answer that has it lets it go.
        if task.state != known.state:
            return Observation(Verdict.UNCHANGED)
        if not text_known:
            if known.is_held:
                return Observation(Verdict.NEEDS_TEXT)
            task = known.task
        return Observation(Verdict.APPLIED, self._deliver(record, known, task, window, source))

    def _deliver(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
    ) -> tuple[TaskEvent, ...]:
        known.text_known = task.state == TaskState.FAILED
        if record.info is None:
            known.task, known.window = _strip(task), window
            return ()
        return (self._event(record, known, task, window, source),)

    def _event(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
    ) -> TaskEvent:
        old = known.task if known.delivered else None
        known.task, known.delivered, known.window = _strip(task), True, window
        known.sequence, known.source = self._next(), source
        if old is None:
            known.born = known.sequence
        return TaskEvent(
            kind=EventKind.ADDED if old is None else EventKind.UPDATED,
            task=known.task,
            old=old,
            application=record.application,
            source=source,
            endpoint=self.endpoint,
            epoch=record.epoch,
            sequence=known.sequence,
            observed_at=window.end,
        )

    def _deleted(self, record: SessionRecord, known: TaskRecord, window: Window) -> TaskEvent:
        event = TaskEvent(
            kind=EventKind.DELETED,
            task=known.task,
            old=known.task,
            application=record.application,
            endpoint=self.endpoint,
            epoch=record.epoch,
            sequence=self._next(),
            final_state_known=known.task.state.is_terminal,
            observed_at=window.end,
        )
        if self.keep_graves:
            self._graves.append(Grave(known.born, known.sequence, event))
        return event

    def _session_event(
        self,
        kind: SessionEventKind,
        record: SessionRecord,
        info: SessionInfo,
        old: SessionInfo | None,
        window: Window,
        *,
        initial: bool = False,
    ) -> SessionEvent:
        return SessionEvent(
            kind=kind,
            session=info,
            old=old,
            endpoint=self.endpoint,
            epoch=record.epoch,
            sequence=self._next(),
            initial=initial,
            observed_at=window.end,
        )

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def _strip(task: Task) -> Task:
    if not task.payloads_loaded:
        return task
    return replace(task, input=None, output=None, payloads_loaded=False)
