"""The watch streams that serve waiting callers (``waiters``). Runs on the link's loop.

A stream delivers a change at once and costs as much as ten tasks of a list, so at most ``budget``
tasks have one: what a caller waits for alone, at once; of those that are awaited together the one
that a caller blocks on, the first few that have not ended at the first read, and in a session that
stands still the lowest (``completion_planner``). ``gatherer`` reads the others by counters.
Whatever ends a stream, GetTask is asked: an end without a terminal message says nothing. A silent
stream is not trusted either: it hides what changed before it was opened and hangs without a
notification, so GetTask is asked beside it, ever less often (docs/protocol.md#watch).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import islice

from flamepy.errors import FlameError, SessionNotFoundError, TaskLostError
from flamepy.texts import repr_of
from flamepy.watching.io.reader import Engine, Observe, Reader, Spawn, TaskStream
from flamepy.watching.policy.completion_planner import FEW, shared
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.waiters import Interest, Listener, Waiters, lost_session

WATCH_BUDGET = 64
SHORT_STREAMS = 3
REST, LONG_REST = 1.0, 30.0  # seconds at most between two tries of a stream; of an engine away
LASTING = 5.0  # seconds after which the end of a stream is no repeated failure, but a proxy's cut
SILENCE = (0.1, 30.0)  # seconds of a first and of any later wait before a silent stream is doubted


class WatchStreams:
    """The streams of one link's interests.

    Args:
        interests: the awaited tasks.
        engine: the calls.
        reader: asks for single tasks.
        observe: reports what a stream showed.
        clock: monotonic seconds.
        spawn: starts a coroutine on the loop, owned by the hub.
        budget: streams open at most; ``resize`` changes it.

    Attributes:
        crowded: is called when a task has no stream.
    """

    def __init__(
        self,
        interests: Waiters,
        engine: Engine,
        reader: Reader,
        *,
        observe: Observe,
        clock: Callable[[], float],
        spawn: Spawn,
        budget: int = WATCH_BUDGET,
    ) -> None:
        self._waiters = interests
        self._engine = engine
        self._reader = reader
        self._observe = observe
        self._clock = clock
        self._spawn = spawn
        self._budget = budget
        self._answers = asyncio.Event()
        self._answers.set()
        self.crowded: Callable[[], None] = lambda: None
        self._queue: deque[Interest] = deque()  # of those that are awaited alone
        self._streams = self._shared = 0  # open streams; of them, of tasks awaited together
        interests.released = self._released

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
                self._queue.append(interest)
                self._fill()
        if not interest.watched:
            self.crowded()
        return interest

    def _released(self, interest: Interest) -> None:
        if interest.job is not None and interest.job is not asyncio.current_task():
            interest.job.cancel()
        if len(self._queue) > 64 + 2 * self._waiters.total:  # who left early still stands there
            self._queue = deque(filter(self._waiters.has, self._queue))

    # ------------------------------------------------------------------ streams

    @property
    def is_away(self) -> bool:
        """True while the poll finds the engine away."""
        return not self._answers.is_set()

    def away(self) -> None:
        """Pause streams that break: the engine is away, and the poll will see it return."""
        self._answers.clear()

    def back(self) -> None:
        """Open the streams that rest: the engine answers again."""
        self._answers.set()

    def resize(self, budget: int) -> None:
        """Continue with another budget; streams that are open stay open."""
        self._budget = budget
        self._fill()

    def hasten(self, session_id: str, number: int) -> None:
        """Record that a caller blocks until a task ends; of a few it gets a stream now."""
        interest = self._waiters.get(session_id, number)
        if interest is None or interest.watched or interest.useless:
            return
        self._waiters.block(interest)
        if len(self._waiters.numbers_in(session_id)) > FEW or not self._share(interest):
            self.crowded()

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
            interest = self._queue.popleft()
            if self._waiters.has(interest) and not interest.watched:
                self._open(interest)

    def _open(self, interest: Interest) -> None:
        of_many = not interest.alone
        self._streams += 1
        self._shared += of_many
        self._waiters.watch(interest)
        interest.job = job = self._spawn(self._watch(interest))
        job.add_done_callback(lambda _: self._freed(of_many))

    def _freed(self, of_many: bool) -> None:
        self._streams -= 1
        self._shared -= of_many
        self._fill()

    async def _watch(self, interest: Interest) -> None:
        """Follow one task until it ended, is lost, or streams prove useless for it."""
        short = failures = 0
        self._doubt_later(interest, 0)
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
                await self.ask(interest)
                short = short + 1 if self._clock() - opened < 0.05 and not failures else 0
        finally:
            if interest.watched:  # the streams were no use
                interest.useless = True
                self._waiters.unwatch(interest)
                self.crowded()
            if interest.doubt is not None:
                interest.doubt.cancel()

    async def _rest(self, failures: int) -> None:
        if self._answers.is_set():
            await asyncio.sleep(retry_delay(failures - 1, first=0.1, limit=REST))
            return
        with suppress(asyncio.TimeoutError):
            delay = retry_delay(failures - 1, first=0.1, limit=LONG_REST)
            await asyncio.wait_for(self._answers.wait(), delay)

    def _doubt_later(self, interest: Interest, attempt: int) -> None:
        delay = retry_delay(attempt, first=SILENCE[0], limit=SILENCE[1])
        loop = asyncio.get_running_loop()
        interest.doubt = loop.call_later(
            delay, lambda: self._spawn(self._look_beside(interest, attempt))
        )

    async def _look_beside(self, interest: Interest, attempt: int) -> None:
        if self._waiters.has(interest) and interest.watched:
            await self.ask(interest)
        if self._waiters.has(interest) and interest.watched:
            self._doubt_later(interest, attempt + 1)

    async def _stream(self, interest: Interest) -> None:
        previous = self._clock()
        stream: TaskStream = self._engine.watch_task(interest.session_id, str(interest.number))
        try:
            async for task in stream:
                now = self._clock()
                self._observe(task, Window(previous, now), EventSource.WATCH, False)
                previous = now
                if task.state.is_terminal:
                    return
        finally:
            stream.cancel()

    async def ask(self, interest: Interest) -> None:
        """Ask for a task, whatever counters and streams say; it may end, or be gone."""
        try:
            task = await self._reader.probe(interest.session_id, interest.number, paced=False)
        except SessionNotFoundError as error:
            self._waiters.lose(interest, lost_session(interest.session_id, error))
            return
        except FlameError:
            return  # the engine is away; the next stream or poll shows it
        if task is None:
            text = f"task {interest.number} of session {repr_of(interest.session_id)} is gone"
            self._waiters.lose(interest, TaskLostError(f"{text}; how it ended is unknown"))
