"""Reading what a reactor knows: ``reactor.tasks`` and ``reactor.sessions``.

A reader never waits for the loop and never blocks it: it takes frozen objects out of the store.
What it returns is as fresh as the last poll (``freshness``); ``get(..., max_age=)`` asks the engine
when that is too old. The first use begins to read: ``wait_synced`` waits until all was read. May be
called from any thread, callbacks included.
"""

from __future__ import annotations

import builtins
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from flamepy.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidStateError,
    NotFoundError,
)
from flamepy.informers.delivery.inbox import Inbox, Synced, Wanted
from flamepy.informers.queries.indexes import Index, SessionSource, TaskSource
from flamepy.rpc.link import Link
from flamepy.runtime.flags import Flag
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState, Task, TaskState
from flamepy.watching.hub import Hub
from flamepy.watching.state.subscriptions import Scope

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Find = Callable[[object], list[V]]  # the objects that have a value


class View(Protocol):
    """What a lister asks of the subscription that keeps what it reads current."""

    @property
    def synced(self) -> bool:
        """Whether everything is known that was there at its start."""

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is synced or has been stopped; False if neither came in time."""


class Followed:
    """The subscription that keeps what listers read current; nothing is queued by it."""

    def __init__(self, hub: Hub, *, tasks: bool) -> None:
        self._tasks = tasks
        self._inbox = Inbox(hub, self._take, wanted=Wanted(tasks=tasks, replay="none"))
        self._settled = Flag()  # synced, or never will be
        self.synced = False

    def _take(self, item: object) -> bool:
        if isinstance(item, Synced):
            self.synced = True
            self._settled.set()
        return True

    def subscribe(self) -> None:
        """Start; on the loop."""
        self._inbox.subscribe(Scope(tasks=self._tasks))

    def unsubscribe(self) -> None:
        """Stop; on the loop."""
        self._inbox.unsubscribe()
        self._settled.set()

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is synced or has been stopped; False if neither came in time."""
        return self._settled.wait(timeout)


class Lister(Generic[K, V]):
    """A read-only view of the hub's store: ``get``, ``list``, ``index``, ``by_index``."""

    def __init__(self, link: Link, hub: Hub, followed: View) -> None:
        self._link = link
        self._hub = hub
        self._followed = followed
        self._indexes: dict[str, tuple[Find[V], Callable[[Any], object]]] = {}

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until everything is known that was there at the first use.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
            InvalidStateError: the reactor was stopped before.
        """
        if not self._followed.wait(seconds_or_none("timeout", timeout)):
            raise DeadlineExceededError(
                f"not everything was read within {timeout} s{self._hub.obstacle()}"
            )
        if not self._followed.synced:
            raise InvalidStateError("the reactor stopped before everything was read")

    def freshness(self) -> float:
        """Return for how many seconds nothing newer has been learned; inf before all was read."""
        return self._hub.freshness() if self._followed.synced else float("inf")

    def keys(self) -> builtins.list[K]:
        """Return the keys of everything that is known now."""
        return [key for key, _ in self._items()]

    def list(self) -> builtins.list[V]:
        """Return everything that is known now."""
        return [value for _, value in self._items()]

    def snapshot(self) -> dict[K, V]:
        """Return everything that is known now, by key."""
        return dict(self._items())

    def index(
        self,
        name: str,
        function: Callable[[V], Any],
        *,
        values: Callable[[Any], object] = lambda value: value,
    ) -> None:
        """Make ``by_index(name, value)`` find the objects for which ``function`` returns value.

        Args:
            name: the index's.
            function: what an object has in it. Called on the thread that queries, once for each
                object that was seen, so that it must return the same value for the same object.
            values: what is made of the value that ``by_index`` is given; raises for a wrong one.

        Raises:
            InvalidArgumentError: there is an index of that name.
        """
        self._add_index(name, self._find_by(function), values)

    def by_index(self, name: str, value: object) -> builtins.list[V]:
        """Return the objects whose index has that value, in no particular order.

        Costs what it returns, and what has changed since the last query of that index; the first
        one looks at every object.

        Raises:
            InvalidArgumentError: there is no such index.
        """
        if name not in self._indexes:
            raise InvalidArgumentError(
                f"there is no index {repr_of(name)}; there are: {', '.join(sorted(self._indexes))}"
            )
        find, values = self._indexes[name]
        return find(values(value))

    def _add_index(
        self, name: str, find: Find[V], values: Callable[[Any], object] = lambda value: value
    ) -> None:
        if name in self._indexes:
            raise InvalidArgumentError(
                f"there is an index {repr_of(name)} already; choose another name"
            )
        self._indexes[name] = find, values

    def __len__(self) -> int:
        return sum(1 for _ in self._items())

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._hub.store.endpoint}, {len(self)} known>"

    @abstractmethod
    def _items(self) -> Iterator[tuple[K, V]]:
        """Yield key and object; copies of the store's dictionaries, taken at once."""

    @abstractmethod
    def _find_by(self, function: Callable[[V], Any]) -> Find[V]:
        """Return what finds the objects for which a function returns a value."""


class TaskLister(Lister[tuple[str, str], Task]):
    """Tasks by (session id, task id); indexes ``application``, ``session``, ``state``."""

    def __init__(self, link: Link, hub: Hub, followed: View) -> None:
        super().__init__(link, hub, followed)
        self._source = TaskSource(hub.store)
        self._sessions = Index(SessionSource(hub.store), lambda session: session.application)
        self.index("state", lambda task: task.state, values=lambda value: _state(TaskState, value))
        self._add_index("session", self._of_session)
        self._add_index("application", self._of_application)

    def get(
        self, session_id: str, task_id: str | int, *, max_age: float | None = None
    ) -> Task | None:
        """Return a task as it was last delivered, or None.

        Args:
            session_id: its session's.
            task_id: its number.
            max_age: ask the engine if what is known is older, in seconds.

        Raises:
            FlameError: the engine was asked and did not answer.
        """
        task_id = str(task_id)
        max_age = seconds_or_none("max_age", max_age)
        if max_age is not None and self.freshness() > max_age:
            try:
                return self._link.run(self._ask(session_id, task_id))
            except NotFoundError:
                return None
        record = self._hub.store.sessions.get(session_id)
        known = record.tasks.get(int(task_id)) if record and task_id.isdecimal() else None
        return known.task if known is not None and known.delivered else None

    async def _ask(self, session_id: str, task_id: str) -> Task:
        return await self._link.frontend.get_task(session_id, task_id)

    def _items(self) -> Iterator[tuple[tuple[str, str], Task]]:
        for _, task in self._source.all():
            yield (task.session_id, task.id), task

    def _find_by(self, function: Callable[[Task], Any]) -> Find[Task]:
        index = Index(self._source, function)
        return lambda wanted: [task for _, task in index.find(wanted)]

    def _of_session(self, wanted: object) -> builtins.list[Task]:
        found = self._hub.store.sessions.get(wanted) if isinstance(wanted, str) else None
        return [] if found is None else [task for _, task in self._source.of_session(found)]

    def _of_application(self, wanted: object) -> builtins.list[Task]:
        found = self._sessions.find(wanted)
        return [task for record, _ in found for _, task in self._source.of_session(record)]


class SessionLister(Lister[str, SessionInfo]):
    """Sessions by id; indexes ``application``, ``state``."""

    def __init__(self, link: Link, hub: Hub, followed: View) -> None:
        super().__init__(link, hub, followed)
        self._source = SessionSource(hub.store)
        self.index("state", lambda one: one.state, values=lambda value: _state(SessionState, value))
        self.index("application", lambda session: session.application)

    def get(self, session_id: str, *, max_age: float | None = None) -> SessionInfo | None:
        """Return a session as it was last seen, or None.

        Args:
            session_id: which.
            max_age: ask the engine if what is known is older, in seconds.

        Raises:
            FlameError: the engine was asked and did not answer.
        """
        max_age = seconds_or_none("max_age", max_age)
        if max_age is not None and self.freshness() > max_age:
            try:
                return self._link.run(self._ask(session_id))
            except NotFoundError:
                return None
        record = self._hub.store.sessions.get(session_id)
        return record.info if record is not None else None

    async def _ask(self, session_id: str) -> SessionInfo:
        return await self._link.frontend.get_session(session_id)

    def _items(self) -> Iterator[tuple[str, SessionInfo]]:
        for record, session in self._source.all():
            yield record.id, session

    def _find_by(self, function: Callable[[SessionInfo], Any]) -> Find[SessionInfo]:
        index = Index(self._source, function)
        return lambda wanted: [session for _, session in index.find(wanted)]


def _state(states: type[TaskState] | type[SessionState], value: object) -> object:
    """Return a state given as such, as its number, or as its name in any case."""
    if not isinstance(value, str):
        return value
    try:
        return states[value.upper()]
    except KeyError:
        names = ", ".join(one.name for one in states)
        raise InvalidArgumentError(
            f"there is no state {repr_of(value)}; there are: {names}"
        ) from None
