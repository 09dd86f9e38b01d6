"""Who waits for which task, and the watch streams that serve them. Runs on the link's loop.

An ``Interest`` is one task that somebody waits for: a future, a ``watch_task`` iterator, a
followed run. At most ``budget`` of them have a stream; the others live from the hub's polls and
get a stream when one is free. Whatever ends a stream, GetTask is asked: an end without a
terminal message says nothing. A silent stream is not trusted either: it hides what changed
before it was opened and hangs when nobody notifies it, so GetTask is asked beside it, ever less
often (docs/protocol.md#watch). ``hub`` feeds every observation in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from flamepy.errors import FlameError, SessionLostError, SessionNotFoundError, TaskLostError
from flamepy.types import Task
from flamepy.watching.cursor import retry_delay
from flamepy.watching.events import EventSource, Window
from flamepy.watching.sources import Engine, Observe, Reader, TaskStream
from flamepy.wire.times import SAME, is_same_moment

Spawn = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]

WATCH_BUDGET = 64
SHORT_STREAMS = 3
REST, LONG_REST = 1.0, 30.0  # seconds at most between two tries of a stream; of an engine away
SILENCE = (0.1, 30.0)  # seconds of a first and of any later wait before a silent stream is doubted


class Listener(Protocol):
    """Somebody who waits for one task."""

    def changed(self, task: Task) -> None:
        """Take in a new state, with payloads where the answer had them."""

    def lost(self, error: FlameError) -> None:
        """Take in that nothing more will be known."""


class Interest:
    """One task that somebody waits for."""

    __slots__ = ("born", "doubt", "job", "listeners", "number", "session_id", "task", "watched")

    def __init__(self, session_id: str, number: int) -> None:
        self.session_id = session_id
        self.number = number
        self.born: datetime | None = None  # when the engine created it, where that is known
        self.listeners: list[Listener] = []
        self.task: Task | None = None
        self.job: asyncio.Task[None] | None = None
        self.doubt: asyncio.TimerHandle | None = None
        self.watched = False

    def is_another(self, creation_time: datetime) -> bool:
        """Return True if a task of that creation time is another one under the same id."""
        return self.born is not None and not is_same_moment(creation_time, self.born)

    @property
    def ended(self) -> bool:
        """True once the terminal state was told."""
        return self.task is not None and self.task.state.is_terminal


class Collector:
    """All interests of one link.

    Args:
        engine: the calls.
        reader: asks for single tasks.
        observe: reports what a stream showed.
        clock: monotonic seconds.
        spawn: starts a coroutine on the loop, owned by the hub.
        budget: streams open at most; ``resize`` changes it.
    """

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        *,
        observe: Observe,
        clock: Callable[[], float],
        spawn: Spawn,
        budget: int = WATCH_BUDGET,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._observe = observe
        self._clock = clock
        self._spawn = spawn
        self._budget = budget
        self._interests: dict[str, dict[int, Interest]] = {}
        self._created: dict[str, datetime] = {}  # of the sessions, as last shown
        self._queue: deque[Interest] = deque()
        self._streams = 0
        self._answers = asyncio.Event()
        self._answers.set()

    # ------------------------------------------------------------------ who waits

    def add(
        self, session_id: str, number: int, listener: Listener, born: datetime | None = None
    ) -> Interest:
        """Register a listener; the task gets a stream now or when one is free.

        Of two tasks that the engine created under one id, the older one is lost: who waits for it
        must not be told of the other.

        Args:
            session_id: of which session.
            number: which task.
            listener: who waits.
            born: when the engine created the task, where that is known.
        """
        interest = self.get(session_id, number)
        if interest is not None and born is not None and interest.is_another(born):
            if interest.born is not None and born < interest.born:
                listener.lost(lost_session(session_id))
                return Interest(session_id, number)
            self.lose(interest, lost_session(session_id))
            interest = None
        session = self._interests.setdefault(session_id, {})
        if interest is None:
            interest = session[number] = Interest(session_id, number)
            self._queue.append(interest)
        interest.born = interest.born or born
        interest.listeners.append(listener)
        self._fill()
        return interest

    def remove(self, interest: Interest, listener: Listener) -> None:
        """Drop a listener; the last one ends the stream."""
        if listener in interest.listeners:
            interest.listeners.remove(listener)
        if not interest.listeners:
            self._release(interest)

    def get(self, session_id: str, number: int) -> Interest | None:
        """Return the interest in a task, or None when nobody waits for it."""
        return self._interests.get(session_id, {}).get(number)

    def sessions(self) -> list[str]:
        """Return the ids of the sessions in which somebody waits."""
        return list(self._interests)

    def numbers(self, session_id: str, *, unwatched: bool = False) -> list[int]:
        """Return the awaited ids of a session, or only those without a stream."""
        interests = self._interests.get(session_id, {}).values()
        return [one.number for one in interests if not (unwatched and one.watched)]

    def all(self) -> Iterator[Interest]:
        """Yield every interest; a copy, so that listeners may leave meanwhile."""
        yield from [one for session in self._interests.values() for one in session.values()]

    @property
    def unwatched(self) -> bool:
        """True when more tasks are awaited than have a stream."""
        return self._count() > self._streams

    def __bool__(self) -> bool:
        return bool(self._interests)

    # ------------------------------------------------------------------ what they are told

    def tell(self, task: Task) -> None:
        """Tell a task's listeners its state, once per state; the terminal one ends the interest."""
        interest = self.get(task.session_id, int(task.id))
        if interest is None or interest.ended:
            return
        if interest.is_another(task.creation_time):
            self.lose(interest, lost_session(task.session_id))
            return
        if interest.task is not None and interest.task.state == task.state:
            return
        interest.task = task
        for listener in list(interest.listeners):
            listener.changed(task)
        if task.state.is_terminal:
            self._release(interest)

    def lose(self, interest: Interest, error: FlameError) -> None:
        """Tell the listeners that nothing more will be known of their task."""
        listeners, interest.listeners = list(interest.listeners), []
        self._release(interest)
        for listener in listeners:
            listener.lost(error)

    def lose_session(self, session_id: str, error: FlameError) -> None:
        """End every interest in a session."""
        for interest in list(self._interests.get(session_id, {}).values()):
            self.lose(interest, error)

    def lose_older(self, session_id: str, creation_time: datetime) -> None:
        """End the interests in a session that was there before the one of that creation time."""
        if session_id not in self._interests or self._created.get(session_id) == creation_time:
            return
        self._created[session_id] = creation_time
        for interest in list(self._interests[session_id].values()):
            if interest.born is not None and interest.born < creation_time - SAME:
                self.lose(interest, lost_session(session_id))

    def _release(self, interest: Interest) -> None:
        session = self._interests.get(interest.session_id, {})
        if session.get(interest.number) is interest:
            del session[interest.number]
            if not session:
                del self._interests[interest.session_id]
                self._created.pop(interest.session_id, None)
        if interest.job is not None and interest.job is not asyncio.current_task():
            interest.job.cancel()
        if len(self._queue) > 64 + 2 * self._count():  # who left early still stands there
            self._queue = deque(filter(self._wanted, self._queue))

    def _count(self) -> int:
        return sum(len(session) for session in self._interests.values())

    def _wanted(self, interest: Interest) -> bool:
        return self.get(interest.session_id, interest.number) is interest

    # ------------------------------------------------------------------ streams

    def away(self) -> None:
        """Let streams that break rest: the engine is away, and the poll will see it return."""
        self._answers.clear()

    def back(self) -> None:
        """Open the streams that rest: the engine answers again."""
        self._answers.set()

    def resize(self, budget: int) -> None:
        """Go on with another budget; streams that are open stay open."""
        self._budget = budget
        self._fill()

    def _fill(self) -> None:
        while self._streams < self._budget and self._queue:
            interest = self._queue.popleft()
            if self._wanted(interest):
                self._streams += 1
                interest.watched = True
                interest.job = self._spawn(self._watch(interest))
                interest.job.add_done_callback(lambda _: self._freed())

    def _freed(self) -> None:
        self._streams -= 1
        self._fill()

    async def _watch(self, interest: Interest) -> None:
        """Follow one task until it ended, is lost, or streams prove useless for it."""
        short = failures = 0
        self._doubt_later(interest, 0)
        try:
            while self._wanted(interest) and short < SHORT_STREAMS:
                opened = self._clock()
                try:
                    await self._stream(interest)
                    failures = 0
                except FlameError:
                    failures += 1
                if not self._wanted(interest):
                    return
                if failures:
                    await self._rest(failures)
                await self._ask(interest)
                short = short + 1 if self._clock() - opened < 0.05 and not failures else 0
        finally:
            interest.watched = False
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
        if self._wanted(interest) and interest.watched:
            await self._ask(interest)
        if self._wanted(interest) and interest.watched:
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

    async def _ask(self, interest: Interest) -> None:
        try:
            task = await self._reader.probe(interest.session_id, interest.number, paced=False)
        except SessionNotFoundError as error:
            self.lose(interest, lost_session(interest.session_id, error))
            return
        except FlameError:
            return  # the engine is away; the next stream or poll tells
        if task is None:
            text = f"task {interest.number} of session {interest.session_id!r} is gone"
            self.lose(interest, TaskLostError(f"{text}; nobody can tell how it ended"))


def lost_session(session_id: str, cause: FlameError | None = None) -> SessionLostError:
    """Return the error of those who wait in a session that the engine does not know."""
    error = SessionLostError(
        f"session {session_id!r} is gone (deleted, evicted, its application unregistered, or "
        "lost when the engine restarted); nobody can tell how its tasks ended"
    )
    error.__cause__ = cause
    return error
