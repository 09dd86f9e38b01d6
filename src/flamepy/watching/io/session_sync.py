"""Bring sessions up to date: one worker a session, as ``sync_planner`` decides.

A session is worked on when its counters ask for it, when an earlier try left something
unexplained (with a growing back-off), or when its audit is due: what counters hide, such as two
tasks that swap states, an occasional list finds. ``session_poll`` brings the counters, ``reader``
makes the calls, ``observer`` gets the observations.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from flamepy.errors import FlameError, NotFoundError
from flamepy.types import TaskCounts
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.reader import Reader
from flamepy.watching.io.session_scan import SessionScan
from flamepy.watching.io.session_streams import SessionStreams
from flamepy.watching.policy.resync_schedule import AuditSchedule
from flamepy.watching.policy.retention import ReadQueue
from flamepy.watching.policy.sync_planner import (
    SyncStep,
    decide,
    explained,
    retry_delay,
    settled,
)
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import SessionRecord

logger = logging.getLogger(__name__)

AUDIT = 600.0
WORKERS = 64  # sessions that are read at once
FEW = 8  # ... while the engine forgets sessions: the chosen ones must be read without delay
LOAD = 50.0  # a list that explained nothing is repeated after this multiple of its duration


@dataclass(slots=True)
class Progress:
    """How far the work on one session's counters got; times in loop seconds."""

    audit_at: float
    pushed: bool = False  # a stream brings the changes of its known tasks
    refresh: bool = False  # list it whatever the counters say
    audit: bool = False  # ... because its audit is due
    list_took: float = 0.0
    tried: TaskCounts | None = None
    attempts: int = 0
    due: float = 0.0
    quiet_counts: TaskCounts | None = None
    quiet_since: float = 0.0


class SessionSync:
    """Brings the sessions that have subscriptions up to date.

    Args:
        context: of the hub.
        reader: makes the calls.
        observer: delivers what a list shows.
        pushes: the streams that replace reading, of engines that have them.
    """

    def __init__(
        self,
        context: WatchContext,
        reader: Reader,
        observer: Observer,
        pushes: SessionStreams,
    ) -> None:
        self._pushes = pushes
        self._store = context.store
        self._subscribers = context.subscribers
        self._wakeups = context.wakeups
        self._spawn = context.spawn
        self._now = context.clock
        self._reader = reader
        self._observer = observer
        self._list = SessionScan(context, reader, observer)
        self._audit_schedule = AuditSchedule(AUDIT)
        self._busy: set[str] = set()  # those that wait to be read, and those that are read
        self._queue = ReadQueue()
        self._workers = 0
        self._limit = WORKERS
        self._took = 0.1  # seconds of a session's reading, recently
        self._audits: set[str] = set()  # of the busy ones
        self._progress: dict[str, Progress] = {}

    @property
    def busy(self) -> bool:
        """True while any session is worked on."""
        return bool(self._busy)

    @property
    def chasing(self) -> bool:
        """True while any session is worked on because of news, not of its audit."""
        return len(self._busy) > len(self._audits)

    def begin(self, session_id: str) -> Progress:
        """Return a session's progress, made at its first poll."""
        progress = self._progress.get(session_id)
        if progress is None:
            progress = Progress(self._audit_schedule.first(self._now()))
            self._progress[session_id] = progress
        return progress

    def forget(self, session_id: str) -> None:
        """Drop what is known of the work on a session."""
        self._progress.pop(session_id, None)
        self._pushes.forget(session_id)

    def clear(self) -> None:
        """Drop everything: no subscription is left."""
        self._progress.clear()

    def audit_every(self, period: float) -> None:
        """Continue with another audit period."""
        if period != self._audit_schedule.period:
            self._audit_schedule.period = period
            for progress in self._progress.values():
                progress.audit_at = self._audit_schedule.first(self._now())

    def refresh_all(self) -> None:
        """List every session once more."""
        for progress in self._progress.values():
            progress.refresh = True

    def postpone_audits(self) -> None:
        """Spread the audits that are due: what an outage delayed must not come all at once."""
        now = self._now()
        for progress in self._progress.values():
            if progress.audit_at <= now:
                progress.audit_at = self._audit_schedule.first(now)

    def suspect_all(self) -> None:
        """List every session with unfinished tasks: an outage may hide changes (contract G5)."""
        for session_id, progress in self._progress.items():
            record = self._store.sessions.get(session_id)
            if record is not None and next(record.unfinished(), None) is not None:
                progress.refresh = True
                progress.due = 0.0

    def consider(self, record: SessionRecord, progress: Progress) -> None:
        """Start work on a session if its counters, a leftover, or its audit ask for it."""
        now = self._now()
        if not self._subscribers.follow(record):
            return  # of awaited tasks alone ``gatherer`` takes care
        if record.synced and now >= progress.audit_at:
            progress.refresh = progress.audit = True
            progress.audit_at = self._audit_schedule.next(progress.audit_at, now)
        progress.pushed = self._is_pushed(record)
        step = decide(record, self._reader.costs, pushed=progress.pushed)
        if not progress.refresh and step is SyncStep.NOTHING:
            self._pushes.cover(record)
            if settled(record):
                self._mark_current(record)
            return
        news = record.info is None or progress.tried != record.info.counts
        if (news and not progress.refresh) or now >= progress.due:
            self._start(record, progress, news=news)

    def _is_pushed(self, record: SessionRecord) -> bool:
        if not record.synced or self._subscribers.awaits(record.id):
            return False  # what is shown to a new subscription is read
        return self._pushes.brings(record, settled=settled(record))

    def order(self, left: Mapping[str, float]) -> None:
        """Decide, after a poll, which sessions are read first.

        Args:
            left: seconds until each of those that the engine will forget is gone; empty while it
                forgets none.
        """
        self._limit = FEW if left else WORKERS
        self._queue.order(left, 2.0 * self._took)
        self._read_on()

    def _start(self, record: SessionRecord, progress: Progress, *, news: bool) -> None:
        if record.id not in self._busy:
            self._busy.add(record.id)
            if progress.audit and not news:
                self._audits.add(record.id)
            self._queue.add(record.id)

    def _read_on(self) -> None:
        while self._workers < self._limit and (session_id := self._queue.next()) is not None:
            record = self._store.sessions.get(session_id)
            progress = self._progress.get(session_id)
            if record is None or progress is None:  # gone, or without subscriptions
                self._busy.discard(session_id)
                self._audits.discard(session_id)
                continue
            self._workers += 1
            self._spawn(self._work(record, progress))

    async def _work(self, record: SessionRecord, progress: Progress) -> None:
        began = self._now()
        try:
            async with self._reader.workers:
                await self._bring_up_to_date(record, progress)
        except NotFoundError:
            self._wakeups.poll_now()
        except FlameError as error:
            progress.refresh = self._subscribers.follow(record)
            self._try_later(progress)
            logger.debug("work on session %s broke off: %s", record.id, error)
        finally:
            self._workers -= 1
            self._busy.discard(record.id)
            self._audits.discard(record.id)
        self._took += (self._now() - began - self._took) * 0.1
        self._read_on()  # not when it was cancelled: everything ends then

    # ------------------------------------------------------------------ followed sessions

    async def _bring_up_to_date(self, record: SessionRecord, progress: Progress) -> None:
        counts = record.info.counts if record.info else TaskCounts()
        if progress.tried != counts:
            progress.attempts = 0
        progress.tried = counts
        step = decide(record, self._reader.costs, pushed=progress.pushed)
        if progress.refresh or (progress.attempts >= 3 and step is not SyncStep.NOTHING):
            step = SyncStep.LIST
        if step is SyncStep.PROBE:
            costs = self._reader.costs
            cheaper = int(counts.total * costs.listed / costs.get) + 1
            if not await self._reader.probe_until_settled(
                record, limit=cheaper, pushed=progress.pushed
            ):
                step = SyncStep.LIST
        if step is SyncStep.LIST:
            await self._scan(record, progress)
        if self._progress.get(record.id) is not progress:
            return  # its last subscriber left meanwhile: what was read is not kept
        self._pushes.cover(record)
        if explained(record, pushed=progress.pushed):
            progress.attempts, progress.due = 0, 0.0
        else:
            self._try_later(progress)
        if settled(record) or step is SyncStep.LIST:
            self._mark_current(record)

    def _try_later(self, progress: Progress) -> None:
        # What costs much and explains nothing is left to the audit.
        limit = min(max(30.0, progress.list_took * LOAD), max(30.0, self._audit_schedule.period))
        delay = retry_delay(progress.attempts, first=0.2, limit=limit)
        if progress.attempts >= 3:
            delay = max(delay, min(progress.list_took * LOAD, limit))
        progress.attempts += 1
        progress.due = self._now() + delay

    async def _scan(self, record: SessionRecord, progress: Progress) -> None:
        source = EventSource.AUDIT if progress.audit else EventSource.LIST
        progress.refresh = progress.audit = False
        began = self._now()
        try:
            for number in await self._list.scan(record, source):
                start = self._now()
                if await self._reader.confirm_absent(record.id, number):
                    window = Window(start, self._now())
                    for event in self._store.delete_task(record.id, number, window, source):
                        self._observer.emit(event)
        except FlameError:
            progress.audit = source is EventSource.AUDIT
            raise
        progress.list_took = self._now() - began

    def _mark_current(self, record: SessionRecord) -> None:
        if self._store.sessions.get(record.id) is record:  # not reset meanwhile
            record.synced = True
            self._observer.check_drained(record)
            if not record.held:  # else failures wait for their texts; the next poll looks again
                self._subscribers.session_current(record.id)

    def is_outdated(self, record: SessionRecord) -> bool:
        """Return True while something that the counters show was not delivered yet."""
        if record.info is None or record.id in self._busy or not record.synced or record.held:
            return True
        return decide(record, self._reader.costs) is not SyncStep.NOTHING
