"""One subscriber's side on the loop: it puts the hub's events into the subscriber's mailbox.

While the mailbox has room every event is queued. When it is full, and coalescing does not help,
the inbox lags: it queues a marker, remembers the sequence number up to which everything
was queued, and only counts from then on. When the subscriber's thread reaches the marker, a walk
begins: the difference between that number and the store is queued, a mailbox full at a time, each
task's present state once, deletes included. Walks follow each other until nothing is missing. So
a queue stays bounded, and an end is late, never lost and never delivered twice (contract G8). A
new subscriber begins with a walk over the present state (G9).

Runs on the loop; ``registration``, ``signal_sender`` and ``stream`` own one each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from flamepy.errors import FlameError
from flamepy.informers.checkpoint.delivered import ShownRow
from flamepy.informers.checkpoint.resumption import Number, Presence, SessionKey, Shown, micros
from flamepy.runtime.clocks import monotonic
from flamepy.types import ConnectionState, SessionState, TaskState
from flamepy.watching.hub import Hub
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.records import DeletedTask, SessionRecord, TaskRecord
from flamepy.watching.state.subscriptions import Scope, Subscription

EPISODE = 10.0  # seconds: overflows that follow sooner are one
Key = tuple[str, int, int]  # session id, task number, sequence number of its first event


@dataclass(frozen=True, slots=True)
class Synced:
    """The marker after the last event of the present state at the subscription.

    Attributes:
        presence: what the store has then, for a subscriber that compares.
    """

    presence: Presence | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The marker after the last event of a session that the engine no longer has.

    Attributes:
        session: which one.
        missed: ends of its tasks that could not be read.
    """

    session: SessionKey
    missed: int = 0


@dataclass(frozen=True, slots=True)
class ShownCounters:
    """The marker for a subscriber that compares: ``take_shown`` has counters of sessions."""


@dataclass(frozen=True, slots=True)
class LagMarker:
    """The marker after which events wait for room in the queue."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no change of a task: ``reset``, ``drift``, ``stalled`` or ``missed``."""

    name: str
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Missed:
    """One object that changed after the watermark: a task, or one that is gone."""

    sequence: int
    session: SessionRecord | None = None
    task: TaskRecord | None = None
    deleted: DeletedTask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a subscriber wants of the hub's events.

    Attributes:
        tasks, sessions: whether it wants events of tasks, of sessions.
        replay: the part of the present state to deliver: ``"all"``, ``"active"`` (unfinished
            tasks), ``"none"``.
        notices: whether notices are queued as well.
        compares: for a subscriber that compares with what it knows from before, the unfinished
            tasks that it knows: it is given all of the present state, whatever ``replay`` says,
            and is notified of sessions that go.
        reserve: places of the queue that are kept for live events while initial ones wait; 0 lets
            live ones wait for them.
    """

    tasks: bool = True
    sessions: bool = False
    replay: str = "all"
    notices: bool = False
    compares: Collection[Number] | None = None
    reserve: int = 0


class Inbox:
    """Queues events for one subscriber, and reads what did not fit from the store later.

    Args:
        hub: whose store the differences are taken from.
        put: queues an item for the subscriber's thread; False when an event found no place.
        closed: whether the subscriber takes nothing any more, which is no overflow.
        wanted: which events.
        room: returns how many places the queue has.
        overflowed: called when the inbox begins to lag, once for episodes that follow within
            ``EPISODE`` seconds.
    """

    def __init__(
        self,
        hub: Hub,
        put: Callable[[object], bool],
        closed: Callable[[], bool] = lambda: False,
        *,
        wanted: Wanted | None = None,
        room: Callable[[], int] = lambda: 0,
        overflowed: Callable[[], None] = lambda: None,
    ) -> None:
        wanted = wanted or Wanted()
        self._hub = hub
        self._put = put
        self._closed = closed
        self._tasks = wanted.tasks
        self._sessions = wanted.sessions
        self._replay = wanted.replay if wanted.compares is None else "all"
        self._live = wanted.replay != "all"  # initial events are dropped, here or by who compares
        self._compares = wanted.compares
        self._notices = wanted.notices
        self._reserve = wanted.reserve
        self._room = room
        self._pending: dict[Number, int] = {}  # tasks whose first event waits, and its number
        self._in_order: set[Number] = set()  # tasks of which more than that waits
        self._overflowed = overflowed
        self._subscription: Subscription | None = None
        self._gone = False
        self._watermark: int | None = None  # the watermark; None: everything is queued
        self._decided = 0  # what the store had decided when the inbox began to lag
        self._late: deque[TaskEvent] = deque()  # and had not delivered yet: delivered unchanged
        self._walking = False
        self._walk: deque[_Missed] = deque()
        self._next: deque[TaskEvent] = deque()  # of the object that the walk has come to
        self._walk_top = 0  # the newest sequence number when the walk began
        self._ahead: dict[Key, int] = {}  # delivered by a walk in a state newer than its top
        self._initial: set[int] = set()  # of the initial state, delivered while lagging
        self._newcomer = False
        self._synced_at: int | None = None  # the marker waits until the inbox no longer lags
        self._owed: set[tuple[str, str]] = set()  # tasks that changed since the walk began
        self._owed_at: float | None = None  # when the first of them did, and ...
        self._walk_at: float | None = None  # ... the first of those that the walk delivers
        self._skipped = 0  # events since the last delivered one, for its ``coalesced``
        self._overflow_at: float | None = None  # the end of the last overflow
        self.coalesced = 0
        self.missed_ends = 0
        self._shown: dict[SessionKey, ShownRow] = {}  # by session, for ``take_shown``
        self._marked = False  # a marker is queued; they are taken after it
        self._missed_of: dict[SessionKey, int] = {}  # until the session's delete, which follows

    def subscribe(self, scope: Scope) -> Subscription:
        """Start: the present state first, then every change. Call on the loop."""
        subscription = self._subscription = self._hub.subscribe(
            scope, self, replay=False, live=self._live
        )
        for event in self._hub.present_sessions(scope):
            if self._sessions:
                self.session_event(event)
            elif self._compares is not None:
                self._show(event)
        if self._tasks and self._replay != "none":
            self._newcomer = True
            self._begin_walk(0)
            self.catch_up()
        return subscription

    def unsubscribe(self) -> None:
        """Stop; nothing is queued any more. Idempotent."""
        if self._subscription is not None and not self._gone:
            self._gone = True
            self._hub.unsubscribe(self._subscription)
            self._go_live()

    @property
    def is_lagging(self) -> bool:
        """True while events wait that found no place."""
        return self._watermark is not None and not self._closed()

    def obstacle(self) -> str:
        """Return why polls fail now; see ``Hub.obstacle``."""
        return self._hub.obstacle()

    @property
    def owed(self) -> int:
        """How many events found no place and are not queued yet; from any thread.

        Of a task that changed several times it is the present state that is owed, once.
        """
        return len(self._late) + len(self._next) + len(self._walk) + len(self._owed)

    @property
    def owed_since(self) -> float | None:
        """When the first of them came, monotonic seconds; from any thread."""
        return self._owed_at if self._walk_at is None else self._walk_at

    # ------------------------------------------------------------------ events of the hub

    def task_event(self, event: TaskEvent) -> None:
        """Queue a task's event, or count it while the inbox lags."""
        if not self._tasks:
            return
        if self._watermark is not None and event.initial:
            self._initial.add(event.sequence)
        if self._left_out(event):
            return
        if self._watermark is not None:
            if event.sequence <= self._decided:
                self._add_late(event)
            elif not self._overtake(event):
                self._skip(event)
        elif not self._put(event) and not self._closed():
            self._begin_lag(event)

    def session_event(self, event: SessionEvent) -> None:
        """Queue a session's event; there are few, and moves of counters are coalesced."""
        if self._sessions and not (event.initial and self._replay == "none"):
            self._put(event)
        if self._compares is not None:
            self._show(event)

    def _show(self, event: SessionEvent) -> None:
        """Record the counters of a session for a subscriber that compares after a restart."""
        session = event.session
        key = session.id, micros(session.creation_time)
        if event.kind is SessionEventKind.DELETED:
            self._shown.pop(key, None)
            self._put(Gone(key, self._missed_of.pop(key, 0)))
            return
        closed = session.state == SessionState.CLOSED
        self._shown[key] = ShownRow(session.application, Shown(session.counts, closed))
        if not self._marked:
            self._marked = True
            self._put(ShownCounters())

    def take_shown(self) -> dict[SessionKey, ShownRow]:
        """Return the counters that sessions showed since the last time; from any thread."""
        self._marked = False  # first: what comes from now on gets a marker, or is taken below
        taken = {}
        with suppress(KeyError):
            while self._shown:
                key, row = self._shown.popitem()
                taken[key] = row
        return taken

    def synced(self) -> None:
        """Queue the marker after the initial state."""
        if self._watermark is None:
            self._put(self._synced_marker())
        else:
            self._synced_at = self._hub.store.sequence

    def _synced_marker(self) -> Synced:
        if self._compares is None or self._subscription is None:
            return Synced()
        store, covers = self._hub.store, self._subscription.scope.covers
        sessions = {
            one.id: micros(one.creation_time)
            for one in store.sessions.values()
            if one.info is not None and covers(one.id, one.application)
        }
        ended = {
            (session_id, number): state
            for session_id, number in self._compares
            if session_id in sessions
            and (state := store.sessions[session_id].retired.delivered(number)) is not None
        }
        return Synced(Presence(sessions, ended))

    def failed(self, error: FlameError) -> None:
        """Queue a lost connection."""
        self._put(error)

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        """Queue that the engine lost a session, or has another one under its id."""
        values = {"session_id": session_id, "application": application, "epoch": epoch}
        if self._sessions:  # else a subscriber with an inbox for each would get two
            self._notice("reset", values)

    def drift(self, event: TaskEvent, told: TaskState) -> None:
        """Queue a drift: the engine shows another end than the delivered one."""
        self._notice("drift", {"event": event, "told": told})

    def stalled(self, event: TaskEvent) -> None:
        """Queue that a task is pending while later ones end."""
        self._notice("stalled", {"event": event})

    def missed(self, missed: MissedEnds) -> None:
        """Count ends that could not be read, and queue that there were some."""
        self.missed_ends += missed.total
        if self._compares is not None:
            key = missed.session.id, micros(missed.session.creation_time)
            self._missed_of[key] = missed.total
        self._notice("missed", {"missed": missed})

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

    def _skip(self, event: TaskEvent) -> None:
        self._owed.add((event.task.session_id, event.task.id))
        if self._owed_at is None:
            self._owed_at = monotonic()
        self._skipped += 1
        self.coalesced += 1

    # ------------------------------------------------------------------ lagging

    def _begin_lag(self, event: TaskEvent) -> None:
        # One answer of the engine may decide many events, the deletes of a whole session, and
        # those after this one are still to come: no difference to the store would show them.
        self._add_late(event)
        self._owed_at = monotonic()
        self._watermark = self._decided = self._hub.store.sequence
        self._need(self._watermark)
        self._put(LagMarker())
        last, now = self._overflow_at, self._hub.now()
        self._overflow_at = now
        if last is None or now - last > EPISODE:
            self._overflowed()

    def _add_late(self, event: TaskEvent) -> None:
        self._late.append(event)
        if not self._reserve:
            return
        number = _number_of(event)
        if event.kind is EventKind.ADDED and number not in self._pending:
            self._pending[number] = event.sequence
        else:
            self._in_order.add(number)

    def _overtake(self, event: TaskEvent) -> bool:
        """Queue a live event before initial ones of other tasks; False if it has to wait.

        Where the first event of its task waits, it is the task's first one, and the other is not
        queued any more.
        """
        number = _number_of(event)
        record = self._hub.store.sessions.get(event.task.session_id)
        known = None if record is None else record.tasks.get(number[1])
        if not self._reserve or not (self._newcomer or self._initial):
            return False
        if event.initial or event.kind is EventKind.DELETED or record is None or known is None:
            return False
        if known.sequence != event.sequence:
            return False  # more of it was decided, and is to come
        waits = self._next and _number_of(self._next[0]) == number
        first = self._pending.get(number)
        if waits or number in self._in_order or first not in (None, known.born):
            return False
        name = (event.task.session_id, event.task.id)
        if first is not None or name in self._owed:
            event = self._present(record, known)
            if first is not None:
                event = replace(event, kind=EventKind.ADDED)
        if not self._put(event):
            return False
        self._ahead[record.id, known.number, known.born] = known.sequence
        self.coalesced += first is not None
        self._pending.pop(number, None)
        self._owed.discard(name)
        return True

    def catch_up(self) -> None:
        """Continue the walk while there is room; called when the marker was reached."""
        if self._watermark is None:
            return
        if not self._walking:
            self._begin_walk(self._watermark)
        while self._queue_walk():
            self._newcomer = False
            delivered = self._walk_top
            self._begin_walk(delivered)
            if self._synced_at is not None and (delivered >= self._synced_at or not self._walk):
                self._synced_at = None
                self._put(self._synced_marker())
            if not self._walk:
                if self._overflow_at is not None:
                    self._overflow_at = self._hub.now()
                self._go_live()
                return
        self._put(LagMarker())

    def _queue_walk(self) -> bool:
        """Queue what the walk has found; False when there is no place for more."""
        while self._late:
            late = self._late[0]
            if not self._is_overtaken(late) and (self._is_full() or not self._put(late)):
                return False
            self._pending.pop(_number_of(self._late.popleft()), None)
        while self._walk or self._next:
            if not self._next:
                self._next.extend(self._events_of(self._walk.popleft()))
            elif self._is_full() or not self._queue(self._next[0]):
                return False
            else:
                self._pending.pop(_number_of(self._next.popleft()), None)
        return True

    def _is_full(self) -> bool:
        """Return whether what is left of the queue is kept for live events."""
        initial = self._newcomer or self._initial
        # The marker after a part of the walk takes a place as well.
        return bool(self._reserve and initial) and self._room() <= self._reserve + 1

    def _is_overtaken(self, late: TaskEvent) -> bool:
        if not self._reserve:
            return False
        number = _number_of(late)
        return number not in self._in_order and self._pending.get(number) != late.sequence

    def _go_live(self) -> None:
        self._watermark = None
        self._walking = False
        for left in (self._walk, self._late, self._next, self._ahead, self._initial, self._owed):
            left.clear()
        self._pending.clear()
        self._in_order.clear()
        self._owed_at = self._walk_at = None
        self._need(None)
        self._skipped = 0

    def _need(self, sequence: int | None) -> None:
        assert self._subscription is not None
        self._subscription.needed_since = sequence
        self._hub.reader_moved()

    def _begin_walk(self, since: int) -> None:
        """Record what the store has that is newer than ``since`` and was not delivered ahead."""
        assert self._subscription is not None
        self._watermark = since
        self._need(since)
        self._ahead = {key: one for key, one in self._ahead.items() if one > since}
        self._initial = {sequence for sequence in self._initial if sequence > since}
        store, covers = self._hub.store, self._subscription.scope.covers
        missed = [
            _Missed(known.sequence, session=record, task=known)
            for record, known in store.changed_since(since, covers)
            if self._ahead.get((record.id, known.number, known.born)) != known.sequence
        ]
        if not self._newcomer:  # deletes before the subscription do not concern it
            deletes = store.deleted_since(since, covers)
            missed += [_Missed(one.event.sequence, deleted=one) for one in deletes]
            missed.sort(key=lambda one: one.sequence)
        self._walk = deque(missed)
        self._note_pending(missed)
        self._owed.clear()
        self._walk_at, self._owed_at = self._owed_at or monotonic(), None
        self._walking = True
        self._walk_top = store.sequence

    def _note_pending(self, missed: list[_Missed]) -> None:
        """Record of which tasks the walk has the first event, for ``_overtake``."""
        if not self._reserve:
            return
        if not self._late:
            self._pending.clear()
            self._in_order.clear()
        for one in missed:
            if one.deleted is not None:
                self._in_order.add(_number_of(one.deleted.event))
            elif one.session and one.task and self._is_new(one.session, one.task):
                number = (one.session.id, one.task.number)
                if self._pending.setdefault(number, one.task.born) != one.task.born:
                    self._in_order.add(number)  # an earlier task of its number waits, too

    def _events_of(self, missed: _Missed) -> Iterator[TaskEvent]:
        assert self._watermark is not None
        if missed.task is not None and missed.session is not None:
            known = missed.task
            self._owed.discard((missed.session.id, str(known.number)))  # its state is delivered
            key = (missed.session.id, known.number, known.born)
            if self._ahead.get(key) == known.sequence:
                return  # it has overtaken this walk
            if known.sequence > self._walk_top:
                # Before it is recorded: ``_present`` asks whether an earlier state was delivered.
                event = self._present(missed.session, known)
                self._ahead[key] = known.sequence
                yield event
                return
            yield self._present(missed.session, known)
        elif missed.deleted is not None:
            deleted, event = missed.deleted, missed.deleted.event
            key = (event.task.session_id, int(event.task.id), deleted.born)
            delivered = deleted.born <= self._watermark or key in self._ahead
            ended = event.task.state.is_terminal and deleted.changed > self._watermark
            if ended and self._ahead.get(key) != deleted.changed:
                yield replace(
                    event,
                    kind=EventKind.UPDATED if delivered else EventKind.ADDED,
                    old=None,
                    source=EventSource.PROBE,
                    sequence=deleted.changed,
                    initial=deleted.changed in self._initial,
                )
                delivered = True
            if delivered:
                yield event

    def _is_new(self, record: SessionRecord, known: TaskRecord) -> bool:
        """Return whether no event of a task was queued yet."""
        assert self._watermark is not None
        key = (record.id, known.number, known.born)
        return known.born > self._watermark and key not in self._ahead

    def _present(self, record: SessionRecord, known: TaskRecord) -> TaskEvent:
        assert self._watermark is not None
        newcomer = self._newcomer and known.sequence <= self._walk_top
        return TaskEvent(
            kind=EventKind.ADDED if self._is_new(record, known) else EventKind.UPDATED,
            task=known.task,
            application=record.application,
            source=EventSource.REPLAY if newcomer else known.source,
            endpoint=self._hub.store.endpoint,
            epoch=record.epoch,
            sequence=known.sequence,
            # What has changed since is news, also of a task that was there before.
            initial=newcomer or known.sequence in self._initial,
            observed_at=self._hub.now() if newcomer else known.window.end,
            session_creation_time=record.creation_time,
            session=record.info,
            memo_holder=known,
        )

    def _queue(self, event: TaskEvent) -> bool:
        """Queue one event of a walk; False when there is no place for it."""
        if self._left_out(event):
            return True
        counted = 0 if self._newcomer else 1  # of those that were counted as left out
        if self._skipped > counted and not self._walk and len(self._next) == 1:
            # The last of a walk says how many changes were left out before it.
            event = replace(event, coalesced=self._skipped - counted)
        if not self._put(event):
            return False
        self.coalesced -= counted
        self._skipped -= counted
        return True


def _number_of(event: TaskEvent) -> Number:
    return event.task.session_id, int(event.task.id)
