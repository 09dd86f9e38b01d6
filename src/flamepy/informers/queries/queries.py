"""The queries of a reactor: known state, futures of tasks, streams of events.

``Reactor`` inherits ``ReactorQueries``, a class of its own because queries depend on nothing of a
reactor's life but whether it runs.
"""

from __future__ import annotations

import concurrent.futures
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from flamepy.errors import InvalidArgumentError
from flamepy.informers.arguments import scope_of
from flamepy.informers.delivery.registry import Registry
from flamepy.informers.delivery.stream import EventStream
from flamepy.informers.options import QUEUE_SIZE, Options, Where
from flamepy.informers.queries.applications import ApplicationLister
from flamepy.informers.queries.engine_calls import EngineCalls
from flamepy.informers.queries.explain import Explained, explained
from flamepy.informers.queries.futures import EndFuture, TaskKey, WatchedFuture, end_of, ends_of
from flamepy.informers.queries.listers import Followed, SessionLister, TaskLister
from flamepy.rpc.link import Link
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import Task
from flamepy.watching.hub import Hub

AnyTask = Task | TaskKey | WatchedFuture[Any]


class HasLink(Protocol):
    """What ``connection=`` needs: connections of ``flamepy.core`` and ``flamepy.aio`` have it."""

    @property
    def link(self) -> Link:
        """The connection's link."""


FIRST_LOOK = 1.0  # seconds at most for a first poll


def on_loop(link: Link, act: Callable[[], None]) -> None:
    """Call a function on a link's loop and wait for it."""

    async def run() -> None:
        act()

    link.run(run())


def subscribe_on_loop(link: Link, hub: Hub, act: Callable[[], None], *, replay: str) -> None:
    """Call what subscribes on a link's loop; return when all that comes from now on is delivered.

    Where ``replay`` leaves out what exists, the first poll has to show that: what is created
    before it would be left out too.
    """
    on_loop(link, act)
    if replay != "all":
        link.run(hub.first_look(FIRST_LOOK))


class ReactorQueries:
    """The queries of a ``Reactor``, which fills what is declared here."""

    _registry: Registry
    _link: Link | None
    _hub: Hub | None
    _reading: dict[bool, Followed]  # with tasks, and without
    _listers: dict[str, TaskLister | SessionLister | ApplicationLister]

    @abstractmethod
    def _running(self) -> tuple[Link, Hub]:
        """Return link and hub of a reactor that runs; raise InvalidStateError else."""

    @property
    def tasks(self) -> TaskLister:
        """The tasks that are known now; from the first use on, those of every session."""
        link, hub, followed = self._readable(tasks=True)
        return self._listers.setdefault("tasks", TaskLister(link, hub, followed))  # type: ignore[return-value]  # by its name

    @property
    def sessions(self) -> SessionLister:
        """The sessions that are known now."""
        link, hub, followed = self._readable(tasks=False)
        return self._listers.setdefault("sessions", SessionLister(link, hub, followed))  # type: ignore[return-value]  # by its name

    @property
    def applications(self) -> ApplicationLister:
        """The totals of each application's sessions that are known now."""
        link, hub, followed = self._readable(tasks=False)
        return self._listers.setdefault("applications", ApplicationLister(link, hub, followed))  # type: ignore[return-value]  # by its name

    @property
    def engine(self) -> EngineCalls:
        """How the connection stands, and calls of the engine over it.

        Raises:
            InvalidStateError: the reactor does not run.
        """
        return EngineCalls(*self._running())

    def _readable(self, *, tasks: bool) -> tuple[Link, Hub, Followed]:
        link, hub = self._running()

        def read() -> None:
            if tasks not in self._reading:
                followed = self._reading[tasks] = Followed(hub, tasks=tasks)
                if self._registry.detached:
                    followed.unsubscribe()
                else:
                    followed.subscribe()

        if tasks not in self._reading:
            on_loop(link, read)
        return link, hub, self._reading[tasks]

    def explain(self, session_id: str, task_id: str | int | None = None) -> Explained:
        """Return what is known of a task or a session, and what each informer did with it.

        Args:
            session_id: the session's, or the task's.
            task_id: None for the session and everything in it.

        Raises:
            InvalidStateError: the reactor does not run.
        """
        _, hub = self._running()
        task = None if task_id is None else str(task_id)
        return explained(
            hub.store,
            session_id,
            task,
            [one.explain(session_id, task) for one in self._registry.registrations],
        )

    def future(self, task: AnyTask, *, timeout: float | None = None) -> EndFuture:
        """Return a future of a task's end; its result is the task as it ended.

        Args:
            task: a task, a future of ``session.run``, or (session id, task id).
            timeout: seconds for the call that looks at the task first, when only ids are given.

        Raises:
            TaskNotFoundError, SessionNotFoundError: it is not there.
        """
        limit = seconds_or_none("timeout", timeout)
        link, _ = self._running()
        return link.run(end_of(link, task), limit)

    def wait(
        self,
        tasks: Iterable[AnyTask],
        timeout: float | None = None,
        return_when: str = concurrent.futures.ALL_COMPLETED,
    ) -> tuple[set[EndFuture], set[EndFuture]]:
        """Wait for tasks as ``concurrent.futures.wait`` does; return (done, not done) futures."""
        timeout = seconds_or_none("timeout", timeout)
        futures = self._futures(tasks)
        done, waiting = concurrent.futures.wait(futures, timeout, return_when)
        return {one for one in futures if one in done}, {one for one in futures if one in waiting}

    def as_completed(
        self, tasks: Iterable[AnyTask], timeout: float | None = None
    ) -> Iterator[EndFuture]:
        """Yield a future of each task as it ends, as ``concurrent.futures.as_completed`` does."""
        timeout = seconds_or_none("timeout", timeout)
        yield from concurrent.futures.as_completed(self._futures(tasks), timeout)  # type: ignore[misc]  # the futures given

    def _futures(self, tasks: Iterable[AnyTask]) -> list[EndFuture]:
        link, _ = self._running()
        given: object = tasks
        if not isinstance(given, Iterable):
            raise InvalidArgumentError(
                f"tasks must be several, such as a list, got {repr_of(given)}"
            )
        return link.run(ends_of(link, list(tasks)))

    def stream(
        self,
        *,
        where: Where | None = None,
        application: str | None = None,
        session: str | None = None,
        replay: str = "all",
        sessions: bool = False,
        queue_size: int = QUEUE_SIZE,
    ) -> EventStream:
        """Return an iterator, plain and asynchronous, over the events in scope.

        Args:
            where: as of ``register``; the taker calls it.
            application: as of ``register``.
            session: as of ``register``.
            replay: as of ``register``.
            sessions: also the events of sessions.
            queue_size: as of ``register``.
        """
        options = Options(where=where, replay=replay, queue_size=queue_size)
        scope = scope_of(application, session)
        stream = EventStream(scope, options, sessions=sessions)
        self._registry.add_stream(stream)
        try:
            if self._link is not None and self._hub is not None:
                subscribe_on_loop(
                    self._link,
                    self._hub,
                    lambda: self._registry.attach_stream(stream),
                    replay=replay,
                )
        except BaseException:
            stream.close()
            raise
        return stream
