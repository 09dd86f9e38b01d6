"""One subscriber's side on the loop: what the hub tells goes into its mailbox.

While the mailbox has room every event is queued. When it has none, and folding does not help,
the inbox falls behind: it queues a marker, remembers the sequence number up to which everything
was queued, and only counts from then on. When the subscriber's thread reaches the marker, a walk
begins: the difference between that number and the store is queued, a mailbox full at a time, each
task's present state once, deletes included. Walks follow each other until nothing is missing. So
a queue stays bounded, and an end is late, never lost and never told twice (contract G8). A
newcomer begins with a walk over everything that is there (G9).

Runs on the loop; ``registration``, ``sending`` and ``streaming`` own one each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from flamepy.errors import FlameError
from flamepy.types import ConnectionState, TaskState
from flamepy.watching.events import EventKind, EventSource, SessionEvent, TaskEvent
from flamepy.watching.hub import Hub
from flamepy.watching.records import Grave, SessionRecord, TaskRecord
from flamepy.watching.subscriptions import Scope, Subscription

REPLAYS = ("all", "active", "none")
Key = tuple[str, int, int]  # session id, task number, sequence number of its first event


@dataclass(frozen=True, slots=True)
class Synced:
    """The marker behind the last event of what was there before."""


@dataclass(frozen=True, slots=True)
class Behind:
    """The marker behind which events wait for a place."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no change of a task: ``reset``, ``drift`` or ``stalled``."""

    name: str
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Missed:
    """One object that changed after the watermark: a task, or one that is gone."""

    sequence: int
    session: SessionRecord | None = None
    task: TaskRecord | None = None
    grave: Grave | None = None


class Inbox:
    """See the module.

    Args:
        hub: whose store the differences are taken from.
        put: queues an item for the subscriber's thread; False when an event found no place.
        room: how many events have a place now.
        tasks, sessions: whether the subscriber wants events of tasks, of sessions.
        replay: what of the present state is told: ``"all"``, ``"active"`` (tasks that have not
            ended), ``"none"``.
        overflowed: told each time that the inbox falls behind.
        notices: whether notices are queued as well.
    """

    def __init__(
        self,
        hub: Hub,
        put: Callable[[object], bool],
        room: Callable[[], int],
        *,
        tasks: bool = True,
        sessions: bool = False,
        replay: str = "all",
        overflowed: Callable[[], None] = lambda: None,
        notices: bool = False,
    ) -> None:
        self._hub = hub
        self._put = put
        self._room = room
        self._tasks = tasks
        self._sessions = sessions
        self._replay = replay
        self._overflowed = overflowed
        self._notices = notices
        self._subscription: Subscription | None = None
        self._behind: int | None = None  # the watermark; None: everything is queued
        self._walking = False
        self._walk: deque[_Missed] = deque()
        self._next: deque[TaskEvent] = deque()  # of the object that the walk has come to
        self._walk_top = 0  # the newest sequence number when the walk began
        self._ahead: dict[Key, int] = {}  # told in a walk in a state newer than its top
        self._newcomer = False
        self._synced = False  # the marker waits for what is behind
        self._skipped = 0  # events since the last one told, for its ``coalesced``
        self.coalesced = 0

    def subscribe(self, scope: Scope) -> Subscription:
        """Start: the present state first, then every change. Call on the loop."""
        subscription = self._subscription = self._hub.subscribe(scope, self, replay=False)
        if self._sessions:
            for event in self._hub.present_sessions(scope):
                self.session_event(event)
        if self._tasks and self._replay != "none":
            self._newcomer = True
            self._begin_walk(0)
            self.catch_up()
        return subscription

    def unsubscribe(self) -> None:
        """Stop; nothing is queued any more. Idempotent."""
        if self._subscription is not None:
            self._hub.unsubscribe(self._subscription)

    @property
    def is_behind(self) -> bool:
        """True while events wait that found no place."""
        return self._behind is not None

    # ------------------------------------------------------------------ what the hub tells

    def task_event(self, event: TaskEvent) -> None:
        """Queue a task's event, or count it while behind."""
        if not self._tasks or self._left_out(event):
            return
        if self._behind is not None:
            self._skip()
        elif not self._put(event):
            self._skip()
            self._behind = event.sequence - 1
            self._need(self._behind)
            self._put(Behind())
            self._overflowed()

    def session_event(self, event: SessionEvent) -> None:
        """Queue a session's event; there are few, and moves of counters are folded."""
        if self._sessions and not (event.initial and self._replay == "none"):
            self._put(event)

    def synced(self) -> None:
        """Queue the marker behind what was there before."""
        if self._behind is None:
            self._put(Synced())
        else:
            self._synced = True

    def failed(self, error: FlameError) -> None:
        """Queue a lost connection."""
        self._put(error)

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        """Queue that the engine lost a session, or has another one under its id."""
        values = {"session_id": session_id, "application": application, "epoch": epoch}
        self._notice("reset", values)

    def drift(self, event: TaskEvent, told: TaskState) -> None:
        """Queue that the engine shows another end than the one that was told."""
        self._notice("drift", {"event": event, "told": told})

    def stalled(self, event: TaskEvent) -> None:
        """Queue that a task is pending while later ones end."""
        self._notice("stalled", {"event": event})

    def _notice(self, name: str, values: dict[str, object]) -> None:
        if self._notices:
            self._put(Notice(name, values))

    def connection(self, state: ConnectionState) -> None:
        """Queue a change of the connection's state."""
        self._put(state)

    def _left_out(self, event: TaskEvent) -> bool:
        if self._replay == "all" or not event.initial:
            return False
        return self._replay == "none" or event.task.state.is_terminal

    def _skip(self) -> None:
        self._skipped += 1
        self.coalesced += 1

    # ------------------------------------------------------------------ behind

    def catch_up(self) -> None:
        """Go on with the walk as far as there is room; called when the marker was reached."""
        if self._behind is None:
            return
        if not self._walking:
            self._begin_walk(self._behind)
        while True:
            while self._walk or self._next:
                if self._room() <= 0:
                    self._put(Behind())
                    return
                if not self._next:
                    self._next.extend(self._events_of(self._walk.popleft()))
                if self._next:
                    self._queue(self._next.popleft())
            self._newcomer = False
            self._behind = self._walk_top
            self._need(self._behind)
            self._begin_walk(self._behind)
            if not self._walk:
                break
        self._go_live()

    def _go_live(self) -> None:
        self._behind = None
        self._walking = False
        self._need(None)
        self._ahead.clear()
        self._skipped = 0
        if self._synced:
            self._synced = False
            self._put(Synced())

    def _need(self, sequence: int | None) -> None:
        assert self._subscription is not None
        self._subscription.needed_since = sequence
        self._hub.reader_moved()

    def _begin_walk(self, since: int) -> None:
        """Note what the store has that is newer than ``since`` and was not told ahead."""
        assert self._subscription is not None
        self._behind = since
        self._need(since)
        store, covers = self._hub.store, self._subscription.scope.covers
        missed = [
            _Missed(known.sequence, session=record, task=known)
            for record, known in store.changed_since(since, covers)
            if self._ahead.get((record.id, known.number, known.born)) != known.sequence
        ]
        graves = store.deleted_since(since, covers)
        missed += [_Missed(one.event.sequence, grave=one) for one in graves]
        missed.sort(key=lambda one: one.sequence)
        self._walk = deque(missed)
        self._walking = True
        self._walk_top = store.sequence

    def _events_of(self, missed: _Missed) -> Iterator[TaskEvent]:
        assert self._behind is not None
        if missed.task is not None and missed.session is not None:
            known = missed.task
            if known.sequence > self._walk_top:
                self._ahead[missed.session.id, known.number, known.born] = known.sequence
            yield self._present(missed.session, known)
        elif missed.grave is not None:
            grave, event = missed.grave, missed.grave.event
            told = grave.born <= self._behind
            key = (event.task.session_id, int(event.task.id), grave.born)
            ended = event.task.state.is_terminal and grave.changed > self._behind
            if ended and self._ahead.get(key) != grave.changed:
                yield replace(
                    event,
                    kind=EventKind.UPDATED if told else EventKind.ADDED,
                    old=None,
                    source=EventSource.PROBE,
                    sequence=grave.changed,
                )
                told = True
            if told:
                yield event

    def _present(self, record: SessionRecord, known: TaskRecord) -> TaskEvent:
        assert self._behind is not None
        newcomer = self._newcomer
        return TaskEvent(
            kind=EventKind.ADDED if known.born > self._behind else EventKind.UPDATED,
            task=known.task,
            application=record.application,
            source=EventSource.REPLAY if newcomer else known.source,
            endpoint=self._hub.store.endpoint,
            epoch=record.epoch,
            sequence=known.sequence,
            initial=newcomer,
            observed_at=self._hub.now() if newcomer else known.window.end,
        )

    def _queue(self, event: TaskEvent) -> None:
        assert self._subscription is not None
        if event.kind is EventKind.ADDED and not event.initial:
            event = replace(event, initial=self._subscription.was_there(event))
        if not self._newcomer:
            self.coalesced -= 1
            self._skipped -= 1
        if not self._left_out(event):
            if self._skipped > 0 and not self._walk:
                # The last of a walk says how many changes were left out before it.
                event = replace(event, coalesced=self._skipped)
            self._put(event)
