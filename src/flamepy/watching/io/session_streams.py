"""The streams of WatchTasks: an engine after 0.6 pushes a session's changes. On the link's loop.

Each session has one, while there is a free place and a task to follow: awaited ones (``add``) and
those of sessions with subscriptions (``cover``). It replaces their watches, probes and lists.
New tasks are not announced, so sessions are polled as before; what was seen is registered. An id
that the engine does not know ends the stream for all, so nothing else is ever registered.

``PushPlan`` knows what is registered, ``PushTrust`` when a stream is not believed. What a stream
cannot follow any more goes back to ``watch_streams`` and the lists; on engines of 0.6 everything
stays there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from flamepy.errors import FlameError, InvalidArgumentError, NotFoundError
from flamepy.types import SessionState, TaskCounts
from flamepy.watching.io.context import TaskExchange, WatchContext
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.reader import Reader
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.push_plan import PushPlan, PushTrust
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.waiters import Interest, Listener

SHARE = 4  # sessions' streams for each of ``watch_budget``: a stream has a whole session
LOOK = 10.0  # seconds between two looks at whether a stream is needed, and lives
REST, LONG_REST = 1.0, 30.0  # seconds at most between two tries; of an engine that is away
REFUSED = 10.0, 600.0  # seconds without a stream after a first and after many refusals
MANY = 1000  # refusals before those that are over are dropped
USELESS = 3  # short streams in a row, of an engine that is there: something cuts all of them
LASTING = 5.0  # seconds after which an end is a proxy's cut, and no repeated failure
REFUSALS = (NotFoundError, InvalidArgumentError)  # a closed session is one of the latter


class _Pushed:
    """A session with a stream."""

    def __init__(self, session_id: str, now: float) -> None:
        self.id = session_id
        self.plan = PushPlan()
        self.trust = PushTrust()
        self.woken = asyncio.Event()
        self.heard = now  # of its last message
        self.counts: TaskCounts | None = None  # as of the last look
        self.covered = -1  # how many tasks of the session were known when they were registered
        self.stream: TaskExchange | None = None


class SessionStreams:
    """The open streams, by session.

    Args:
        context: of the hub.
        reader: reports what a stream showed.
        outages: whether the engine answers.
        streams: of the awaited tasks whose sessions have no stream here.
    """

    def __init__(
        self, context: WatchContext, reader: Reader, outages: Outages, streams: WatchStreams
    ) -> None:
        self._streams = streams
        self._context = context
        self._engine = context.engine
        self._store = context.store
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._wakeups = context.wakeups
        self._spawn = context.spawn
        self._now = context.clock
        self._reader = reader
        self._outages = outages
        self._limit = 0
        self._sessions: dict[str, _Pushed] = {}
        self._refused: dict[str, tuple[float, int]] = {}  # until when, and how often in a row

    def resize(self, budget: int) -> None:
        """Continue with another budget; streams that are open stay open."""
        self._limit = budget * SHARE

    # ------------------------------------------------------------------ what they have

    def add(
        self,
        session_id: str,
        number: int,
        listener: Listener,
        born: datetime | None = None,
        *,
        states: bool = True,
        alone: bool = True,
    ) -> Interest:
        """Register a listener, and its task on its session's stream; see ``WatchStreams.add``."""
        pushed = self._session(session_id)
        if pushed is None:
            return self._streams.add(session_id, number, listener, born, states=states, alone=alone)
        interest = self._waiters.add(session_id, number, listener, born, states=states)
        if self._waiters.has(interest):
            interest.alone = interest.alone or alone
            if not interest.watched:
                self._take(pushed, interest)
        return interest

    def _take(self, pushed: _Pushed, interest: Interest) -> None:
        if interest.job is not None:
            interest.job.cancel()  # its place in the queue for a stream of its own
            interest.job = None
        self._waiters.watch(interest)
        self._want(pushed, (interest.number,))

    def cover(self, record: SessionRecord) -> None:
        """Register the tasks of a session with subscriptions, as far as they are known."""
        pushed = self._session(record.id) if record.unended else None
        known = record.counts.total if pushed is not None else 0
        if pushed is not None and known != pushed.covered:
            pushed.covered = known
            self._want(pushed, record.unfinished())

    def brings(self, record: SessionRecord, *, settled: bool) -> bool:
        """Return True if what the counters show of known tasks is left to the session's stream.

        One that is not believed is opened again.
        """
        pushed = self._sessions.get(record.id)
        if pushed is None or pushed.stream is None or not pushed.plan.complete:
            return False
        if pushed.trust.holds(self._now(), settled=settled, heard=pushed.heard):
            return True
        pushed.stream.cut()
        return False

    def forget(self, session_id: str) -> None:
        """Record that a session is gone: another one of its id may have a stream at once."""
        self._refused.pop(session_id, None)

    def _session(self, session_id: str) -> _Pushed | None:
        """Return a session's stream, opened where it may have one."""
        pushed = self._sessions.get(session_id)
        if pushed is None and self._may_open(session_id):
            pushed = self._sessions[session_id] = _Pushed(session_id, self._now())
            self._spawn(self._follow(pushed))
        return pushed

    def _may_open(self, session_id: str) -> bool:
        if len(self._sessions) >= self._limit or not self._context.is_pushed:
            return False
        record = self._store.sessions.get(session_id)
        if record is not None and record.info and record.info.state == SessionState.CLOSED:
            return False
        return self._now() >= self._refused.get(session_id, (0.0, 0))[0]

    def _want(self, pushed: _Pushed, numbers: Iterable[int]) -> None:
        if pushed.plan.want(numbers):
            pushed.woken.set()

    # ------------------------------------------------------------------ one session

    async def _follow(self, pushed: _Pushed) -> None:
        """Keep a session's stream open while it has tasks and the engine has such streams."""
        failures = 0
        try:
            while not pushed.plan.empty and self._context.is_pushed:
                opened = self._now()
                refused = await self._ends_refused(pushed)
                # One that ends well before its tasks did is as broken as one with an error.
                failures = 1 if self._now() - opened > LASTING else failures + 1
                if refused or (failures == USELESS and not self._outages.is_away):
                    await self._refuse(pushed)
                    return
                pushed.plan.broke()
                if self._context.is_pushed and not pushed.plan.empty:
                    await self._rest(failures)
        finally:
            del self._sessions[pushed.id]
            self._give_back(pushed.id)

    async def _ends_refused(self, pushed: _Pushed) -> bool:
        """Read one stream to its end; return True if the engine refused it."""
        try:
            await self._stream(pushed)
        except FlameError as error:
            return isinstance(error, REFUSALS)
        return False

    async def _stream(self, pushed: _Pushed) -> None:
        """Read one stream to its end. Raises FlameError."""
        pushed.stream = stream = self._engine.watch_tasks(pushed.id)
        writing = self._spawn(self._write(pushed, stream))
        previous = self._now()
        try:
            async for task in stream:
                now = pushed.heard = self._now()
                # A state is read as it is sent: after the message before it, and the request.
                number = int(task.id) if task.id.isdecimal() else 0
                window = Window(max(previous, pushed.plan.since(number)), now)
                if task.state.is_terminal:
                    pushed.plan.ended(number)
                    if pushed.plan.empty:
                        pushed.woken.set()
                self._reader.report(task, window, EventSource.WATCH, True)
                previous = now
                if self._refused:
                    self._refused.pop(pushed.id, None)
        finally:
            pushed.stream = None
            stream.cancel()
            writing.cancel()

    async def _write(self, pushed: _Pushed, stream: TaskExchange) -> None:
        """Register tasks as they come; end a stream that is needed no longer, or is half dead."""
        while True:
            pushed.woken.clear()
            while (number := pushed.plan.take(self._now())) is not None:
                if not await stream.add(str(number)):
                    return
            looked = self._now()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(pushed.woken.wait(), LOOK)
                continue
            if pushed.plan.empty or not self._is_needed(pushed.id):
                pushed.plan, pushed.covered = PushPlan(), -1
                stream.cut()
                return
            if pushed.heard < looked and await self._has_missed(pushed):
                stream.cut()

    def _is_needed(self, session_id: str) -> bool:
        record = self._store.sessions.get(session_id)
        followed = record is not None and self._subscribers.follow(record)
        return followed or self._waiters.waits_in(session_id)

    async def _has_missed(self, pushed: _Pushed) -> bool:
        """Return True if a silent stream lacks something: an end, or what counters show."""
        first = self._waiters.get(pushed.id, min(self._waiters.numbers(pushed.id), default=0))
        if first is None:
            return False  # nothing is awaited; the poll compares the counters
        await self._reader.ask(first)
        with suppress(FlameError):
            before, info = pushed.counts, await self._reader.session(pushed.id)
            pushed.counts = info.counts
            return first.ended or before not in (None, info.counts)
        return first.ended

    async def _rest(self, failures: int) -> None:
        if self._outages.is_away:
            delay = retry_delay(failures - 1, first=0.1, limit=LONG_REST)
            await self._outages.wait_until_over(delay)
        else:
            await asyncio.sleep(retry_delay(failures - 1, first=0.1, limit=REST))

    # ------------------------------------------------------------------ without a stream

    async def _refuse(self, pushed: _Pushed) -> None:
        """Read what a refused stream had: its session was closed or is gone, or a task is."""
        _, times = self._refused.get(pushed.id, (0.0, 0))
        delay, now = retry_delay(times, first=REFUSED[0], limit=REFUSED[1]), self._now()
        if len(self._refused) > MANY:
            self._refused = {one: due for one, due in self._refused.items() if due[0] > now}
        self._refused[pushed.id] = (now + delay, times + 1)
        self._wakeups.poll_now()
        for number in self._waiters.numbers(pushed.id):
            interest = self._waiters.get(pushed.id, number)
            if interest is not None and pushed.plan.has(number):
                await self._reader.ask(interest)

    def _give_back(self, session_id: str) -> None:
        left = []
        for number in self._waiters.numbers(session_id):
            interest = self._waiters.get(session_id, number)
            if interest is not None and interest.watched and interest.job is None:
                self._waiters.unwatch(interest)
                left.append(interest)
        self._streams.take_over(left)
