"""The watch streams that serve waiting callers (``waiters``). Runs on the link's loop.

A stream delivers a change at once and costs as much as ten tasks of a list, so at most ``budget``
tasks have one. A task that a caller awaits alone gets one at once. Of tasks that are awaited
together, it is the one that a caller blocks on, the first few that have not ended at the first
read, and in a session without progress the lowest ids (``completion_planner``); ``gatherer`` reads
the others by counters. Where the engine pushes whole sessions, ``session_streams`` serves them.

After a stream ends for any reason, GetTask reads the task: a stream that ends without a terminal
message proves nothing. Nor does a silent one, which lacks what changed before it was opened and may
hang without an error: GetTask reads its task meanwhile, less and less often
(docs/protocol.md#watch).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from flamepy.errors import FlameError
from flamepy.watching.io.context import TaskStream, WatchContext
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.reader import Reader
from flamepy.watching.policy.completion_planner import FEW, shared
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.waiters import Interest, Listener

WATCH_BUDGET = 64
SHORT_STREAMS = 3
REST, LONG_REST = 1.0, 30.0  # seconds at most between two tries of a stream; of an engine away
LASTING = 5.0  # seconds after which the end of a stream is no repeated failure, but a proxy's cut
SILENCE = (0.1, 30.0)  # seconds of silence, a first and any later time, before GetTask is asked


class StreamJob:
    """The asyncio task that follows one awaited task; cancelled when its interest is over."""

    def __init__(self, job: asyncio.Task[None]) -> None:
        self._job = job

    def cancel(self) -> None:
        """End it, unless it is what ended the interest: then it ends by itself."""
        if self._job is not asyncio.current_task():
            self._job.cancel()


class QueuePlace:
    """The place of an awaited task in the queue for streams; left when its interest is over."""

    def __init__(self, queue: OrderedDict[Interest, None], interest: Interest) -> None:
        self._queue = queue
        self._interest = interest

    def cancel(self) -> None:
        """Leave the queue."""
        self._queue.pop(self._interest, None)


class WatchStreams:
    """The streams of one link's awaited tasks.

    Args:
        context: of the hub.
        reader: reports what a stream showed, and asks for single tasks.
        outages: whether the engine answers.
        budget: streams open at most; ``resize`` changes it.
    """

    def __init__(
        self,
        context: WatchContext,
        reader: Reader,
        outages: Outages,
        *,
        budget: int = WATCH_BUDGET,
    ) -> None:
        self._waiters = context.waiters
        self._engine = context.engine
        self._reader = reader
        self._outages = outages
        self._clock = context.clock
        self._spawn = context.spawn
        self._wakeups = context.wakeups
        self._budget = budget
        self._queue: OrderedDict[Interest, None] = OrderedDict()  # of those awaited alone
        self._streams = self._shared = 0  # open streams; of them, of tasks awaited together

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
        """Register a listener, as ``Waiters.add`` does, and see to a stream.

        Args:
            session_id: of which session.
            number: which task.
            listener: receives its states, or its end.
            born: when the engine created the task, where that is known.
            states: it wants each state, not only the end.
            alone: a caller waits for this very task: it gets a stream now or when one is free.
        """
        interest = self._waiters.add(session_id, number, listener, born, states=states)
        if not self._waiters.has(interest):
            return interest
        if alone and not interest.alone:
            interest.alone = True
            if not interest.watched:
                self._enqueue(interest)
                self._fill()
        if not interest.watched:
            self._wakeups.gather_now()
        return interest

    def take_over(self, interests: Iterable[Interest]) -> None:
        """See to the streams of awaited tasks that something else saw to, as ``add`` does."""
        for interest in interests:
            if interest.alone:
                self._enqueue(interest)
        self._fill()
        self._wakeups.gather_now()

    def _enqueue(self, interest: Interest) -> None:
        self._queue[interest] = None
        interest.job = QueuePlace(self._queue, interest)

    # ------------------------------------------------------------------ streams

    def resize(self, budget: int) -> None:
        """Continue with another budget; streams that are open stay open."""
        self._budget = budget
        self._fill()

    def hasten(self, session_id: str, number: int) -> None:
        """Record that a caller blocks until a task ends; of a few it gets a stream now."""
        interest = self._waiters.get(session_id, number)
        if interest is None or interest.watched or interest.useless:
            return
        blocks_already = interest.blocks  # a caller that waits in short turns
        self._waiters.block(interest)
        if not blocks_already and self._waiters.blocking_in(session_id) == 1:
            self._wakeups.gather.wake()  # it rested while no caller waited
        if len(self._waiters.numbers_in(session_id)) > FEW or not self._share(interest):
            self._wakeups.gather_now()

    def share(self, session_id: str, most: int | None = None) -> None:
        """Give streams to the awaited tasks of a session that came first, while some are free.

        Args:
            session_id: which session.
            most: the number of its tasks that have streams then, at most.
        """
        watched = self._waiters.watched_in(session_id)
        room = self._budget if most is None else most - watched
        fresh = (one for one in self._waiters.without_stream(session_id) if not one.useless)
        for interest in islice(fresh, max(0, room)):
            if not self._share(interest):
                return

    def _share(self, interest: Interest) -> bool:
        if self._shared >= shared(self._budget) or self._streams >= self._budget:
            return False
        self._open(interest)
        return True

    def _fill(self) -> None:
        while self._streams < self._budget and self._queue:
            interest, _ = self._queue.popitem(last=False)
            if not interest.watched:
                self._open(interest)

    def _open(self, interest: Interest) -> None:
        of_many = not interest.alone
        self._queue.pop(interest, None)
        self._streams += 1
        self._shared += of_many
        self._waiters.watch(interest)
        job = self._spawn(self._watch(interest))
        interest.job = StreamJob(job)
        job.add_done_callback(lambda _: self._freed(of_many))

    def _freed(self, of_many: bool) -> None:
        self._streams -= 1
        self._shared -= of_many
        self._fill()

    async def _watch(self, interest: Interest) -> None:
        """Follow one task until it ended, is lost, or streams prove useless for it."""
        short = failures = 0
        self._schedule_check(interest, 0)
        try:
            while self._waiters.has(interest) and short < SHORT_STREAMS:
                opened = self._clock()
                try:
                    await self._stream(interest)
                    failures = 0
                except FlameError:
                    lasted = self._clock() - opened
                    failures = 1 if lasted > LASTING else failures + 1
                if not self._waiters.has(interest):
                    return
                if failures:
                    await self._rest(failures)
                await self._reader.ask(interest)
                short = short + 1 if self._clock() - opened < 0.05 and not failures else 0
        finally:
            if interest.watched:  # the streams were no use
                interest.useless = True
                self._waiters.unwatch(interest)
                self._wakeups.gather_now()
            if interest.check is not None:
                interest.check.cancel()

    async def _rest(self, failures: int) -> None:
        if self._outages.is_away:
            delay = retry_delay(failures - 1, first=0.1, limit=LONG_REST)
            await self._outages.wait_until_over(delay)
        else:
            await asyncio.sleep(retry_delay(failures - 1, first=0.1, limit=REST))

    def _schedule_check(self, interest: Interest, attempt: int) -> None:
        delay = retry_delay(attempt, first=SILENCE[0], limit=SILENCE[1])
        loop = asyncio.get_running_loop()
        interest.check = loop.call_later(
            delay, lambda: self._spawn(self._check_silent(interest, attempt))
        )

    async def _check_silent(self, interest: Interest, attempt: int) -> None:
        if self._waiters.has(interest) and interest.watched:
            await self._reader.ask(interest)
        if self._waiters.has(interest) and interest.watched:
            self._schedule_check(interest, attempt + 1)

    async def _stream(self, interest: Interest) -> None:
        previous = self._clock()
        stream: TaskStream = self._engine.watch_task(interest.session_id, str(interest.number))
        try:
            async for task in stream:
                now = self._clock()
                self._reader.report(task, Window(previous, now), EventSource.WATCH, False)
                previous = now
                if task.state.is_terminal:
                    return
        finally:
            stream.cancel()
