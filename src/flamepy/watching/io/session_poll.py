"""What one poll reads: the sessions with their counters, and which of them are gone.

With subscribers one ListSession shows every session; with waiting futures only, one GetSession a
session does. ``poller`` says when; ``session_sync`` reads the tasks of what a poll showed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from datetime import datetime

from flamepy.errors import FlameError, SessionNotFoundError
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState, TaskState
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.reader import WORKERS, Reader
from flamepy.watching.io.session_sync import Progress, SessionSync
from flamepy.watching.policy.retention import Retention
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.policy.stall_detector import stuck_session
from flamepy.watching.state.events import Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.waiters import lost_session


class SessionPoll:
    """Reads the sessions, and passes what that shows to store, observer and sync.

    Args:
        context: of the hub.
        reader: looks once more at tasks before their waits end.
        observer: delivers what a poll shows.
        sync: reads the tasks of sessions whose counters moved.

    Attributes:
        settings: ``Poller.configure`` changes them.
        kept: seconds that the engine keeps a closed session, as observed; inf while it drops none.
    """

    def __init__(
        self, context: WatchContext, reader: Reader, observer: Observer, sync: SessionSync
    ) -> None:
        self._context = context
        self._engine = context.engine
        self._store = context.store
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._now = context.clock
        self._spawn = context.spawn
        self._reader = reader
        self._observer = observer
        self._sync = sync
        self._retention = Retention()
        self._oldest_end: datetime | None = None  # of the closed sessions in the last list
        self._absent: set[str] = set()  # closed sessions that the last list lacked
        self.settings = WatchSettings()

    @property
    def kept(self) -> float:
        """Seconds that the engine keeps a session after its end; inf while it forgets none."""
        return self._retention.period

    async def read(self, *, after_outage: bool, timeout: float) -> None:
        """Read the sessions with subscriptions or waiters. Raises FlameError.

        Args:
            after_outage: the last poll failed, so what is absent was lost.
            timeout: seconds for each call.
        """
        waiting = self._waiters.sessions()
        if self._subscribers or len(waiting) > WORKERS:
            await self._all(after_outage, timeout)
        else:
            await self._each(waiting, after_outage, timeout)
            self._sync.order({})
            self._subscribers.pictured = False

    async def _each(self, session_ids: Collection[str], after_outage: bool, timeout: float) -> None:
        ids = list(session_ids)
        for first in range(0, len(ids), WORKERS):
            chunk = ids[first : first + WORKERS]
            calls = [self._one(session_id, after_outage, timeout) for session_id in chunk]
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer

    async def _all(self, after_outage: bool, timeout: float) -> None:
        start = self._now()
        newcomers = self._subscribers.newcomers()
        application = self._only_application()
        chosen = {} if application is None else {"application": application}
        sessions = await self._engine.list_sessions(**chosen, timeout=timeout)
        window = Window(start, self._now())
        ends = (one.completion_time for one in sessions if _has_ended(one))
        self._oldest_end = min((end for end in ends if end is not None), default=None)
        listed = {info.id for info in sessions}
        for info in sessions:
            self._record(info, window)
        records = list(self._store.sessions.values())
        if application is not None:
            records = self._of(application, records)
        absent = {one.id for one in records if one.info and one.window_end <= start} - listed
        absent |= {one for one in self._waiters.sessions() if one not in listed}
        vanished = self._drop_forgotten(absent, window) if not after_outage else 0
        before = len(self._store.sessions)
        await self._each(sorted(absent), after_outage, timeout)
        vanished += before - len(self._store.sessions)
        self._learn_retention(sessions, start, vanished)
        self._subscribers.pictured = bool(self._subscribers)
        self._subscribers.pictured_application = application
        if newcomers:
            records = list(self._store.sessions.values())
            outdated = {one.id for one in records if self._sync.is_outdated(one)}
            for one in newcomers:
                self._subscribers.polled(one, records, outdated)

    def _only_application(self) -> str | None:
        """Return the application whose sessions are all that is needed, where it can be asked for.

        Those of awaited tasks may be of others; engine 0.6 has no such filter.
        """
        application = self._subscribers.application
        if application is None or not self._context.is_pushed:
            return None
        records = (self._store.sessions.get(one) for one in self._waiters.sessions())
        alike = all(one is not None and one.application == application for one in records)
        return application if alike else None

    def _of(self, application: str, records: list[SessionRecord]) -> list[SessionRecord]:
        """Return the records of an application; forget the others, which nothing needs."""
        kept = []
        for record in records:
            if record.info is None or record.application == application:
                kept.append(record)
            else:
                self._store.forget_session(record)
                self._sync.forget(record.id)
        return kept

    async def _one(self, session_id: str, after_outage: bool, timeout: float) -> None:
        start = self._now()
        try:
            info = await self._engine.get_session(session_id, timeout=timeout)
        except SessionNotFoundError as error:
            window = Window(start, self._now())
            self._record_absence(session_id, window, error, lost=after_outage)
            return
        self._record(info, Window(start, self._now()))

    def _record(self, info: SessionInfo, window: Window) -> None:
        outcome = self._store.observe_session(info, window)
        if outcome.reset is not None:
            self._sync.forget(info.id)
        self._waiters.lose_older(info.id, info.creation_time)
        progress = self._sync.begin(info.id)
        self._observer.deliver_outcome(outcome)
        record = self._store.session(info.id)
        self._sync.consider(record, progress)
        self._check_stuck(info, progress)
        if self._subscribers.follow(record):
            self._observer.check_stalled(record, self.settings.stall_after)

    # ------------------------------------------------------------------ absent sessions

    def _record_absence(
        self, session_id: str, window: Window, error: SessionNotFoundError, *, lost: bool
    ) -> None:
        evicted = self._was_oldest(session_id)
        outcome = self._store.drop_session(session_id, window, lost=lost, evicted=evicted)
        self._sync.forget(session_id)
        self._observer.deliver_outcome(outcome)
        self._waiters.lose_session(session_id, lost_session(session_id, error))
        self._subscribers.session_current(session_id)

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
            self._record_absence(session_id, window, error, lost=False)
        return len(gone)

    def _was_oldest(self, session_id: str) -> bool:
        """Return True if it ended before all that are left: the engine evicts in that order."""
        record = self._store.sessions.get(session_id)
        ended = record.info.completion_time if record is not None and record.info else None
        return ended is not None and self._oldest_end is not None and ended <= self._oldest_end

    def _is_closed(self, session_id: str) -> bool:
        record = self._store.sessions.get(session_id)
        return record is not None and record.info is not None and _has_ended(record.info)

    def _learn_retention(
        self, sessions: Collection[SessionInfo], start: float, vanished: int
    ) -> None:
        """Learn how fast the engine forgets, and read first what will be gone first."""
        closed = [one for one in sessions if _has_ended(one)]
        self._retention.polled(start, closed=len(closed), vanished=vanished)
        if math.isinf(self._retention.period):
            self._sync.order({})
            return
        closed.sort(key=lambda one: (one.completion_time or one.creation_time, one.creation_time))
        self._sync.order(self._retention.left([one.id for one in closed]))

    # ------------------------------------------------------------------ stuck sessions

    def _check_stuck(self, info: SessionInfo, progress: Progress) -> None:
        if not self._waiters.waits_in(info.id):
            return
        now = self._now()
        if progress.quiet_counts != info.counts:
            progress.quiet_counts, progress.quiet_since = info.counts, now
        error = stuck_session(info, now - progress.quiet_since)
        if error is not None:
            self._spawn(self._end_pending_waits(info.id, error))

    async def _end_pending_waits(self, session_id: str, error: FlameError) -> None:
        # Each wait ends only after a last look at its task; a running one continues.
        for number in self._waiters.numbers(session_id):
            try:
                task = await self._reader.probe(session_id, number)
            except FlameError:
                continue
            interest = self._waiters.get(session_id, number)
            if interest is not None and task is not None and task.state == TaskState.PENDING:
                self._waiters.lose(interest, error)


def _has_ended(info: SessionInfo) -> bool:
    return info.state == SessionState.CLOSED
