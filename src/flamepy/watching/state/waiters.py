"""Which callers wait for which tasks: the register of one link. Pure.

An ``Interest`` is one awaited task, with its listeners: futures, ``watch_task`` iterators, followed
runs. ``watch_streams`` gives streams to some of them, ``gatherer`` reads the ends of the others;
``observer`` delivers the states, ``session_poll`` and ``outages`` the errors after which nothing
more will be known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from flamepy.errors import FlameError, SessionLostError
from flamepy.texts import repr_of
from flamepy.types import Task
from flamepy.wire.times import SAME, is_same_moment


class WaiterChanges(NamedTuple):
    """What happened in a session: tasks that are awaited now, and ends that were delivered."""

    added: int
    ended: int


class Listener(Protocol):
    """What waits for one task."""

    def changed(self, task: Task) -> None:
        """Receive a new state, with payloads where the reply had them."""

    def lost(self, error: FlameError) -> None:
        """Receive the error after which nothing more will be known."""


class Cancels(Protocol):
    """What serves an interest until it is over: a stream, a timer."""

    def cancel(self) -> object:
        """End it."""


class Interest:
    """One awaited task.

    Attributes:
        born: when the engine created it, where that is known.
        states: True if a listener wants each state, not only the end.
        alone: True if a caller waits for it alone, so that it gets a stream before others.
        blocks: True once a caller has blocked until it ends.
        watched: True while it has a stream.
        useless: True once its streams have ended repeatedly without delivering anything.
    """

    __slots__ = (
        "alone",
        "blocks",
        "born",
        "check",
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
        self.states = self.alone = self.blocks = self.watched = self.useless = False
        self.task: Task | None = None
        self.job: Cancels | None = None  # its stream, or its place in the queue for one
        self.check: Cancels | None = None  # of a silent stream: a timer

    def is_another(self, creation_time: datetime) -> bool:
        """Return True if a task of that creation time is another one under the same id."""
        return self.born is not None and not is_same_moment(creation_time, self.born)

    @property
    def ended(self) -> bool:
        """True once the terminal state was delivered."""
        return self.task is not None and self.task.state.is_terminal


class _Session:
    """The interests in one session: by number, in the order in which they came."""

    __slots__ = ("added", "blocks", "created", "ended", "interests", "watched")

    def __init__(self) -> None:
        self.interests: dict[int, Interest] = {}
        self.created: datetime | None = None  # the session, as last shown
        self.blocks = self.watched = 0  # how many of them
        self.added = self.ended = 0  # since ``changes`` was asked: tasks, ends of them


class Waiters:
    """All interests of one link; on its loop.

    Attributes:
        total: how many tasks are awaited.
        dropped: ended waits, as finalizers on any thread record them; for ``sweep``.
    """

    def __init__(self) -> None:
        self.total = 0
        self.dropped: deque[tuple[Interest, Listener]] = deque()
        self._watched = 0  # of them, with a stream
        self._sessions: dict[str, _Session] = {}

    # ------------------------------------------------------------------ waiting

    def add(
        self,
        session_id: str,
        number: int,
        listener: Listener,
        born: datetime | None = None,
        *,
        states: bool = True,
    ) -> Interest:
        """Register a listener.

        Of two tasks that the engine created under one id, the older one is lost: its waiters must
        not get the other's states. If that is this one, an interest without waiters is returned.

        Args:
            session_id: of which session.
            number: which task.
            listener: receives its states, or its end.
            born: when the engine created the task, where that is known.
            states: it wants each state, not only the end.
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
            self.total += 1
            session.added += 1
        interest.born = interest.born or born
        interest.listeners.append(listener)
        interest.states = interest.states or states
        return interest

    def remove(self, interest: Interest, listener: Listener) -> None:
        """Drop a listener; the last one ends the stream."""
        if listener in interest.listeners:
            interest.listeners.remove(listener)
        if not interest.listeners:
            self._release(interest)

    def sweep(self) -> list[Interest]:
        """Drop the listeners that were noted in ``dropped``; return what they waited for."""
        left = []
        while self.dropped:
            interest, listener = self.dropped.popleft()
            self.remove(interest, listener)
            left.append(interest)
        return left

    def get(self, session_id: str, number: int) -> Interest | None:
        """Return the interest in a task, or None when it has no waiter."""
        session = self._sessions.get(session_id)
        return None if session is None else session.interests.get(number)

    def sessions(self) -> list[str]:
        """Return the ids of the sessions with awaited tasks."""
        return list(self._sessions)

    def waits_in(self, session_id: str) -> bool:
        """Return True if a task of the session is awaited."""
        return session_id in self._sessions

    def numbers(self, session_id: str) -> list[int]:
        """Return the awaited ids of a session."""
        session = self._sessions.get(session_id)
        return [] if session is None else list(session.interests)

    def numbers_in(self, session_id: str) -> Collection[int]:
        """Return the awaited ids of a session as a view that follows what happens."""
        session = self._sessions.get(session_id)
        return () if session is None else session.interests.keys()

    def unwatched_in(self, session_id: str) -> int:
        """Return how many awaited tasks of a session have no stream."""
        session = self._sessions.get(session_id)
        return 0 if session is None else len(session.interests) - session.watched

    def without_stream(self, session_id: str) -> Iterator[Interest]:
        """Yield the awaited tasks of a session that have no stream, in the order they came."""
        session = self._sessions.get(session_id)
        if session is not None:
            yield from (one for one in session.interests.values() if not one.watched)

    def block(self, interest: Interest) -> None:
        """Record that a caller blocks until a task ends."""
        if not interest.blocks:
            interest.blocks = True
            self._sessions[interest.session_id].blocks += 1

    def blocking_in(self, session_id: str) -> int:
        """Return on how many awaited tasks of a session a caller blocks."""
        session = self._sessions.get(session_id)
        return 0 if session is None else session.blocks

    def changes(self, session_id: str) -> WaiterChanges:
        """Return what happened in a session since this was last asked."""
        session = self._sessions.get(session_id)
        if session is None:
            return WaiterChanges(0, 0)
        changes = WaiterChanges(session.added, session.ended)
        session.added = session.ended = 0
        return changes

    def all(self) -> Iterator[Interest]:
        """Yield every interest; a copy, so that listeners may leave meanwhile."""
        sessions = self._sessions.values()
        yield from [one for session in sessions for one in session.interests.values()]

    @property
    def unwatched(self) -> bool:
        """True when more tasks are awaited than have a stream."""
        return self.total > self._watched

    def __bool__(self) -> bool:
        return bool(self._sessions)

    # ------------------------------------------------------------------ delivering

    def deliver(self, task: Task) -> None:
        """Deliver a task's state to its listeners, once per state; the terminal one ends it."""
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
            self._sessions[task.session_id].ended += 1
        for listener in tuple(interest.listeners):
            listener.changed(task)
        if ended:
            self._release(interest)

    def lose(self, interest: Interest, error: FlameError) -> None:
        """Notify the listeners that nothing more will be known of their task."""
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
        if not self.has(interest):
            return
        session = self._sessions[interest.session_id]
        if interest.watched:
            self.unwatch(interest)
        session.blocks -= interest.blocks
        del session.interests[interest.number]
        self.total -= 1
        if not session.interests:
            del self._sessions[interest.session_id]
        if interest.job is not None:
            interest.job.cancel()

    def has(self, interest: Interest) -> bool:
        """Return True until an interest is over."""
        return self.get(interest.session_id, interest.number) is interest

    # ------------------------------------------------------------------ streams

    def watch(self, interest: Interest) -> None:
        """Record that an interest has a stream."""
        interest.watched = True
        self._sessions[interest.session_id].watched += 1
        self._watched += 1

    def unwatch(self, interest: Interest) -> None:
        """Record that it has no stream any more."""
        interest.watched = False
        self._sessions[interest.session_id].watched -= 1
        self._watched -= 1

    def watched_in(self, session_id: str) -> int:
        """Return how many awaited tasks of a session have a stream."""
        session = self._sessions.get(session_id)
        return 0 if session is None else session.watched


def lost_session(session_id: str, cause: FlameError | None = None) -> SessionLostError:
    """Return the error that ends the waits in a session that the engine does not know."""
    error = SessionLostError(
        f"session {repr_of(session_id)} is gone (deleted, evicted, its application unregistered, "
        "or "
        "lost when the engine restarted); how its tasks ended is unknown"
    )
    error.__cause__ = cause
    return error
