"""The hub: polls, probes, lists and watches of one link become one sequence of events.

There is one hub per link, so a task is never watched twice: futures, ``watch_task``, followed
runs and informers all come here. It runs on the link's loop, owns every asyncio task that
watching needs. ``observer`` handles every observation: ``store`` says what it means,
``subscriptions`` and ``waiters`` which callers receive it. ``io.poller`` and ``io.session_sync``
keep the state fresh while there are any. User code never runs here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from flamepy.errors import ConnectionClosedError, FlameError, InternalError
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.transport.ways_out import start_one
from flamepy.texts import repr_of
from flamepy.types import Task
from flamepy.watching.io.context import Engine, WatchContext
from flamepy.watching.io.gatherer import Gatherer
from flamepy.watching.io.jobs import Jobs
from flamepy.watching.io.listeners import FutureListener, QueueListener
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.outages import Health, Outages
from flamepy.watching.io.poller import Poller
from flamepy.watching.io.reader import Reader
from flamepy.watching.io.session_poll import SessionPoll
from flamepy.watching.io.session_streams import SessionStreams
from flamepy.watching.io.session_sync import SessionSync
from flamepy.watching.io.wakeups import Wakeups
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.events import EventSource, SessionEvent, Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Scope, Sink, Subscribers, Subscription
from flamepy.watching.state.waiters import Interest, Listener, Waiters

if TYPE_CHECKING:
    from flamepy.rpc.link import Link

logger = logging.getLogger(__name__)

PATIENCE = 120.0


class Hub:
    """Reads the engine for one link, and delivers what it finds. Call it on the link's loop.

    Args:
        engine: the calls, usually ``rpc.requests.frontend.Frontend``.
        endpoint: for events and messages.
        settings: what watching may cost; ``configure`` changes it.
        patience: seconds without an answer after which waits end with ``UnavailableError``.
        spread: jitter of polls after a failure.
        patient: the calls made for a caller that waits for the answer; ``engine`` by default.
    """

    def __init__(
        self,
        engine: Engine,
        endpoint: str,
        *,
        settings: WatchSettings | None = None,
        patience: float = PATIENCE,
        spread: random.Random | None = None,
        patient: Engine | None = None,
    ) -> None:
        self._patient = patient or engine
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._settings = settings or WatchSettings()
        self._jobs = Jobs(self._job_ended)
        self._closed = False
        self._fatal: list[Callable[[BaseException], None]] = []
        self._subscribers = Subscribers()
        self._waiters = Waiters()
        self._wakeups = Wakeups()
        self.store = Store(endpoint, needed=self._subscribers.needed_since)
        context = WatchContext(
            engine=engine,
            store=self.store,
            subscribers=self._subscribers,
            waiters=self._waiters,
            wakeups=self._wakeups,
            clock=self._loop.time,
            spawn=self._jobs.spawn,
            endpoint=endpoint,
        )
        self._outages = Outages(context, patience)
        self._observer = Observer(context)
        self._reader = Reader(context, self._observer)
        self._streams = WatchStreams(context, self._reader, self._outages)
        self._pushes = SessionStreams(context, self._reader, self._outages, self._streams)
        self._gatherer = Gatherer(context, self._reader, self._streams, self._outages)
        self._sync = SessionSync(context, self._reader, self._observer, self._pushes)
        self._sessions = SessionPoll(context, self._reader, self._observer, self._sync)
        self._poller = Poller(
            context,
            self._sessions,
            sync=self._sync,
            gatherer=self._gatherer,
            observer=self._observer,
            outages=self._outages,
            spread=spread or random.Random(),
        )
        self.configure(self._settings)

    @classmethod
    def of(cls, link: Link) -> Hub:
        """Return the hub of a link, made at first use; call on the link's loop."""
        return link.attachment("watching.hub", cls._attach)

    @classmethod
    def _attach(cls, link: Link) -> Hub:
        return cls(link.hasty, link.endpoint, patience=link.patience, patient=link.frontend)

    @property
    def health(self) -> Health:
        """What the polls found out about the engine."""
        return self._outages.health

    @property
    def drifts(self) -> int:
        """How often a task was seen to end a second time."""
        return self._observer.activity.drifts

    @property
    def dropped(self) -> deque[tuple[Interest, Listener]]:
        """Where a finalizer records, on any thread, a wait that has ended; swept at each poll."""
        return self._waiters.dropped

    @property
    def missed(self) -> int:
        """How many ends of tasks were not read before their session was gone."""
        return self._observer.activity.missed

    @property
    def settings(self) -> WatchSettings:
        """What watching may cost."""
        return self._settings

    def configure(self, settings: WatchSettings) -> None:
        """Continue with other settings.

        Open streams stay open. If payloads are wanted from now on, every known session is listed
        again, at once.
        """
        if settings.payloads and not self._settings.payloads:
            self._sync.refresh_all()
        self._settings = settings
        self.store.payloads = self._reader.payloads = settings.payloads
        self.store.history.retain = settings.retain_terminal
        self._reader.limits.resize(settings.calls_per_second, settings.bytes_per_second)
        self._streams.resize(settings.watch_budget)
        self._pushes.resize(settings.watch_budget)
        self._sync.audit_every(settings.audit)
        self._poller.configure(settings)
        self.store.trim()

    def freshness(self) -> float:
        """Return the seconds since the last poll that worked was sent; inf before the first."""
        return self.now() - self.health.answered_at

    def obstacle(self) -> str:
        """Return why polls fail now, as " (reason)"; the empty text while they work.

        For errors of waits that timed out. May be called on any thread.
        """
        error, seen = self.health.last_error, self.health.answered_at > float("-inf")
        if error is None or self.health.down_since is None:
            return ""
        away = error.failure == Failure.NOT_SENT.value
        return f" ({error.message}{start_one(self._endpoint) if away and not seen else ''})"

    def heartbeat_age(self) -> float | None:
        """Return the seconds since the last heartbeat; None while sessions are polled."""
        return self.now() - self.health.heard_at if self._poller.is_beating else None

    def now(self) -> float:
        """Return the loop's time, in which windows and ``observed_at`` are given."""
        return self._loop.time()

    def watch_connection(self) -> Callable[[], None]:
        """Send heartbeats while nothing else is polled, so that an outage is noticed.

        Returns:
            A function that ends it; it may be called more than once.
        """
        self._check_open()
        self._poller.watch_connection()
        watched = True

        def undo() -> None:
            nonlocal watched
            if watched:
                watched = False
                self._poller.unwatch_connection()

        return undo

    def on_fatal(self, function: Callable[[BaseException], None]) -> Callable[[], None]:
        """Call ``function``, on the loop, when the hub fails for good; return what undoes that."""
        self._fatal.append(function)

        def undo() -> None:
            if function in self._fatal:
                self._fatal.remove(function)

        return undo

    # ------------------------------------------------------------------ waiting for one task

    def wait(self, task: Task, *, alone: bool = True) -> asyncio.Future[Task]:
        """Return a future of the task's terminal state.

        The result has its output, or for a failed task its events. It raises a FlameError when
        the fate cannot be known: session or task gone (``TaskLostError``), no service can be
        started (``SessionRetryLimitError``), engine away for longer than the patience
        (``UnavailableError``). Cancelling the future ends the wait, not the task.

        Args:
            task: as last shown.
            alone: a caller waits for this very task; False for one of many.
        """
        future: asyncio.Future[Task] = self._loop.create_future()
        listener = FutureListener(future)
        interest = self.notify_end(task, listener, alone=alone)
        if interest is not None:
            future.add_done_callback(lambda _: self.leave(interest, listener))
        return future

    def notify_end(self, task: Task, listener: Listener, *, alone: bool = False) -> Interest | None:
        """Notify ``listener`` of the end of a task, now if it has ended; as ``wait``."""
        if task.state.is_terminal and not task.is_failed():
            listener.changed(task)
            return None
        number = int(task.id)
        interest = self.expect(
            task.session_id, number, listener, born=task.creation_time, alone=alone
        )
        if not interest.listeners:
            return None  # a newer task has its id
        record = self.store.session(task.session_id)
        known = number in record.tasks or record.retired.delivered(number)
        if not known and self._subscribers.may_follow(record):
            # It only fills a gap: the store may already know a newer state.
            now = self._loop.time()
            self._reader.report(task, Window(now, now), EventSource.CREATE, task.error is not None)
        return interest

    def expect(
        self,
        session_id: str,
        number: int,
        listener: Listener,
        *,
        born: datetime | None,
        alone: bool = False,
    ) -> Interest:
        """Notify ``listener`` of the end of a task; as ``wait``, for callers that wait for many.

        Args:
            session_id: of the task.
            number: its id.
            listener: receives the end alone, or the error after which it cannot be known.
            born: when the engine created it.
            alone: see ``wait``.
        """
        return self._await(session_id, number, listener, born, states=False, alone=alone)

    async def watch(self, session_id: str, task_id: str) -> AsyncGenerator[Task, None]:
        """Yield a task's present state, then each observed change, until it ended.

        Raises:
            TaskNotFoundError, SessionNotFoundError: it is not there now.
            FlameError: as of ``wait``.
        """
        start = self._loop.time()
        present = await self._patient.get_task(session_id, task_id)
        window = Window(start, self._loop.time())
        if present.state.is_terminal:
            yield present
            return
        listener = QueueListener()
        interest = self._await(session_id, int(task_id), listener, present.creation_time)
        try:
            self._reader.report(present, window, EventSource.PROBE, True)
            yield present
            shown = present.state
            while not shown.is_terminal:
                item = await listener.items.get()
                if isinstance(item, FlameError):
                    raise item
                if item.state != shown:
                    shown = item.state
                    yield item
        finally:
            self.leave(interest, listener)

    def _await(
        self,
        session_id: str,
        number: int,
        listener: Listener,
        born: datetime | None = None,
        *,
        states: bool = True,
        alone: bool = True,
    ) -> Interest:
        self._check_open()
        interest = self._pushes.add(session_id, number, listener, born, states=states, alone=alone)
        self._poller.ensure()
        self._gatherer.ensure()
        return interest

    def hasten(self, session_id: str, number: int) -> None:
        """Record that a caller blocks until a task ends that is awaited among others."""
        self._streams.hasten(session_id, number)
        self._gatherer.ensure()

    def leave(self, interest: Interest, listener: Listener) -> None:
        """Wait no longer; idempotent."""
        self._waiters.remove(interest, listener)
        self._observer.release_task(interest.session_id, interest.number)

    # ------------------------------------------------------------------ subscriptions

    def present_sessions(self, scope: Scope) -> list[SessionEvent]:
        """Return the present state of the sessions in the scope, for a new subscription."""
        return [
            event
            for record in list(self.store.sessions.values())
            if record.info is not None and scope.covers(record.id, record.application)
            for event in self.store.replay_session(record, self.now())
        ]

    def subscribe(
        self, scope: Scope, sink: Sink, *, replay: bool = True, live: bool = False
    ) -> Subscription:
        """Deliver to ``sink`` the present state of the scope, then every observed change.

        The present state is flagged ``initial``; there is no gap and no repetition between it
        and what follows (contract G9).

        Args:
            scope: which sessions.
            sink: what gets the events.
            replay: False: the caller delivers the present state.
            live: the caller drops initial events, so that nothing created after the subscription
                may be flagged ``initial``. If the sessions have been polled, the last poll decides
                what is initial; else the next one does.
        """
        self._check_open()
        if replay:
            for session_event in self.present_sessions(scope):
                sink.session_event(session_event)
            for record in list(self.store.sessions.values()):
                if record.info is not None and scope.covers(record.id, record.application):
                    for event in self.store.replay(record, self.now()):
                        sink.task_event(event)
        subscription = Subscription(scope, sink)
        if live and self._subscribers.pictures(scope):
            self._subscribers.picture(subscription, self.store.sessions.values())
        self._subscribers.add(subscription)
        self._poller.ensure()
        self._wakeups.poll_now()
        return subscription

    def may_follow(self, session_id: str) -> bool:
        """Return True if a subscription wants the session's tasks, or may once it was seen."""
        record = self.store.sessions.get(session_id)
        if record is None:
            return bool(self._subscribers)
        return self._subscribers.may_follow(record)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; its sink is not called again. Idempotent."""
        if self._subscribers.remove(subscription):
            for record in list(self.store.sessions.values()):
                self._prune(record)

    async def first_look(self, timeout: float) -> None:
        """Wait until a poll has shown the sessions, the engine is away, or the time is up.

        What is created from then on does not count as initial, for no subscription. So a poll
        that was in flight when one of them began is not enough.
        """
        limit = self._loop.time() + timeout
        while not self._subscribers.all_pictured and self.health.down_since is None:
            if self._loop.time() >= limit or not self._jobs:
                return
            await asyncio.sleep(0.002)

    async def catch_up(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds at most, until what has happened by now was delivered."""
        limit = self._loop.time() + timeout
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._poller.catch_up(), timeout)
        while self._reader.waits_for_text and self._loop.time() < limit:
            await asyncio.sleep(0.005)

    def _prune(self, record: SessionRecord) -> None:
        # The session has no subscription any more: keep only the tasks with waiters.
        if self._subscribers.follow(record):
            return
        record.synced = record.drained = False
        self._sync.forget(record.id)  # a later subscriber starts without a back-off
        record.forget_retired()
        awaited = set(self._waiters.numbers(record.id))
        for number in [number for number in record.tasks if number not in awaited]:
            self.store.forget_task(record.id, number)

    def reader_moved(self) -> None:
        """Apply a change of ``needed_since`` of a subscription."""
        self.store.trim()

    # ------------------------------------------------------------------ life

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionClosedError(f"the connection to {self._endpoint} is closed")

    def _job_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
        else:
            self._gatherer.ensure()  # it may have been the stream of a task

    def _fail(self, error: BaseException) -> None:
        """Stop watching, and end every wait with the reason (contract G17)."""
        logger.error("the hub of %s failed: %s", self._endpoint, repr_of(error), exc_info=error)
        failed = InternalError(f"watching the engine at {self._endpoint} failed: {repr_of(error)}")
        failed.__cause__ = error
        self._subscribers.clear()
        self._jobs.cancel()
        for interest in self._waiters.all():
            self._end(interest, failed)
        for function in list(self._fatal):
            function(error)

    def _end(self, interest: Interest, why: FlameError) -> None:
        # The fault may be in the code that notifies listeners; none of them must wait for ever.
        listeners, interest.listeners = list(interest.listeners), []
        for listener in listeners:
            listener.lost(why)
        self._waiters.lose(interest, why)

    async def aclose(self) -> None:
        """Cancel everything and notify the waiters that the connection was closed."""
        self._closed = True
        self._subscribers.clear()
        for interest in self._waiters.all():
            closed = ConnectionClosedError(
                f"the connection to {self._endpoint} was closed while task {interest.number} of "
                f"session {repr_of(interest.session_id)} had not ended"
            )
            self._waiters.lose(interest, closed)
        await self._jobs.aclose()
        self._observer.tick(everything=True)
