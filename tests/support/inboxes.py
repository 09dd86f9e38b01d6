"""A hub without an engine for tests of an inbox: a real store whose tasks do what a test says."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from typing import Any

from flamepy.informers.delivery.inbox import Inbox, LagMarker, Synced, Wanted
from flamepy.informers.workers.key_queue import KeyQueue, Place, Slot
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import EventSource, SessionEvent, TaskEvent, Window
from flamepy.watching.state.observations import Outcome
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Scope, Subscribers, Subscription
from support.made import made_session, made_task


class ModelHub:
    """What an inbox needs of a hub, and a script; time goes on with each observation."""

    def __init__(self) -> None:
        self.subscribers = Subscribers()
        self.store = Store("http://model", needed=self.subscribers.needed_since)
        self.time = 1.0
        self.born: dict[str, int] = {}

    # ------------------------------------------------------------------ as a hub

    def subscribe(
        self, scope: Scope, sink: Any, *, replay: bool = True, live: bool = False
    ) -> Subscription:
        made = Subscription(scope, sink)
        self.subscribers.add(made)
        return made

    def unsubscribe(self, subscription: Subscription) -> None:
        self.subscribers.remove(subscription)

    def present_sessions(self, scope: Scope) -> list[SessionEvent]:
        return []

    def reader_moved(self) -> None:
        self.store.trim()

    def now(self) -> float:
        return self.time

    # ------------------------------------------------------------------ the script

    def polled(self) -> None:
        """Make the first poll for newcomers: all that is there is up to date."""
        for one in self.subscribers.newcomers():
            self.subscribers.polled(one, list(self.store.sessions.values()), ())

    def show_session(self, session_id: str, *, reset: bool = False) -> None:
        """Show a session; ``reset`` makes it another one under the same id."""
        self.born[session_id] = self.born.get(session_id, 0) + reset
        info = made_session(
            session_id,
            TaskCounts(pending=4),
            born=self.born[session_id],
            application=session_id,
        )
        self._emit(self.store.observe_session(info, self._window()))

    def drop_session(self, session_id: str) -> None:
        """Show that a session is gone."""
        self._emit(self.store.drop_session(session_id, self._window()))

    def show(
        self,
        number: int,
        state: TaskState = TaskState.PENDING,
        *,
        session: str = "s",
        born: int | None = None,
        held: bool = False,
    ) -> None:
        """Show a task in a state; ``held``: a failure whose text is still to be read."""
        born = self.born.get(session, 0) if born is None else born
        task = made_task(number, state, session=session, born=born, text=None if held else "no")
        seen = self.store.observe_task(task, self._window(), EventSource.PROBE, text_known=not held)
        for event in seen.events:
            self.subscribers.emit(event)

    def _emit(self, outcome: Outcome) -> None:
        for event in outcome.tasks:
            self.subscribers.emit(event)
        for session_event in outcome.sessions:
            self.subscribers.emit_session(session_event)

    def _window(self) -> Window:
        self.time += 1.0
        return Window(self.time, self.time)


class NotedInbox(Inbox):
    """An inbox that notes what it was told and had to hand on."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.emitted: list[TaskEvent] = []

    def task_event(self, event: TaskEvent) -> None:
        if not self._left_out(event):
            self.emitted.append(event)
        super().task_event(event)


class Reader:
    """An inbox, its queue, and a slow thread played by hand."""

    def __init__(self, hub: ModelHub, limit: int, *, replay: str = "all", reserve: int = 0) -> None:
        self.mailbox = Mailbox(limit)
        self.taken: list[object] = []
        self.overflows = 0
        self.asked = 0
        self.inbox = NotedInbox(
            hub,
            self.mailbox.put,
            lambda: self.mailbox.closed,
            wanted=Wanted(replay=replay, reserve=reserve),
            room=lambda: self.mailbox.room,
            overflowed=self._overflowed,
        )
        self.present = [
            event
            for record in hub.store.sessions.values()
            for event in hub.store.replay(record, hub.now())
            if not self.inbox._left_out(event)
        ]
        self.inbox.subscribe(Scope())

    def _overflowed(self) -> None:
        self.overflows += 1

    def read(self, most: int = 1) -> None:
        """Take up to so many items; what was reached behind is asked for, not yet done."""
        for work in self.mailbox.take(0.0, most):
            items = self.mailbox.open(work)
            self.mailbox.finish(work)
            self.taken += items
            self.asked += any(isinstance(item, LagMarker) for item in items)

    def answer(self) -> None:
        """Let the loop do what was asked for."""
        asked, self.asked = self.asked, 0
        for _ in range(asked):
            self.inbox.catch_up()

    def read_all(self) -> None:
        """Read until nothing is left."""
        while len(self.mailbox) or self.asked:
            self.read(3)
            self.answer()

    @property
    def events(self) -> list[TaskEvent]:
        """The events that were taken."""
        return [one for one in self.taken if isinstance(one, TaskEvent)]

    @property
    def syncs(self) -> list[int]:
        """How many events had been taken at each marker of being synced."""
        return list(self._syncs())

    def _syncs(self) -> Iterator[int]:
        seen = 0
        for one in self.taken:
            seen += isinstance(one, TaskEvent)
            if isinstance(one, Synced):
                yield seen

    @property
    def coalesced(self) -> int:
        """What was counted as left out."""
        return self.mailbox.coalesced + self.inbox.coalesced


class KeyedReader(Reader):
    """The same with several workers, who take long, fail and try again, played by hand.

    Args:
        hub: as of ``Reader``.
        limit: of the queue.
        workers: events in progress at most.
        chance: decides who ends first, and what is tried again.
    """

    def __init__(self, hub: ModelHub, limit: int, *, workers: int, chance: random.Random) -> None:
        self.keys: KeyQueue[Work] = KeyQueue(limit)
        self.running: list[tuple[Slot[Work], list[object]]] = []
        self.workers = workers
        self.chance = chance
        self.time = 0.0
        super().__init__(hub, limit, reserve=max(0, limit - 2) // 2)

    def read(self, most: int = 1) -> None:
        """Let some time pass: events begin, end, and are to be tried again."""
        for work in self.mailbox.take(0.0, 64) if len(self.mailbox) else []:
            item = work.peek()
            initial = isinstance(item, TaskEvent) and item.initial
            self.keys.add(work, self._key(item), initial=initial)
        for _ in range(most):
            self.time += 1.0
            while len(self.running) < self.workers:
                slot = self.keys.take(self.time, self.mailbox.waiting)
                if slot is None:
                    break
                self._begin(slot)
            if self.running:
                self._end(self.chance.randrange(len(self.running)))

    def _begin(self, slot: Slot[Work]) -> None:
        work = slot.entry
        keys = [one.key for one, _ in self.running if not isinstance(one.key, Place)]
        assert slot.key not in keys, "one of a key at a time"
        if work.rest:
            self.mailbox.resume(work)
            self.running.append((slot, work.rest))
        else:
            self.running.append((slot, self.mailbox.open(work)))

    def _end(self, at: int) -> None:
        slot, items = self.running.pop(at)
        work = slot.entry
        if self.chance.random() < 0.2:
            work.rest = items
            self.mailbox.keep(work)
            self.keys.park(slot, self.time + self.chance.choice((0.0, 1.0, 10.0)))
            return
        self.taken += items
        self.asked += any(isinstance(item, LagMarker) for item in items)
        self.mailbox.finish(work)
        self.keys.done(slot)

    def _key(self, item: object) -> Hashable:
        if isinstance(item, TaskEvent):
            return item.task.session_id, item.task.id
        if isinstance(item, Synced):
            return Place.BARRIER
        return Place.ROOM if isinstance(item, LagMarker) else Place.FREE

    def read_all(self) -> None:
        """Read until nothing is left."""
        while len(self.mailbox) or self.asked or self.keys:
            self.read(3)
            self.answer()
