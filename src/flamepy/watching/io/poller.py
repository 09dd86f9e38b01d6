"""The poll: session counters, repeatedly, as often as changes and their cost allow.

Runs while there are subscribers, waiters, or something that watches the connection alone; for
these a ListNodes is enough. A poll is also the heartbeat: when it fails the engine is away, when
it works again everything unfinished is suspect. ``session_poll`` makes the calls.
"""

from __future__ import annotations

import asyncio
import random

from flamepy.errors import DeadlineExceededError, FlameError, TlsError
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.gatherer import Gatherer
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.session_poll import SessionPoll
from flamepy.watching.io.session_sync import SessionSync
from flamepy.watching.policy.rate_limits import Deadline, Pace
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.policy.sync_planner import retry_delay

CATCH_UP_STEP = 0.005
# While the engine forgets, polls come this often in the time that it keeps a session, though they
# take a fifth of the time: what is not seen in time is lost.
LOOKS = 5.0
HARD_LOAD = 4.0
FIRST_MINUTE = 0.4  # seconds between polls while an outage is young: it is seen to end in a second


class Poller:
    """Polls while there are subscribers or waiters: the counters, and the connection's state.

    Args:
        context: of the hub.
        sessions: reads the sessions.
        sync: reads their tasks.
        gatherer: reads awaited tasks.
        observer: counts what moved.
        outages: records whether polls work.
        spread: jitter.
    """

    def __init__(
        self,
        context: WatchContext,
        sessions: SessionPoll,
        *,
        sync: SessionSync,
        gatherer: Gatherer,
        observer: Observer,
        outages: Outages,
        spread: random.Random,
    ) -> None:
        self._engine = context.engine
        self._store = context.store
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._spawn = context.spawn
        self._now = context.clock
        self._pulse = context.wakeups.poll
        self._sessions = sessions
        self._sync = sync
        self._gatherer = gatherer
        self._observer = observer
        self._outages = outages
        self.health = outages.health
        self._spread = spread
        self._slow = WatchSettings().poll_limits[1]
        self._job: asyncio.Task[None] | None = None
        self._pace = Pace()
        self._deadline = Deadline()
        self._answered = 0  # number of the last poll that worked
        self._beating = False  # the last poll was a heartbeat
        self._watchers = 0  # of the connection: they need a heartbeat and nothing else

    def configure(self, settings: WatchSettings) -> None:
        """Continue with other settings, and poll now."""
        self._sessions.settings = settings
        self._pulse.shortest, self._slow = settings.poll_limits
        self._deadline.configure(settings.poll_timeout, self._slow)
        self._pulse.quicken()

    def ensure(self) -> None:
        """Start polling unless it runs already; after a heartbeat, poll now."""
        if self._job is None or self._job.done():
            self._job = self._spawn(self._run())
        elif self._beating:
            self._pulse.wake()

    @property
    def is_beating(self) -> bool:
        """True while heartbeats are all that is polled, also before the first one."""
        return self._beating and not self._needs_sessions

    @property
    def _needs_sessions(self) -> bool:
        return bool(self._subscribers or self._waiters)

    def watch_connection(self) -> None:
        """Poll, if only for a heartbeat, until ``unwatch_connection``."""
        self._watchers += 1
        self.ensure()

    def unwatch_connection(self) -> None:
        """Undo one ``watch_connection``."""
        self._watchers -= 1
        if not (self._watchers or self._needs_sessions):
            self._pulse.wake()  # nothing is polled any more: the job ends now, not after its rest

    async def catch_up(self) -> None:
        """Wait until a poll that starts from now on was worked on; at once while it is away."""
        target = self.health.polls + 1
        while self._job is not None and not self._job.done() and self.health.down_since is None:
            if self._answered >= target and not self._sync.busy:
                return
            if self._answered < target:
                self._pulse.quicken()
            await asyncio.sleep(CATCH_UP_STEP)

    async def _run(self) -> None:
        failures = 0
        self._beating = not self._needs_sessions
        if self._beating:
            # What is registered right after a start sees the connection's first changes.
            await self._pulse.rest(self._slow)
        while self._needs_sessions or self._watchers:
            started = self._now()
            self._pulse.round_begins()
            self._observer.activity.moved = False
            self._observer.tick()
            try:
                await self._once(after_outage=failures > 0)
            except FlameError as error:
                failures += 1
                self._record_failure(error, started)
                await self._pulse.rest(self._delay_after(error, failures, started))
                continue
            failures = 0
            took = self._record_answer(started)
            if self._beating and self._needs_sessions:
                continue  # they came during the heartbeat
            self.health.every = max(self._pulse.interval, self._rest_after(took))
            await self._pulse.rest(self.health.every)
        self._forget_all()

    async def _once(self, *, after_outage: bool) -> None:
        self.health.polls += 1
        timeout = self._deadline.seconds
        self._beating = not self._needs_sessions
        if self._beating:
            self._forget_all()  # as when polling ends: what is not polled is not known
            await self._engine.list_nodes(timeout=timeout)
            return
        await self._sessions.read(after_outage=after_outage, timeout=timeout)
        self._store.trim()

    def _forget_all(self) -> None:
        self._subscribers.pictured = False
        self._store.clear()
        self._sync.clear()

    # ------------------------------------------------------------------ after a poll

    def _record_answer(self, started: float) -> float:
        """Record that the engine answered; return the seconds that it took."""
        self._answered = self.health.polls
        self.health.heard_at = started
        if not self._beating:
            self.health.answered_at = started
        if self._outages.poll_worked():
            self._sync.suspect_all()
            self._gatherer.suspect_all()
            self._pulse.quicken()
        self._pulse.interval = self._next_interval()
        took = self._now() - started
        self._deadline.answered(took)
        return took

    def _record_failure(self, error: FlameError, started: float) -> None:
        if isinstance(error, DeadlineExceededError):
            self._deadline.silent()
        self._sync.postpone_audits()
        self._outages.poll_failed(error, started)

    def _next_interval(self) -> float:
        if not self._subscribers:
            return self._slow  # awaited tasks have streams or are gathered: this is a heartbeat
        if self._observer.activity.moved or self._sync.chasing:
            return self._pulse.shortest
        return min(self._slow, self._pulse.interval * 1.5)

    def _rest_after(self, took: float) -> float:
        return min(self._pace.rest(took), max(self._sessions.kept / LOOKS, took * HARD_LOAD))

    def _delay_after(self, error: FlameError, failures: int, started: float) -> float:
        young = self._outages.is_young(started) and not isinstance(error, TlsError)
        delay = retry_delay(failures - 1, first=0.1, limit=FIRST_MINUTE if young else 30.0)
        return delay * (0.5 + self._spread.random())
