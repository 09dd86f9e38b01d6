"""What is known of every session and task, and what an observation changes. Pure.

The rules (docs/architecture.md#observations):

- Every observation has a window. It applies if it was sent after the last applied one had
  ended; a terminal state applies over a non-terminal one at any time; any other disagreement is
  STALE and causes another read.
- The first terminal state is final; a different one later is DRIFT and is not delivered. The
  engine's state is kept, too, so that its counters add up.
- A failed task is held until its text was read, so ``event.task.error`` is always there.
- No event of a task is delivered before its session was seen: the event names the application,
  and scopes select by it. Earlier observations are delivered as one event once the session is
  listed.
- A session with another creation time, or one whose absence was confirmed, is reset: everything
  that was in it is deleted, the epoch of its id grows.

No clock, no thread, no I/O: ``observer`` calls it on the loop and delivers the events. ``records``
holds what is known, ``history`` what was evicted, ``event_factory`` turns both into events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from flamepy.types import SessionInfo, SessionState, Task, TaskState
from flamepy.watching.state.change_log import ChangeLogs
from flamepy.watching.state.diff import engine_events, is_drained, session_changes
from flamepy.watching.state.event_factory import EventFactory
from flamepy.watching.state.events import (
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    Window,
)
from flamepy.watching.state.history import History
from flamepy.watching.state.missed import Reason, missed_ends
from flamepy.watching.state.observations import Observation, Outcome, Verdict
from flamepy.watching.state.records import DeletedTask, SessionRecord, TaskRecord
from flamepy.wire.times import SAME

__all__ = ["Observation", "Outcome", "SessionRecord", "Store", "TaskRecord", "Verdict"]

_UNCHANGED = Observation(Verdict.UNCHANGED)  # shared: an unchanged list allocates nothing
_STALE = Observation(Verdict.STALE)
_NEEDS_TEXT = Observation(Verdict.NEEDS_TEXT)


Covers = Callable[[str, str], bool]  # session id, application


class Store:
    """All records of one link, by session id.

    Args:
        endpoint: for events.
        needed: see ``History``.

    Attributes:
        payloads: keep the tasks' inputs and outputs.
        history: what was evicted; how many finished tasks stay is set there.
        task_changes: logs of the tasks that show another state than before, or left, for indexes.
        session_changes: of the sessions likewise.
    """

    def __init__(
        self, endpoint: str = "", *, needed: Callable[[], int | None] = lambda: None
    ) -> None:
        self.endpoint = endpoint
        self.sessions: dict[str, SessionRecord] = {}
        self.payloads = False
        self.history = History(needed)
        self.task_changes: ChangeLogs[TaskRecord] = ChangeLogs()
        self.session_changes: ChangeLogs[SessionRecord] = ChangeLogs()
        self._make = EventFactory(endpoint)

    @property
    def sequence(self) -> int:
        """The number of the last event."""
        return self._make.sequence

    def session(self, session_id: str) -> SessionRecord:
        """Return the record of a session, made on demand."""
        record = self.sessions.get(session_id)
        if record is None:
            epoch, since = self.history.recall(session_id)
            record = SessionRecord(session_id, epoch=epoch, since=since)
            self.sessions[session_id] = record
        return record

    def clear(self) -> None:
        """Reset to the empty state, but keep the epochs: no subscription is left."""
        for record in self.sessions.values():
            if record.epoch:
                self.history.remember(record.id, record.epoch, record.since)
        self.sessions.clear()
        self.history.clear()
        self.task_changes.end()
        self.session_changes.end()

    # ------------------------------------------------------------------ sessions

    def observe_session(self, info: SessionInfo, window: Window) -> Outcome:
        """Record a session as the engine showed it.

        An answer that was sent before the last applied one had ended is ignored.
        """
        record = self.session(info.id)
        outcome = Outcome(info.id, info.application)
        if window.start < record.window_end:
            return outcome
        if record.info == info:  # most sessions of most polls
            record.window_start, record.window_end = window.start, window.end
            return outcome
        if record.info is not None and record.info.creation_time != info.creation_time:
            kept = _tasks_of_new_session(record, info)
            for known in kept:
                record.forget(known.number)
            outcome = self.drop_session(info.id, window, lost=True)
            record = self.session(info.id)
            for known in kept:
                record.add(known)
                record.sequence = max(record.sequence, known.sequence)
            self._note_tasks(kept)
        old, record.info = record.info, info
        if self.session_changes:
            self.session_changes.note(record)
        record.window_start, record.window_end = window.start, window.end
        if old is None or info.counts.total > old.counts.total or not is_drained(info):
            record.drained = False
        for kind in session_changes(old, info):
            outcome.sessions.append(self._make.session(kind, record, info, old, window.end))
        for event in engine_events(record.events, info.events):
            record.events += (event,)
            kind = SessionEventKind.EVENT
            made = self._make.session(kind, record, info, old, window.end, event=event)
            outcome.sessions.append(made)
        return outcome

    def drop_session(
        self, session_id: str, window: Window, *, lost: bool = False, evicted: bool = False
    ) -> Outcome:
        """Forget a session that the engine no longer has.

        Args:
            session_id: which one.
            window: when that was true.
            lost: True if the engine lost it, rather than a client deleted it; a session that
                was not closed is lost in any case.
            evicted: True if the engine dropped it to make room, rather than a client deleted it.
        """
        record = self.sessions.pop(session_id, None)
        outcome = Outcome(session_id)
        if record is None:
            return outcome
        self.history.remember(session_id, record.epoch + 1, window.end)
        outcome.application = record.application
        closed = record.info is not None and record.info.state == SessionState.CLOSED
        reason = Reason.EVICTED if evicted else Reason.DELETED
        if record.info is not None and (lost or not closed):
            outcome.reset = record.epoch + 1
            reason = Reason.LOST
        outcome.missed = missed_ends(record, reason)
        self.session_changes.note(record)
        self._note_tasks(record.tasks.values())
        for known in record.tasks.values():
            self.history.left(known)
            if known.held and record.info is not None:  # its text cannot be had any more
                last = known.failed_task()
                record.hold(known, False)
                event = self._make.task(record, known, last, window, EventSource.POLL)
                outcome.tasks.append(event)
            if known.delivered:
                outcome.tasks.append(self._delete(record, known, window, EventSource.POLL))
        if record.info is not None:
            kind = SessionEventKind.DELETED
            gone = self._make.session(kind, record, record.info, record.info, window.end)
            outcome.sessions.append(gone)
        return outcome

    def forget_session(self, record: SessionRecord) -> None:
        """Drop a session that no subscription covers, without an event; its epoch stays."""
        del self.sessions[record.id]
        if record.epoch:
            self.history.remember(record.id, record.epoch, record.since)
        for known in record.tasks.values():
            self.history.left(known)
        self._note_tasks(record.tasks.values())
        self.session_changes.note(record)

    def drained(self, record: SessionRecord, now: float) -> SessionEvent | None:
        """Return that a session is drained, once, if the end of every task was delivered."""
        info = record.info
        if info is None or record.drained or not record.synced:
            return None
        if record.unended or record.held or not is_drained(info):
            return None
        if record.counts.total < info.counts.total:
            return None
        record.drained = True
        return self._make.session(SessionEventKind.DRAINED, record, info, info, now)

    # ------------------------------------------------------------------ tasks

    def observe_task(
        self,
        task: Task,
        window: Window,
        source: EventSource,
        *,
        text_known: bool = False,
    ) -> Observation:
        """Record a task as the engine showed it.

        Args:
            task: the observation, with or without payloads.
            window: when it was true.
            source: which answer showed it.
            text_known: True if the answer would hold a failed task's text (GetTask), or if
                that text cannot be had any more.
        """
        record = self.session(task.session_id)
        number = int(task.id)
        known = record.tasks.get(number)
        if window.start < record.since:
            return _UNCHANGED  # it may show the state before the reset
        if known is None:
            delivered = record.retired.delivered(number)
            if delivered is not None:
                return self._after_retirement(record, number, delivered, task, window)
            known = TaskRecord(number, self._as_stored(task), task.state, window, window.end)
            record.add(known)
        elif known.task.creation_time != task.creation_time:
            return self._replace(record, known, task, window, source, text_known)
        elif known.ended:
            return self._after_the_end(record, known, task, window, source, text_known)
        elif (
            task.state != known.state
            and not task.state.is_terminal
            and window.start < known.window.end
        ):
            return _STALE
        else:
            if window.start >= known.window.end or task.state.is_terminal:
                known.window = window if window.end >= known.window.end else known.window
            if task.state == known.state and (known.delivered or record.info is None):
                self._add_payloads(known, task)
                return _UNCHANGED
            record.move(known, task.state)
        if task.state == TaskState.FAILED and not text_known:
            record.hold(known, True)
            return _NEEDS_TEXT
        return Observation(Verdict.APPLIED, self._deliver(record, known, task, window, source))

    def observe_list(
        self,
        record: SessionRecord,
        tasks: Iterable[Task],
        window: Window,
        source: EventSource,
        *,
        initial: float,
        emit: Callable[[TaskEvent], object],
    ) -> list[Task]:
        """Record the new and the unchanged tasks of a list, which most of them are.

        Args:
            record: the session's.
            tasks: as the list showed them.
            window: when that was true.
            source: LIST or AUDIT.
            initial: new tasks up to this number get events that are ``initial``.
            emit: gets the event of each new task before the next one is recorded: a queue that it
                fills must not find later tasks in the store.

        Returns:
            The tasks for ``observe_task``: nothing of these was recorded.
        """
        rest: list[Task] = []
        if record.info is None or window.start < record.since:
            return list(tasks)
        for task in tasks:
            number = int(task.id) if task.id.isdecimal() else -1
            known = record.tasks.get(number)
            if known is not None and known.shows(task, payloads=self.payloads):
                if not known.ended and window.start >= known.window.end:
                    known.window = window
            elif known is not None or not self._is_new(record, number, task):
                rest.append(task)
            else:
                known = TaskRecord(number, self._as_stored(task), task.state, window, window.end)
                record.add(known)
                event = self._make.added(record, known, source, initial=number <= initial)
                self._note_delivered(record, known)
                emit(event)
        return rest

    def _is_new(self, record: SessionRecord, number: int, task: Task) -> bool:
        """Return whether a task without a record can be delivered as it is."""
        if number < 0 or task.state == TaskState.FAILED:
            return False
        return record.retired.delivered(number) is None

    def delete_task(
        self,
        session_id: str,
        number: int,
        window: Window,
        source: EventSource = EventSource.LIST,
    ) -> tuple[TaskEvent, ...]:
        """Forget a task that the engine no longer has; return its delete, if it was delivered."""
        record = self.sessions.get(session_id)
        known = record.tasks.get(number) if record else None
        if record is None or known is None or window.start < known.window.end:
            return ()
        return self._forget_absent(record, known, window, source)

    def forget_task(self, session_id: str, number: int) -> None:
        """Drop a record that is not needed any more, without an event."""
        record = self.sessions.get(session_id)
        if record is not None and number in record.tasks:
            self.history.left(record.tasks[number])
            self.task_changes.note(record.forget(number))

    def trim(self) -> None:
        """Evict the oldest finished tasks over the limit, and deletes that are not needed."""
        if evicted := self.history.trim(self.sessions):
            self._note_tasks(evicted)
        self.history.prune_deleted()

    # ------------------------------------------------------------------ reading

    def replay(self, record: SessionRecord, now: float) -> list[TaskEvent]:
        """Return the present state of a session's delivered tasks, by number."""
        return [
            self._make.replay(record, known, now)
            for _, known in sorted(record.tasks.items())
            if known.delivered
        ]

    def replay_session(self, record: SessionRecord, now: float) -> list[SessionEvent]:
        """Return a session's history for a new subscription: opened, events, drained, closed."""
        return self._make.replay_session(record, now)

    def changed_since(
        self, sequence: int, covers: Covers
    ) -> list[tuple[SessionRecord, TaskRecord]]:
        """Return the tasks whose last event is newer than ``sequence``, by that event.

        Complete only while a subscription's ``needed_since`` was at most ``sequence``: else
        finished ones may have left the store.
        """
        changed = [
            (record, known)
            for record in self.sessions.values()
            if record.sequence > sequence and covers(record.id, record.application)
            for known in record.tasks.values()
            if known.delivered and known.sequence > sequence
        ]
        return sorted(changed, key=lambda pair: pair[1].sequence)

    def deleted_since(self, sequence: int, covers: Covers) -> list[DeletedTask]:
        """Return the tasks that went after ``sequence``, oldest first; see ``changed_since``."""
        return [
            deleted
            for deleted in self.history.deletes_after(sequence)
            if covers(deleted.event.task.session_id, deleted.event.application)
        ]

    def stalled(self, record: SessionRecord, known: TaskRecord, now: float) -> TaskEvent:
        """Return a task's present state as the event of its being stalled."""
        return self._make.unsequenced(record, known, known.task, now, old=known.task)

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
            return _STALE
        gone = self._forget_absent(record, known, window, source)
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
        delivered = TaskState.FAILED if known.held else known.task.state
        fresh = window.start >= known.window.end
        if fresh and task.state != known.state:
            record.move(known, task.state)
            known.window = window
        if task.state != delivered:
            if not (task.state.is_terminal or fresh) or known.drifted == task.state:
                return _UNCHANGED
            known.drifted = task.state
            event = self._make.unsequenced(
                record, known, self._as_stored(task), window.end, old=known.task
            )
            return Observation(Verdict.DRIFT, drift=event, delivered=delivered)
        if known.held and not text_known:
            return _NEEDS_TEXT
        if known.held or (not known.delivered and record.info is not None):
            task = task if known.held else known.task
            return Observation(Verdict.APPLIED, self._deliver(record, known, task, window, source))
        self._add_payloads(known, task)
        return _UNCHANGED

    def _after_retirement(
        self, record: SessionRecord, number: int, delivered: TaskState, task: Task, window: Window
    ) -> Observation:
        if record.newest is not None and task.creation_time > record.newest + SAME:
            return _UNCHANGED  # ids restarted: the next poll shows another session
        shown, fresh = record.retired.shown(number), window.start >= record.retired.end
        if task.state == shown or not (task.state.is_terminal or fresh):
            return _UNCHANGED
        record.show_retired(number, task.state)
        if task.state == delivered:
            return _UNCHANGED
        event = self._make.unsequenced(record, None, self._as_stored(task), window.end, old=None)
        return Observation(Verdict.DRIFT, drift=event, delivered=delivered)

    def _deliver(
        self,
        record: SessionRecord,
        known: TaskRecord,
        task: Task,
        window: Window,
        source: EventSource,
    ) -> tuple[TaskEvent, ...]:
        record.hold(known, False)
        task = self._as_stored(task)
        if record.info is None:
            known.task = task
            return ()
        event = self._make.task(record, known, task, window, source)
        self._note_delivered(record, known)
        return (event,)

    def _note_delivered(self, record: SessionRecord, known: TaskRecord) -> None:
        if self.task_changes:
            self.task_changes.note(known)
        if known.task.state.is_terminal:
            record.finished = max(record.finished, known.number)
            self.history.ended(known)

    def _forget_absent(
        self, record: SessionRecord, known: TaskRecord, window: Window, source: EventSource
    ) -> tuple[TaskEvent, ...]:
        self.history.left(known)
        self.task_changes.note(record.forget(known.number))
        return (self._delete(record, known, window, source),) if known.delivered else ()

    def _delete(
        self, record: SessionRecord, known: TaskRecord, window: Window, source: EventSource
    ) -> TaskEvent:
        event = self._make.deleted(record, known, window, source)
        self.history.deleted(known, event)
        return event

    def _as_stored(self, task: Task) -> Task:
        if self.payloads or not task.payloads_loaded:
            return task
        return replace(task, input=None, output=None, payloads_loaded=False)

    def _add_payloads(self, known: TaskRecord, task: Task) -> None:
        # Payloads were asked for after the task was seen.
        if self.payloads and task.payloads_loaded and not known.task.payloads_loaded:
            known.task = replace(
                known.task, input=task.input, output=task.output, payloads_loaded=True
            )
            self._note_tasks([known])

    def _note_tasks(self, records: Iterable[TaskRecord]) -> None:
        if self.task_changes:
            for known in records:
                self.task_changes.note(known)


def _tasks_of_new_session(record: SessionRecord, info: SessionInfo) -> list[TaskRecord]:
    # Tasks may be seen a moment before the session that they belong to.
    return [
        known
        for known in record.tasks.values()
        if known.seen_at >= record.window_start and known.task.creation_time >= info.creation_time
    ]
