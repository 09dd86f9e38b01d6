"""Record what was delivered to one informer, in this process and in earlier ones.

Used on the informer's thread only. A delivery is recorded, and written before the next callback.
Events without a delivery (unchanged after a restart, dropped by ``where``) are recorded as well,
and written with the next callback, after a second at the latest: losing them repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from flamepy.informers.checkpoint.resumption import (
    DeliveredSession,
    DeliveredTask,
    Past,
    Presence,
    Resumption,
    SessionKey,
    Shown,
    Step,
    micros,
    session_key,
)
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.informers.outbox.entry import OutboxRow
from flamepy.runtime.clocks import monotonic
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.subscriptions import Scope

WRITE_DELAY = 1.0  # seconds that records without a callback wait at most
BATCH_SIZE = 256  # changed tasks that are written in the middle of a batch of events

TaskKey = tuple[SessionKey, int]


class TaskRow(NamedTuple):
    """The stored state of a task; ``delivered`` None removes it."""

    application: str
    delivered: DeliveredTask | None


class SessionRow(NamedTuple):
    """The stored state of a session; ``delivered`` None removes it."""

    application: str
    delivered: DeliveredSession | None


class ShownRow(NamedTuple):
    """The counters of a session; ``shown`` None once its missed ends are counted."""

    application: str
    shown: Shown | None


@dataclass(slots=True)
class Changes:
    """What is to be stored: the latest state of each task and session.

    Attributes:
        tasks: by task, oldest first.
        sessions: by session.
        shown: by session.
        missed: ends that could not be delivered, added to the stored count.
        gone: sessions that the engine no longer has; tasks with undelivered events stay.
        forgotten: sessions of which nothing needs to be remembered.
        complete: everything in the informer's scope was delivered.
        dead: events whose handling failed for good.
        resolved: ids of dead letters that were handled after all.
        overdue: rules that were broken (True), and those that hold again, by their stored keys.
        outgoing: events that a sink is to send.
        outgoing_stored: called with them when they were stored, under the lock of the file.
    """

    tasks: dict[TaskKey, TaskRow] = field(default_factory=dict)
    sessions: dict[SessionKey, SessionRow] = field(default_factory=dict)
    shown: dict[SessionKey, ShownRow] = field(default_factory=dict)
    missed: int = 0
    gone: set[SessionKey] = field(default_factory=set)
    forgotten: set[SessionKey] = field(default_factory=set)
    complete: bool = False
    dead: list[DeadLetter] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    overdue: dict[str, bool] = field(default_factory=dict)
    outgoing: list[OutboxRow] = field(default_factory=list)
    outgoing_stored: Callable[[Sequence[OutboxRow]], None] = lambda rows: None

    def __bool__(self) -> bool:
        kept = self.tasks, self.sessions, self.gone, self.forgotten, self.complete
        more = self.shown, self.missed, self.dead, self.resolved, self.overdue, self.outgoing
        return any(kept) or any(more)


class ChangeStore(Protocol):
    """Stores the changes of one informer: a slot of a ``CheckpointStore``."""

    @property
    def retry_at(self) -> float | None:
        """When a failed write is tried again, monotonic seconds; None while writing works."""

    def write(self, changes: Changes) -> bool:
        """Write all changes or none; return False if they cannot be written now."""


class Memory:
    """The record of what was delivered to one informer: loaded at its start, updated, and stored.

    Args:
        past: what is remembered of the informer.
        store: stores the changes.
        replay, scope: of the registration.
        retain: finished tasks that wait to be written at most, while nothing can be.
    """

    def __init__(
        self, past: Past, store: ChangeStore, *, replay: str, scope: Scope, retain: int = 100_000
    ) -> None:
        self.unfinished = past.unfinished()
        self.paused = past.paused
        self.broken = frozenset(past.overdue)  # rules that earlier processes reported
        self.missed = past.missed  # ends that could not be delivered, of all processes
        self._delivered = {
            key: one.delivered for key, one in past.sessions.items() if one.delivered is not None
        }
        self._resumption = Resumption(past, replay, scope)
        self._store = store
        self._retain = retain
        self._changes = Changes()
        self._since: float | None = None
        self._sealed = False
        self._outgoing_stored: Callable[[Sequence[OutboxRow]], None] = lambda rows: None

    # ------------------------------------------------------------------ what is delivered

    def task(self, event: TaskEvent) -> list[Step]:
        """Return the events that follow from a task's event, and whether each is delivered."""
        return self._resumption.task(event)

    def session(self, event: SessionEvent) -> list[Step]:
        """Return the events that follow from a session's event, and whether each is delivered."""
        return self._resumption.session(event)

    def lost(self, presence: Presence) -> list[MissedEnds]:
        """Count the ends that an earlier process saw and that are lost now; return them, once.

        They are stored as counted before the rest of their sessions is delivered as deleted.
        """
        lost = self._resumption.missed(presence)
        for key, missed in lost:
            self._changes.shown[key] = ShownRow(missed.session.application, None)
            self._miss(missed.total)
        self.commit()
        return [missed for _, missed in lost]

    def missing(self, presence: Presence) -> Iterator[TaskEvent | SessionEvent]:
        """Yield the events of stored tasks that were not seen again by the time it is synced."""
        return self._resumption.missing(presence)

    # ------------------------------------------------------------------ what is stored

    def note(self, event: TaskEvent | SessionEvent) -> None:
        """Record that an event was delivered, or does not have to be."""
        if self._since is None:
            self._since = monotonic()
        if isinstance(event, SessionEvent):
            self._note_session(event)
            return
        task, delivered = event.task, None
        if event.kind is not EventKind.DELETED:
            delivered = DeliveredTask(micros(task.creation_time), task.state)
        key = session_key(event), int(task.id)
        tasks = self._changes.tasks
        tasks.pop(key, None)  # the order is that of the last change
        tasks[key] = TaskRow(event.application, delivered)

    def _note_session(self, event: SessionEvent) -> None:
        key = event.session.id, micros(event.session.creation_time)
        delivered: DeliveredSession | None = None
        if event.kind is SessionEventKind.DELETED:
            self._delivered.pop(key, None)
        else:
            delivered = self._delivered[key] = self._delivered.get(key, DeliveredSession()).after(
                event
            )
        self._changes.sessions[key] = SessionRow(event.application, delivered)

    def shown(self, rows: dict[SessionKey, ShownRow]) -> None:
        """Store the counters of sessions: ends that the next process cannot deliver are missed."""
        self._changes.shown.update(rows)
        self.commit()

    def _miss(self, count: int) -> None:
        self.missed += count
        self._changes.missed += count

    def gone(self, session: SessionKey, missed: int = 0) -> None:
        """Record that a session is gone, and how many ends could not be read.

        Deletes of its tasks may still be on their way.
        """
        self._changes.shown.pop(session, None)
        if missed:
            self._resumption.counted(session)  # an earlier process may have seen them as well
            self._miss(missed)
        self._changes.gone.add(session)
        self._since = self._since or monotonic()

    def dead(self, letters: list[DeadLetter]) -> None:
        """Store events whose handling failed for good, with the next ``commit``."""
        self._changes.dead.extend(letters)

    def resolved(self, number: int) -> None:
        """Delete a dead letter that was handled after all, with the next ``commit``."""
        self._changes.resolved.append(number)

    def overdue(self, key: str, broken: bool) -> None:
        """Store that a rule was broken, or that it holds again, with the next ``commit``."""
        self._changes.overdue[key] = broken
        self._since = self._since or monotonic()

    def bind(self, outgoing_stored: Callable[[Sequence[OutboxRow]], None]) -> None:
        """Call a function with events of ``outgoing`` once they were stored."""
        self._outgoing_stored = outgoing_stored

    def outgoing(self, row: OutboxRow) -> None:
        """Store an event that a sink is to send, with the next ``commit``, which is due at once."""
        self._changes.outgoing.append(row)
        self._changes.outgoing_stored = self._outgoing_stored
        self._since = self._since or monotonic()

    def synced(self, presence: Presence) -> None:
        """Record that the whole present state was delivered to the informer."""
        self._changes.forgotten.update(self._resumption.finish(presence))
        self._changes.complete = True
        self.commit()

    def commit(self) -> None:
        """Store the recorded changes now, if the file can be written."""
        if self._sealed or not self._changes:
            return
        if self._store.write(self._changes):
            self._changes, self._since = Changes(), None
        else:
            self._shorten()

    def commit_many(self) -> None:
        """Store the recorded changes if there are many."""
        many = max(len(self._changes.tasks), len(self._changes.outgoing)) >= BATCH_SIZE
        if many and self._store.retry_at is None:
            self.commit()

    @property
    def due(self) -> float | None:
        """When to call ``commit`` without a delivery, monotonic seconds; None if nothing waits."""
        if self._since is None or self._sealed:
            return None
        retry = self._store.retry_at
        if retry is not None:
            return retry
        return self._since if self._changes.outgoing else self._since + WRITE_DELAY

    def seal(self) -> None:
        """Stop storing: later events are not handled to their end."""
        self._sealed = True

    def _shorten(self) -> None:
        """Drop the oldest finished tasks that wait while nothing can be written."""
        tasks = self._changes.tasks
        if len(tasks) <= 2 * self._retain + BATCH_SIZE:
            return
        ended = [
            key
            for key, row in tasks.items()
            if row.delivered is None or row.delivered.state.is_terminal
        ]
        for key in ended[: max(0, len(ended) - self._retain)]:
            del tasks[key]
