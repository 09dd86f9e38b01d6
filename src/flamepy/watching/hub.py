"""The hub: polls, probes, lists and watches of one link become one sequence of events.

There is one hub per link, so a task is never watched twice: futures, ``watch_task``, followed
runs and informers all come here. It runs on the link's loop, owns every asyncio task that
watching needs, and takes every observation: ``store`` says what it means, ``subscriptions`` and
``collector`` who is told. ``polling`` and ``updating`` keep the picture fresh while anybody
listens. User code never runs here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING

from flamepy.errors import ConnectionClosedError, FlameError, InternalError
from flamepy.types import Task
from flamepy.watching.collector import WATCH_BUDGET, Collector, Interest, Listener
from flamepy.watching.events import EventSource, SessionEvent, TaskEvent, Window
from flamepy.watching.polling import Health, Poller
from flamepy.watching.records import SessionRecord
from flamepy.watching.settings import WatchSettings
from flamepy.watching.sources import Engine, Reader
from flamepy.watching.store import Observation, Store, Verdict
from flamepy.watching.subscriptions import Scope, Sink, Subscribers, Subscription
from flamepy.watching.updating import AUDIT, Updater

if TYPE_CHECKING:
    from flamepy.rpc.link import Link

logger = logging.getLogger(__name__)

POLL_INTERVAL = (0.1, 1.0)
PATIENCE = 120.0


class Hub:
    """See the module. Everything here is called on the link's loop.

    Args:
        engine: the calls, usually ``rpc.frontend.Frontend``.
        endpoint: for events and messages.
        patience: seconds without an answer after which waits end with ``UnavailableError``.
        poll_interval: seconds between polls while changes come, and while nothing happens.
        watch_budget: watch streams open at most.
        audit: seconds between two lists of a session whose counters stand still.
        spread: jitter of polls and audits.
    """

    def __init__(
        self,
        engine: Engine,
        endpoint: str,
        *,
        patience: float = PATIENCE,
        poll_interval: tuple[float, float] = POLL_INTERVAL,
        watch_budget: int = WATCH_BUDGET,
        audit: float = AUDIT,
        spread: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        spread = spread or random.Random()
        self.store = Store(endpoint)
        self._subscribers = Subscribers()
        self._reader = Reader(engine, self.store, observe=self._observe, clock=self._loop.time)
        self._collector = Collector(
            engine,
            self._reader,
            observe=self._observe,
            clock=self._loop.time,
            spawn=self._spawn,
            budget=watch_budget,
        )
        self.updater = Updater(
            self.store,
            self._reader,
            self._collector,
            follows=self._subscribers.follow,
            emit=self._emit,
            current=self._subscribers.session_current,
            missed=self._hurry,
            spawn=self._spawn,
            audit=audit,
            spread=spread,
        )
        self._poller = Poller(
            engine,
            self.store,
            reader=self._reader,
            collector=self._collector,
            subscribers=self._subscribers,
            updater=self.updater,
            endpoint=endpoint,
            emit=self._emit,
            emit_session=self._emit_session,
            spawn=self._spawn,
            interval=poll_interval,
            patience=patience,
            spread=spread,
        )
        self._texts: set[tuple[str, int]] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._closed = False
        self._fatal: list[Callable[[BaseException], None]] = []
        self.settings = WatchSettings()
        self.drifts = 0

    @classmethod
    def of(cls, link: Link) -> Hub:
        """Return the hub of a link, made at first use; call on the link's loop."""
        return link.attachment("watching.hub", cls._attach)

    @classmethod
    def _attach(cls, link: Link) -> Hub:
        return cls(link.frontend, link.endpoint, patience=link.patience)

    @property
    def health(self) -> Health:
        """What the polls found out about the engine."""
        return self._poller.health

    def configure(self, settings: WatchSettings) -> None:
        """Change what watching may cost."""
        self.settings = settings

    def freshness(self) -> float:
        """Return the seconds since the last poll that worked was sent; inf before the first."""
        return self._loop.time() - self.health.answered_at

    def on_fatal(self, function: Callable[[BaseException], None]) -> Callable[[], None]:
        """Call ``function``, on the loop, when the hub fails for good; returns the undo."""
        self._fatal.append(function)

        def undo() -> None:
            if function in self._fatal:
                self._fatal.remove(function)

        return undo

    # ------------------------------------------------------------------ waiting for one task

    def wait(self, task: Task) -> asyncio.Future[Task]:
        """Return a future of the task's terminal state.

        The result has its output, or for a failed task its events. It raises a FlameError when
        the fate cannot be known: session or task gone (``TaskLostError``), no service can be
        started (``SessionRetryLimitError``), engine away for longer than the patience
        (``UnavailableError``). Cancelling the future ends the wait, not the task.
        """
        future: asyncio.Future[Task] = self._loop.create_future()
        if task.state.is_terminal and not task.is_failed():
            future.set_result(task)
            return future
        listener = _FutureListener(future)
        interest = self._await(task.session_id, int(task.id), listener)
        record = self.store.session(task.session_id)
        if interest.number not in record.tasks:
            # A newer picture may be there already; this one only fills a gap.
            now = self._loop.time()
            self._observe(task, Window(now, now), EventSource.CREATE, task.error is not None)
        future.add_done_callback(lambda _: self._leave(interest, listener))
        return future

    async def watch(self, session_id: str, task_id: str) -> AsyncGenerator[Task, None]:
        """Yield a task's present state, then each observed change, until it ended.

        Raises:
            TaskNotFoundError, SessionNotFoundError: it is not there now.
            FlameError: as of ``wait``.
        """
        start = self._loop.time()
        present = await self._engine.get_task(session_id, task_id)
        window = Window(start, self._loop.time())
        if present.state.is_terminal:
            yield present
            return
        listener = _QueueListener()
        interest = self._await(session_id, int(task_id), listener)
        try:
            self._observe(present, window, EventSource.PROBE, True)
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
            self._leave(interest, listener)

    def _await(self, session_id: str, number: int, listener: Listener) -> Interest:
        self._check_open()
        interest = self._collector.add(session_id, number, listener)
        self._poller.ensure()
        return interest

    def _leave(self, interest: Interest, listener: Listener) -> None:
        self._collector.remove(interest, listener)
        self._let_go(interest.session_id, interest.number)

    # ------------------------------------------------------------------ subscriptions

    def now(self) -> float:
        """Return the loop's time, in which windows and ``observed_at`` are given."""
        return self._loop.time()

    def present_sessions(self, scope: Scope) -> list[SessionEvent]:
        """Return the present state of the sessions in the scope, for a newcomer."""
        return [
            event
            for record in list(self.store.sessions.values())
            if record.info is not None and scope.covers(record.id, record.application)
            for event in self.store.replay_session(record, self._loop.time())
        ]

    def subscribe(self, scope: Scope, sink: Sink, *, replay: bool = True) -> Subscription:
        """Tell ``sink`` the present state of the scope, then every observed change.

        The present state is flagged ``initial``; there is no gap and no repetition between it
        and what follows (contract G9). Without ``replay`` the caller tells the present state.
        """
        self._check_open()
        if replay:
            for session_event in self.present_sessions(scope):
                sink.session_event(session_event)
            for record in list(self.store.sessions.values()):
                if record.info is not None and scope.covers(record.id, record.application):
                    for event in self.store.replay(record, self._loop.time()):
                        sink.task_event(event)
        subscription = Subscription(scope, sink)
        self._subscribers.add(subscription)
        self._poller.ensure()
        self._hurry()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; its sink is not called again. Idempotent."""
        if self._subscribers.remove(subscription):
            for record in list(self.store.sessions.values()):
                self._prune(record)

    async def catch_up(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds at most, until what has happened by now was told."""
        limit = self._loop.time() + timeout
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._poller.catch_up(), timeout)
        while self._texts and self._loop.time() < limit:  # failures that wait for their text
            await asyncio.sleep(0.005)

    def _prune(self, record: SessionRecord) -> None:
        # Nobody is told about this session any more: keep only what somebody waits for.
        if self._subscribers.follow(record):
            return
        record.synced = False
        awaited = set(self._collector.numbers(record.id))
        for number in [number for number in record.tasks if number not in awaited]:
            self.store.forget_task(record.id, number)

    # ------------------------------------------------------------------ observing

    def _observe(
        self, task: Task, window: Window, source: EventSource, text_known: bool
    ) -> Observation:
        nothing = Observation(Verdict.UNCHANGED)
        if not task.id.isdecimal():
            logger.warning("ignored a task with the id %r: ids are decimal numbers", task.id)
            return nothing
        number = int(task.id)
        record = self.store.session(task.session_id)
        awaited = self._collector.get(task.session_id, number) is not None
        if not awaited and not self._subscribers.follow(record):
            return nothing
        observation = self.store.observe_task(task, window, source, text_known=text_known)
        for event in observation.events:
            self._emit(event)
        if record.info is None and self._subscribers:
            self._hurry()  # nothing is told before the session was seen
        self._follow_up(task, observation.verdict)
        if awaited:
            self._tell(task, number, observation.verdict)
        return observation

    def _follow_up(self, task: Task, verdict: Verdict) -> None:
        if verdict is Verdict.NEEDS_TEXT:
            key = (task.session_id, int(task.id))
            if key not in self._texts:
                self._texts.add(key)
                self._spawn(self._text(key))
        elif verdict is Verdict.STALE:
            self._spawn(self._look_again(task.session_id, int(task.id)))
        elif verdict is Verdict.DRIFT:
            self.drifts += 1
            logger.info("task %s of %s ended twice: now %s", task.id, task.session_id, task.state)

    def _tell(self, task: Task, number: int, verdict: Verdict) -> None:
        # Listeners get the engine's own picture, with payloads, where the store agrees with it.
        known = self.store.session(task.session_id).tasks.get(number)
        if known is None:
            return
        agrees = known.state == task.state and not known.is_held
        ended_twice = verdict is Verdict.DRIFT and task.state.is_terminal
        if ended_twice or (agrees and verdict in (Verdict.APPLIED, Verdict.UNCHANGED)):
            if task.is_failed() and task.error is None:
                task = known.task
            self._collector.tell(task)
            self._let_go(task.session_id, number)

    def _let_go(self, session_id: str, number: int) -> None:
        record = self.store.sessions.get(session_id)
        awaited = self._collector.get(session_id, number) is not None
        if record is not None and not awaited and not self._subscribers.follow(record):
            self.store.forget_task(session_id, number)

    async def _text(self, key: tuple[str, int]) -> None:
        try:
            async with self.updater.workers:
                await self._reader.text(*key)
        finally:
            self._texts.discard(key)

    async def _look_again(self, session_id: str, number: int) -> None:
        async with self.updater.workers:
            try:
                await self._reader.probe(session_id, number)
            except FlameError as error:
                logger.debug("could not look again at %s/%s: %s", session_id, number, error)

    def reader_moved(self) -> None:
        """Take in that ``needed_since`` of a subscription changed."""
        self.store.forget_graves(self._subscribers.needed_since())

    def _emit(self, event: TaskEvent) -> None:
        self._poller.moved = True
        self._subscribers.emit(event)

    def _emit_session(self, event: SessionEvent) -> None:
        self._poller.moved = True
        self._subscribers.emit_session(event)

    def _hurry(self) -> None:
        self._poller.hurry()

    # ------------------------------------------------------------------ life

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionClosedError(f"the connection to {self._endpoint} is closed")

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        job = self._loop.create_task(coroutine)
        self._jobs.add(job)
        job.add_done_callback(self._finished)
        return job

    def _finished(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Watch no more; whoever waits is told why (contract G17)."""
        logger.error("the hub of %s failed: %r", self._endpoint, error, exc_info=error)
        failed = InternalError(f"watching the engine at {self._endpoint} failed: {error!r}")
        failed.__cause__ = error
        for interest in self._collector.all():
            self._collector.lose(interest, failed)
        for function in list(self._fatal):
            function(error)

    async def aclose(self) -> None:
        """Cancel everything and tell those who wait that the connection was closed."""
        self._closed = True
        self._subscribers.clear()
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for interest in self._collector.all():
            closed = ConnectionClosedError(
                f"the connection to {self._endpoint} was closed while task {interest.number} of "
                f"session {interest.session_id!r} had not ended"
            )
            self._collector.lose(interest, closed)


class _FutureListener:
    """Completes a future with the terminal state."""

    def __init__(self, future: asyncio.Future[Task]) -> None:
        self._future = future

    def changed(self, task: Task) -> None:
        if task.state.is_terminal and not self._future.done():
            self._future.set_result(task)

    def lost(self, error: FlameError) -> None:
        if not self._future.done():
            self._future.set_exception(error)


class _QueueListener:
    """Queues each state; bounded by the number of a task's changes that nobody read."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[Task | FlameError] = asyncio.Queue()

    def changed(self, task: Task) -> None:
        self.items.put_nowait(task)

    def lost(self, error: FlameError) -> None:
        self.items.put_nowait(error)
