"""The poll: session counters, repeatedly, as often as changes and their cost allow.

With subscribers one ListSession shows every session; with waiting futures only, one GetSession a
session does; while only the connection is watched, a ListNodes. A poll is also the heartbeat:
when it fails the engine is away, when it works again everything unfinished is suspect.
``session_sync`` works on what a poll shows.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    SessionNotFoundError,
    TlsError,
    UnavailableError,
)
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState
from flamepy.watching.io.gatherer import Gatherer
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.reader import WORKERS, Engine, Reader, Spawn
from flamepy.watching.io.session_sync import Progress, SessionSync
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.rate_limits import Deadline, Pace
from flamepy.watching.policy.retention import Retention
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.policy.stall_detector import stuck_session
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.events import Window
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Subscribers
from flamepy.watching.state.waiters import Waiters, lost_session

logger = logging.getLogger(__name__)

CATCH_UP_STEP = 0.005
# While the engine forgets, polls come this often in the time that it keeps a session, though they
# take a fifth of the time: what is not seen in time is lost.
LOOKS = 5.0
HARD_LOAD = 4.0
FIRST_MINUTE = 0.4  # seconds between polls while an outage is young: it is seen to end in a second


@dataclass(slots=True)
class Health:
    """What the polls found out about the engine; read on the loop."""

    polls: int = 0
    every: float = 0.0  # seconds between the last poll and the next one
    outages: int = 0
    answered_at: float = float("-inf")  # when the sessions were shown
    heard_at: float = float("-inf")
    down_since: float | None = None
    last_error: FlameError | None = field(default=None, repr=False)


class Poller:
    """Polls while there are subscribers or waiters: the counters, and the connection's state.

    Args:
        engine, store, reader, interests, collector, subscribers, updater, gatherer: of the hub.
        observer: delivers what a poll shows.
        endpoint: for messages.
        spawn: starts a coroutine on the loop.
        patience: seconds of silence after which waits end with an error.
        spread: jitter.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        reader: Reader,
        interests: Waiters,
        collector: WatchStreams,
        subscribers: Subscribers,
        updater: SessionSync,
        gatherer: Gatherer,
        observer: Observer,
        endpoint: str,
        spawn: Spawn,
        patience: float,
        spread: random.Random,
    ) -> None:
        self._engine = engine
        self._store = store
        self._reader = reader
        self._waiters = interests
        self._streams = collector
        self._subscribers = subscribers
        self._updater = updater
        self._gatherer = gatherer
        self._observer = observer
        self._endpoint = endpoint
        self._spawn = spawn
        self._settings = WatchSettings()
        self._fast, self._slow = self._settings.poll_limits
        self._patience = patience
        self._spread = spread
        self._now = asyncio.get_running_loop().time
        self._job: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._delay = self._fast
        self._pace = Pace()
        self._retention = Retention()
        self._oldest_end: datetime | None = None  # of the closed sessions in the last list
        self._absent: set[str] = set()  # closed sessions that the last list lacked
        self._deadline = Deadline()
        self._answered = 0  # number of the last poll that worked
        self._beating = False  # the last poll was a heartbeat
        self.pictured = False  # the last poll that worked showed every session to a subscriber
        self._watchers = 0  # of the connection: they need a heartbeat and nothing else
        self.health = Health()

    def configure(self, settings: WatchSettings) -> None:
        """Continue with other settings."""
        self._settings = settings
        self._fast, self._slow = settings.poll_limits
        self._deadline.configure(settings.poll_timeout, self._slow)
        self.hurry()

    def ensure(self) -> None:
        """Start polling unless it runs already; after a heartbeat, poll now."""
        if self._job is None or self._job.done():
            self._job = self._spawn(self._run())
        elif self._beating:
            self._wake.set()

    @property
    def is_beating(self) -> bool:
        """True while heartbeats are all that is polled, also before the first one."""
        return self._beating and not (self._subscribers or self._waiters)

    def watch_connection(self) -> None:
        """Poll, if only for a heartbeat, until ``unwatch_connection``."""
        self._watchers += 1
        self.ensure()

    def unwatch_connection(self) -> None:
        """Undo one ``watch_connection``."""
        self._watchers -= 1
        if not (self._watchers or self._subscribers or self._waiters):
            self._wake.set()  # nothing is polled any more: the job ends now, not after its delay

    def hurry(self) -> None:
        """Poll now, and often for a while."""
        self._delay = self._fast
        self._wake.set()

    async def catch_up(self) -> None:
        """Wait until a poll that starts from now on was worked on; at once while it is away."""
        target = self.health.polls + 1
        while self._job is not None and not self._job.done() and self.health.down_since is None:
            if self._answered >= target and not self._updater.busy:
                return
            if self._answered < target:
                self.hurry()
            await asyncio.sleep(CATCH_UP_STEP)

    async def _run(self) -> None:
        failures = 0
        self._beating = not (self._subscribers or self._waiters)
        if self._beating:
            # What is registered right after a start sees the connection's first changes.
            await self._sleep(self._slow)
        while self._subscribers or self._waiters or self._watchers:
            started = self._now()
            self._wake.clear()  # from here on a hurry asks for the poll after this one
            self._observer.activity.moved = False
            self._observer.tick()
            try:
                await self._once(after_outage=failures > 0)
            except FlameError as error:
                failures += 1
                self._down(error, started)
                young = self._now() - (self.health.down_since or started) < 60.0
                limit = FIRST_MINUTE if young and not isinstance(error, TlsError) else 30.0
                delay = retry_delay(failures - 1, first=0.1, limit=limit)
                await self._sleep(delay * (0.5 + self._spread.random()))
                continue
            self._answered = self.health.polls
            self.health.heard_at = started
            if not self._beating:
                self.health.answered_at = started
            if self.health.down_since is not None:
                failures = 0
                self._up()
            self._delay = self._next_delay()
            took = self._now() - started
            self._deadline.answered(took)
            if self._beating and (self._subscribers or self._waiters):
                continue  # they came during the heartbeat
            self.health.every = max(self._delay, self._rest(took))
            await self._sleep(self.health.every)
        self.pictured = False
        self._store.clear()
        self._updater.clear()

    def _next_delay(self) -> float:
        if not self._subscribers:
            return self._slow  # awaited tasks have streams or are gathered: this is a heartbeat
        if self._observer.activity.moved or self._updater.chasing:
            return self._fast
        return min(self._slow, self._delay * 1.5)

    def _rest(self, took: float) -> float:
        kept = self._retention.period
        return min(self._pace.rest(took), max(kept / LOOKS, took * HARD_LOAD))

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except asyncio.TimeoutError:
            return

    # ------------------------------------------------------------------ one poll

    async def _once(self, *, after_outage: bool) -> None:
        self.health.polls += 1
        waiting = self._waiters.sessions()
        self._beating = not self._subscribers and not waiting
        if self._beating:
            self.pictured = False
            self._store.clear()  # as when polling ends: what is not polled is not known
            self._updater.clear()
            await self._engine.list_nodes(timeout=self._deadline.seconds)
            return
        if self._subscribers or len(waiting) > WORKERS:
            await self._all(after_outage)
        else:
            await self._each(waiting, after_outage)
            self._updater.order({})
            self.pictured = False
        self._store.trim()

    async def _each(self, session_ids: Collection[str], after_outage: bool) -> None:
        ids = list(session_ids)
        for first in range(0, len(ids), WORKERS):
            chunk = ids[first : first + WORKERS]
            calls = [self._one(session_id, after_outage) for session_id in chunk]
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer

    async def _all(self, after_outage: bool) -> None:
        start = self._now()
        newcomers = self._subscribers.newcomers()
        sessions = await self._engine.list_sessions(timeout=self._deadline.seconds)
        window = Window(start, self._now())
        ends = (one.completion_time for one in sessions if _has_ended(one))
        self._oldest_end = min((end for end in ends if end is not None), default=None)
        listed = {info.id for info in sessions}
        for info in sessions:
            self._take(info, window)
        records = list(self._store.sessions.values())
        absent = {one.id for one in records if one.info and one.window_end <= start} - listed
        absent |= {one for one in self._waiters.sessions() if one not in listed}
        vanished = self._drop_forgotten(absent, window) if not after_outage else 0
        before = len(self._store.sessions)
        await self._each(sorted(absent), after_outage)
        vanished += before - len(self._store.sessions)
        self._learn(sessions, start, vanished)
        self.pictured = bool(self._subscribers)
        if newcomers:
            records = list(self._store.sessions.values())
            outdated = {one.id for one in records if self._updater.is_outdated(one)}
            for one in newcomers:
                self._subscribers.polled(one, records, outdated)

    def _drop_forgotten(self, absent: set[str], window: Window) -> int:
        """Drop those that two lists in a row lacked, while the engine forgets; return how many.

        Usually an absence is confirmed by a GetSession each, which would double the cost of what
        is gone just when there is no time for it.
        """
        closed = {one for one in absent if self._is_closed(one) and not self._waiters.waits_in(one)}
        if math.isinf(self._retention.period):
            self._absent = closed
            return 0
        gone = closed & self._absent
        self._absent = closed - gone
        absent -= closed
        for session_id in gone:
            error = SessionNotFoundError(f"session {repr_of(session_id)} not found")
            self._gone(session_id, window, error, lost=False)
        return len(gone)

    def _was_oldest(self, session_id: str) -> bool:
        """Return True if it ended before all that are left: the engine evicts in that order."""
        record = self._store.sessions.get(session_id)
        ended = record.info.completion_time if record is not None and record.info else None
        return ended is not None and self._oldest_end is not None and ended <= self._oldest_end

    def _is_closed(self, session_id: str) -> bool:
        record = self._store.sessions.get(session_id)
        return record is not None and record.info is not None and _has_ended(record.info)

    def _learn(self, sessions: Collection[SessionInfo], start: float, vanished: int) -> None:
        """Learn how fast the engine forgets, and have read first what will be gone first."""
        closed = [one for one in sessions if _has_ended(one)]
        self._retention.polled(start, closed=len(closed), vanished=vanished)
        if math.isinf(self._retention.period):
            self._updater.order({})
            return
        closed.sort(key=lambda one: (one.completion_time or one.creation_time, one.creation_time))
        self._updater.order(self._retention.left([one.id for one in closed]))

    async def _one(self, session_id: str, after_outage: bool) -> None:
        start = self._now()
        try:
            info = await self._engine.get_session(session_id, timeout=self._deadline.seconds)
        except SessionNotFoundError as error:
            window = Window(start, self._now())
            self._gone(session_id, window, error, lost=after_outage)
            return
        self._take(info, Window(start, self._now()))

    def _gone(
        self, session_id: str, window: Window, error: SessionNotFoundError, *, lost: bool
    ) -> None:
        evicted = self._was_oldest(session_id)
        outcome = self._store.drop_session(session_id, window, lost=lost, evicted=evicted)
        self._updater.forget(session_id)
        self._observer.take(outcome)
        self._waiters.lose_session(session_id, lost_session(session_id, error))
        self._subscribers.session_current(session_id)

    def _take(self, info: SessionInfo, window: Window) -> None:
        outcome = self._store.observe_session(info, window)
        if outcome.reset is not None:
            self._updater.forget(info.id)
        self._waiters.lose_older(info.id, info.creation_time)
        progress = self._updater.begin(info.id)
        self._observer.take(outcome)
        record = self._store.session(info.id)
        self._updater.consider(record, progress)
        self._check_stuck(info, progress)
        if self._subscribers.follow(record):
            self._observer.check_stalled(record, self._settings.stall_after)

    # ------------------------------------------------------------------ stuck, down, up

    def _check_stuck(self, info: SessionInfo, progress: Progress) -> None:
        if not self._waiters.waits_in(info.id):
            return
        now = self._now()
        if progress.quiet_counts != info.counts:
            progress.quiet_counts, progress.quiet_since = info.counts, now
        error = stuck_session(info, now - progress.quiet_since)
        if error is not None:
            self._spawn(self._give_up(info.id, error))

    async def _give_up(self, session_id: str, error: FlameError) -> None:
        # Each wait ends only after a last look at its task; a running one continues.
        for number in self._waiters.numbers(session_id):
            try:
                task = await self._reader.probe(session_id, number)
            except FlameError:
                continue
            interest = self._waiters.get(session_id, number)
            if interest is not None and task is not None and task.state == 0:
                self._waiters.lose(interest, error)

    def _down(self, error: FlameError, started: float) -> None:
        health = self.health
        health.last_error = error
        if isinstance(error, DeadlineExceededError):
            self._deadline.silent()
        self._updater.postpone_audits()
        if health.down_since is None:
            health.down_since = started
            health.outages += 1
            self._streams.away()
            logger.info("the poll of %s failed: %s", self._endpoint, error.message)
            self._subscribers.failed(error)
        away = self._now() - health.down_since
        if away < self._patience:
            return
        for interest in self._waiters.all():
            lost = UnavailableError(
                f"the engine at {self._endpoint} has not answered for {away:.0f} s, so the fate "
                f"of task {interest.number} of session {repr_of(interest.session_id)} is unknown: "
                f"{error.message}"
            )
            lost.__cause__ = error
            self._waiters.lose(interest, lost)

    def _up(self) -> None:
        logger.info("the poll of %s works again", self._endpoint)
        self.health.down_since = None
        self._streams.back()
        self._updater.suspect_all()
        self._gatherer.suspect_all()
        self.hurry()


def _has_ended(info: SessionInfo) -> bool:
    return info.state == SessionState.CLOSED
