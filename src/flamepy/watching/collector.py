"""Who waits for which task, and the watch streams that serve them. Runs on the link's loop.

An ``Interest`` is one task that somebody waits for: a future, a ``watch_task`` iterator, a
followed run. A stream tells a change at once and costs as much as five tasks of a list, so at most
``budget`` tasks have one: what a caller waits for alone, at once; of those that are awaited
together the one that a caller blocks on, the first few that have not ended at the first look, and
in a session that stands still the lowest (``crowding``). The others are gathered by counters
(``gathering``). Whatever ends a stream, GetTask is asked: an end without
a terminal message says nothing. A silent stream is not trusted either: it hides what changed
before it was opened and hangs when nobody notifies it, so GetTask is asked beside it, ever less
often (docs/protocol.md#watch). ``hub`` feeds every observation in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Protocol

from flamepy.errors import FlameError, SessionLostError, SessionNotFoundError, TaskLostError
from flamepy.types import Task
from flamepy.watching.crowding import FEW, Moves, shared
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
    """One task that somebody waits for.

    Attributes:
        born: when the engine created it, where that is known.
        states: True if a listener wants each state, not only the end.
        alone: True if a caller waits for it alone, so that it gets a stream before others.
        watched: True while it has a stream.
        useless: True once its streams have ended again and again without telling anything.
    """

    __slots__ = (
        "alone",
        "born",
        "doubt",
        "job",
        "listeners",
        "number",
        "session_id",
        "states",
        "task",
        "useless",
        "watched",
    )

    def __init__(self, session_id: str, number: int) -> None:
        self.session_id = session_id
        self.number = number
        self.born: datetime | None = None
        self.listeners: list[Listener] = []
        self.states = self.alone = self.watched = self.useless = False
        self.task: Task | None = None
        self.job: asyncio.Task[None] | None = None
        self.doubt: asyncio.TimerHandle | None = None

    def is_another(self, creation_time: datetime) -> bool:
        """Return True if a task of that creation time is another one under the same id."""
        return self.born is not None and not is_same_moment(creation_time, self.born)

    @property
    def ended(self) -> bool:
        """True once the terminal state was told."""
        return self.task is not None and self.task.state.is_terminal


class _Session:
    """The interests in one session: by number, in the order in which they came."""

    __slots__ = ("added", "created", "interests", "told", "watched")

    def __init__(self) -> None:
        self.interests: dict[int, Interest] = {}
        self.created: datetime | None = None  # the session, as last shown
        self.watched = 0
        self.added = self.told = 0  # since ``moves`` was asked: tasks, ends of them


class Collector:
    """All interests of one link.

    Args:
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
        self._answers = asyncio.Event()
        self._answers.set()
        self.crowded: Callable[[], None] = lambda: None
        self._sessions: dict[str, _Session] = {}
        self._queue: deque[Interest] = deque()  # of those that are awaited alone
        self._total = self._watched = 0  # awaited tasks; of them, with a stream
        self._streams = self._shared = 0  # open streams; of them, of tasks awaited together

    # ------------------------------------------------------------------ who waits

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
        """Register a listener.

        Of two tasks that the engine created under one id, the older one is lost: who waits for it
        must not be told of the other.

        Args:
            session_id: of which session.
            number: which task.
            listener: who waits.
            born: when the engine created the task, where that is known.
            states: it wants each state, not only the end.
            alone: somebody waits for this very task: it gets a stream now or when one is free.
        """
        interest = self.get(session_id, number)
        if interest is not None and born is not None and interest.is_another(born):
            if interest.born is not None and born < interest.born:
                listener.lost(lost_session(session_id))
                return Interest(session_id, number)
            self.lose(interest, lost_session(session_id))
            interest = None
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Session()
        if interest is None:
            interest = session.interests[number] = Interest(session_id, number)
            self._total += 1
            session.added += 1
        interest.born = interest.born or born
        interest.listeners.append(listener)
        interest.states = interest.states or states
        if alone and not interest.alone:
            interest.alone = True
            if not interest.watched:
                self._queue.append(interest)
                self._fill()
        if not interest.watched:
            self.crowded()
        return interest

    def remove(self, interest: Interest, listener: Listener) -> None:
        """Drop a listener; the last one ends the stream."""
        if listener in interest.listeners:
            interest.listeners.remove(listener)
        if not interest.listeners:
            self._release(interest)

    def get(self, session_id: str, number: int) -> Interest | None:
        """Return the interest in a task, or None when nobody waits for it."""
        session = self._sessions.get(session_id)
        return None if session is None else session.interests.get(number)

    def sessions(self) -> list[str]:
        """Return the ids of the sessions in which somebody waits."""
        return list(self._sessions)

    def waits_in(self, session_id: str) -> bool:
        """Return True if anybody waits for a task of the session."""
        return session_id in self._sessions

    def numbers(self, session_id: str) -> list[int]:
        """Return the awaited ids of a session."""
        session = self._sessions.get(session_id)
        return [] if session is None else list(session.interests)

    def numbers_in(self, session_id: str) -> Collection[int]:
        """Return the awaited ids of a session as a view that follows what happens."""
        session = self._sessions.get(session_id)
        return () if session is None else session.interests.keys()

    def added_in(self, session_id: str) -> int:
        """Return how many tasks are awaited since ``moves`` was asked."""
        session = self._sessions.get(session_id)
        return 0 if session is None else session.added

    def unwatched_in(self, session_id: str) -> int:
        """Return how many awaited tasks of a session have no stream."""
        session = self._sessions.get(session_id)
        return 0 if session is None else len(session.interests) - session.watched

    def without_stream(self, session_id: str) -> Iterator[Interest]:
        """Yield the awaited tasks of a session that have no stream, in the order they came."""
        session = self._sessions.get(session_id)
        if session is not None:
            yield from (one for one in session.interests.values() if not one.watched)

    def moves(self, session_id: str) -> Moves:
        """Return what happened in a session since this was last asked."""
        session = self._sessions.get(session_id)
        if session is None:
            return Moves(0, 0)
        moves = Moves(session.added, session.told)
        session.added = session.told = 0
        return moves

    def all(self) -> Iterator[Interest]:
        """Yield every interest; a copy, so that listeners may leave meanwhile."""
        sessions = self._sessions.values()
        yield from [one for session in sessions for one in session.interests.values()]

    @property
    def unwatched(self) -> bool:
        """True when more tasks are awaited than have a stream."""
        return self._total > self._watched

    def __bool__(self) -> bool:
        return bool(self._sessions)

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
        ended = task.state.is_terminal
        if ended:
            self._sessions[task.session_id].told += 1
        for listener in tuple(interest.listeners):
            listener.changed(task)
        if ended:
            self._release(interest)

    def lose(self, interest: Interest, error: FlameError) -> None:
        """Tell the listeners that nothing more will be known of their task."""
        listeners, interest.listeners = list(interest.listeners), []
        self._release(interest)
        for listener in listeners:
            listener.lost(error)

    def lose_session(self, session_id: str, error: FlameError) -> None:
        """End every interest in a session."""
        for interest in self._in(session_id):
            self.lose(interest, error)

    def lose_older(self, session_id: str, creation_time: datetime) -> None:
        """End the interests in a session that was there before the one of that creation time."""
        session = self._sessions.get(session_id)
        if session is None or session.created == creation_time:
            return
        session.created = creation_time
        for interest in self._in(session_id):
            if interest.born is not None and interest.born < creation_time - SAME:
                self.lose(interest, lost_session(session_id))

    def _in(self, session_id: str) -> list[Interest]:
        session = self._sessions.get(session_id)
        return [] if session is None else list(session.interests.values())

    def _release(self, interest: Interest) -> None:
        if not self._wanted(interest):
            return
        session = self._sessions[interest.session_id]
        if interest.watched:
            self._unwatch(interest)
        del session.interests[interest.number]
        self._total -= 1
        if not session.interests:
            del self._sessions[interest.session_id]
        if interest.job is not None and interest.job is not asyncio.current_task():
            interest.job.cancel()
        if len(self._queue) > 64 + 2 * self._total:  # who left early still stands there
            self._queue = deque(filter(self._wanted, self._queue))

    def _unwatch(self, interest: Interest) -> None:
        interest.watched = False
        self._sessions[interest.session_id].watched -= 1
        self._watched -= 1

    def _wanted(self, interest: Interest) -> bool:
        return self.get(interest.session_id, interest.number) is interest

    # ------------------------------------------------------------------ streams

    @property
    def is_away(self) -> bool:
        """True while the poll finds the engine away."""
        return not self._answers.is_set()

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

    def hasten(self, session_id: str, number: int) -> None:
        """Take in that a caller blocks until a task ends; of a few it gets a stream now."""
        interest = self.get(session_id, number)
        if interest is None or interest.watched or interest.useless:
            return
        if len(self._sessions[session_id].interests) > FEW or not self._share(interest):
            self.crowded()

    def share(self, session_id: str, most: int | None = None) -> None:
        """Give streams to the awaited tasks of a session that came first, as far as there are.

        Args:
            session_id: which session.
            most: so many of its tasks have streams then, at most.
        """
        session = self._sessions.get(session_id)
        watched = 0 if session is None else session.watched
        room = self._budget if most is None else most - watched
        fresh = (one for one in self.without_stream(session_id) if not one.useless)
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
            if self._wanted(interest) and not interest.watched:
                self._open(interest)

    def _open(self, interest: Interest) -> None:
        session = self._sessions[interest.session_id]
        of_many = not interest.alone
        self._streams += 1
        self._shared += of_many
        self._watched += 1
        session.watched += 1
        interest.watched = True
        interest.job = self._spawn(self._watch(interest))
        interest.job.add_done_callback(lambda _: self._freed(of_many))

    def _freed(self, of_many: bool) -> None:
        self._streams -= 1
        self._shared -= of_many
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
                await self.ask(interest)
                short = short + 1 if self._clock() - opened < 0.05 and not failures else 0
        finally:
            if interest.watched:  # the streams were no use
                interest.useless = True
                self._unwatch(interest)
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
        if self._wanted(interest) and interest.watched:
            await self.ask(interest)
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

    async def ask(self, interest: Interest) -> None:
        """Ask for a task, whatever counters and streams say; it may end, or be gone."""
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
