"""The calls, synchronous: a thin facade over ``flamepy.aio`` on the link's reactor thread.

Every call posts the coroutine of the same name to the thread ``flamepy-reactor`` and waits;
nothing is implemented twice. Module-level functions use the process's implicit connection
(endpoint from ``FlameContext``). Calls may come from any thread but the reactor's own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from flamepy import aio
from flamepy.aio.session import CLOSE_WAIT, outcome
from flamepy.config import FlameClientTls, FlameContext
from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    SessionBusyError,
    SessionNotFoundError,
    UnavailableError,
)
from flamepy.informers.dispatch import Worker
from flamepy.informers.following import follow_task
from flamepy.informers.informer import TaskInformer
from flamepy.rpc.implicit import close_link, implicit_link
from flamepy.rpc.link import Link
from flamepy.rpc.loop import ReactorLoop
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Event,
    Executor,
    Node,
    ResourceRequirement,
    SessionAttributes,
    SessionState,
    Task,
)
from flamepy.watching.hub import Hub
from flamepy.wire import validation

logger = logging.getLogger(__name__)

T = TypeVar("T")


def connect(
    addr: str | None = None,
    tls_config: FlameClientTls | None = None,
    *,
    context: FlameContext | None = None,
    timeout: float = 10.0,
) -> Connection:
    """Return a connection to an engine that has answered; arguments as of ``aio.connect``.

    Raises:
        ConfigError: the address or a TLS file is unusable.
        UnavailableError: nothing usable answered within ``timeout`` seconds.
    """
    link = Link(context or FlameContext(addr, tls=tls_config), reactor=ReactorLoop())
    connection = Connection(link)
    try:
        _run(link, link.connect(timeout))
    except BaseException:
        connection.close()
        raise
    return connection


def _run(link: Link, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    assert link.reactor is not None  # core makes synchronous links only
    return link.reactor.run(coroutine, timeout)


class Connection:
    """The calls of one engine, synchronous; ``with`` closes it.

    ``create_session`` and the others are documented at ``aio.Connection``; each takes
    ``timeout=`` seconds.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._aio = aio.Connection(link)

    @classmethod
    def implicit(cls) -> Connection:
        """Return a view of the process's implicit connection."""
        return cls(implicit_link())

    def __repr__(self) -> str:
        state = "closed" if self.link.closed else self.link.state
        return f"<Connection {self.link.endpoint} {state}>"

    @property
    def endpoint(self) -> str:
        """The engine's URL."""
        return self.link.endpoint

    @property
    def addr(self) -> str:
        """The engine's URL, under the official SDK's name."""
        return self.link.endpoint

    def register_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
    ) -> None:
        """Register an application. Raises AlreadyExistsError, InvalidArgumentError."""
        _run(self.link, self._aio.register_application(name, app_attrs, timeout=timeout))

    def update_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
    ) -> None:
        """Replace an application. Raises ApplicationNotFoundError, InvalidStateError."""
        _run(self.link, self._aio.update_application(name, app_attrs, timeout=timeout))

    def unregister_application(self, name: str, *, timeout: float | None = None) -> None:
        """Remove an application. Raises ApplicationNotFoundError, InvalidStateError."""
        _run(self.link, self._aio.unregister_application(name, timeout=timeout))

    def list_applications(self, *, timeout: float | None = None) -> list[Application]:
        """Return all applications, by name."""
        return _run(self.link, self._aio.list_applications(timeout=timeout))

    def get_application(self, name: str, *, timeout: float | None = None) -> Application | None:
        """Return an application, or None when there is none of that name."""
        return _run(self.link, self._aio.get_application(name, timeout=timeout))

    def list_executors(self, *, timeout: float | None = None) -> list[Executor]:
        """Return all executors, by id."""
        return _run(self.link, self._aio.list_executors(timeout=timeout))

    def list_nodes(self, *, timeout: float | None = None) -> list[Node]:
        """Return all nodes, by name."""
        return _run(self.link, self._aio.list_nodes(timeout=timeout))

    def get_node(self, name: str, *, timeout: float | None = None) -> Node:
        """Return a node. Raises NotFoundError."""
        return _run(self.link, self._aio.get_node(name, timeout=timeout))

    def create_session(
        self,
        application: str | SessionAttributes,
        common_data: bytes | None = None,
        session_id: str | None = None,
        min_instances: int = 0,
        max_instances: int | None = None,
        batch_size: int = 1,
        resreq: ResourceRequirement | None = None,
        *,
        priority: int = 0,
        timeout: float | None = None,
    ) -> Session:
        """Create a session; see ``aio.Connection.create_session``."""
        made = self._aio.create_session(
            application,
            common_data,
            session_id,
            min_instances,
            max_instances,
            batch_size,
            resreq,
            priority=priority,
            timeout=timeout,
        )
        return Session(self.link, _run(self.link, made))

    def open_session(
        self,
        session_id: str,
        spec: SessionAttributes | None = None,
        *,
        timeout: float | None = None,
    ) -> Session:
        """Return an open session; with ``spec`` it is created if absent."""
        opened = self._aio.open_session(session_id, spec, timeout=timeout)
        return Session(self.link, _run(self.link, opened))

    def get_session(self, session_id: str, *, timeout: float | None = None) -> Session:
        """Return a session, open or closed, with its events. Raises SessionNotFoundError."""
        found = self._aio.get_session(session_id, timeout=timeout)
        return Session(self.link, _run(self.link, found))

    def list_sessions(self, *, timeout: float | None = None) -> list[Session]:
        """Return all sessions that the engine keeps, by id."""
        found = _run(self.link, self._aio.list_sessions(timeout=timeout))
        return [Session(self.link, one) for one in found]

    def close_session(self, session_id: str, *, timeout: float | None = None) -> Session:
        """Close a session. Raises SessionBusyError while a task runs, SessionNotFoundError."""
        closed = self._aio.close_session(session_id, timeout=timeout)
        return Session(self.link, _run(self.link, closed))

    def delete_session(self, session_id: str, *, timeout: float | None = None) -> Session:
        """Delete a closed session. Raises InvalidStateError, SessionNotFoundError."""
        deleted = self._aio.delete_session(session_id, timeout=timeout)
        return Session(self.link, _run(self.link, deleted))

    def close(self) -> None:
        """Close the connection and end its thread; waits of others end with an error."""
        close_link(self.link)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TaskFuture(concurrent.futures.Future["bytes | None"]):
    """A future of a task's output; works with ``concurrent.futures.wait`` and ``as_completed``.

    ``result()`` raises TaskFailedError with the service's text, TaskCancelledError, or an error
    that says why the fate is unknown; it waits as long as the task takes. Done-callbacks run on
    the thread ``flamepy-completions``.
    """

    def __init__(self, task: Task, completions: Worker) -> None:
        super().__init__()
        self.task_id = task.id
        self.session_id = task.session_id
        self._completions = completions
        self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Return False: the engine cannot cancel a task, so neither can its future."""
        return False

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Any]], object]) -> None:
        """Call ``fn(future)`` on the thread ``flamepy-completions`` once the task has ended."""
        super().add_done_callback(lambda _: self._completions.put((fn, self)))

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        return f"<TaskFuture {self.session_id}/{self.task_id} {state}>"

    def _take(self, ended: asyncio.Future[Task]) -> None:
        """Complete from the hub's future; on the loop."""
        if ended.cancelled():
            lost = UnavailableError(f"the wait for task {self.task_id} was cut off")
            self.set_exception(lost)
            return
        try:
            self.set_result(outcome(ended.result()))
        except FlameError as error:
            self.set_exception(error)


def _complete(item: object) -> None:
    assert isinstance(item, tuple)
    callback, future = item
    try:
        callback(future)
    except BaseException:  # one callback must not end the thread for the others
        logger.exception("a done-callback of %r raised", future)


class TaskWatcher:
    """An iterator over one task's states; ``close`` ends it, also from another thread.

    Raises (while iterating):
        DeadlineExceededError: (a TimeoutError) ``timeout`` seconds went by, silent or not.
    """

    def __init__(
        self, link: Link, states: AsyncGenerator[Task, None], timeout: float | None
    ) -> None:
        self._link = link
        self._states = states
        self._timeout = timeout
        self._limit: float | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if self._closed:
            raise StopIteration
        try:
            return _run(self._link, self._next())
        except StopAsyncIteration:
            self._closed = True
            raise StopIteration from None
        except concurrent.futures.CancelledError:
            self._closed = True  # closed by another thread
            raise StopIteration from None
        except BaseException:
            self._closed = True
            raise

    async def _next(self) -> Task:
        now = asyncio.get_running_loop().time
        if self._timeout is None:
            return await self._advance()
        if self._limit is None:
            self._limit = now() + self._timeout
        try:
            return await asyncio.wait_for(self._advance(), self._limit - now())
        except asyncio.TimeoutError as error:
            raise DeadlineExceededError(
                f"watch_task timed out after {self._timeout} seconds"
            ) from error

    async def _advance(self) -> Task:
        self._waiting = asyncio.current_task()
        try:
            return await self._states.__anext__()
        finally:
            self._waiting = None

    _waiting: asyncio.Task[Any] | None = None

    def close(self) -> None:
        """Release the stream; a ``next`` that waits in another thread ends the iteration."""
        self._closed = True
        if not self._link.closed:
            _run(self._link, self._aclose())

    async def _aclose(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.sleep(0)
        while self._waiting is not None:
            await asyncio.sleep(0.001)
        await self._states.aclose()

    def __enter__(self) -> TaskWatcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Session:
    """A session; what it shows is as of the call that returned it. ``with`` closes it."""

    def __init__(self, link: Link, session: aio.Session) -> None:
        self._link = link
        self._aio = session

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.application} {self.state.name}>"

    @property
    def id(self) -> str:
        """The session's id."""
        return self._aio.id

    @property
    def application(self) -> str:
        """The application's name."""
        return self._aio.application

    @property
    def state(self) -> SessionState:
        """Open or closed."""
        return self._aio.state

    @property
    def creation_time(self) -> datetime:
        """When it was created, UTC."""
        return self._aio.creation_time

    @property
    def completion_time(self) -> datetime | None:
        """When it was closed, UTC."""
        return self._aio.info.completion_time

    @property
    def pending(self) -> int:
        """Tasks that wait."""
        return self._aio.info.counts.pending

    @property
    def running(self) -> int:
        """Tasks that run."""
        return self._aio.info.counts.running

    @property
    def succeed(self) -> int:
        """Tasks that succeeded."""
        return self._aio.info.counts.succeed

    @property
    def failed(self) -> int:
        """Tasks that failed."""
        return self._aio.info.counts.failed

    @property
    def cancelled(self) -> int:
        """Tasks that were cancelled."""
        return self._aio.info.counts.cancelled

    @property
    def priority(self) -> int:
        """The session's priority, 0 is the lowest."""
        return self._aio.info.priority

    @property
    def events(self) -> list[Event]:
        """Failed binds and the retry limit; from get_session and list_sessions only."""
        return list(self._aio.events)

    def common_data(self) -> bytes | None:
        """Return what every service process of the session gets."""
        return self._aio.common_data()

    def create_task(self, input_data: bytes, *, timeout: float | None = None) -> Task:
        """Create a task and return it as acknowledged; see ``aio.Session.create_task``."""
        return _run(self._link, self._aio.create_task(input_data, timeout=timeout))

    def get_task(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Return a task with payloads and events. Raises TaskNotFoundError."""
        return _run(self._link, self._aio.get_task(task_id, timeout=timeout))

    def list_tasks(self, *, timeout: float | None = None) -> Iterator[Task]:
        """Return an iterator over all tasks of the session, by number."""

        async def collect() -> list[Task]:
            return [task async for task in self._aio.list_tasks(timeout=timeout)]

        return iter(_run(self._link, collect()))

    def watch_task(self, task_id: str, timeout: float | None = None) -> TaskWatcher:
        """Return an iterator over the task's present state, then its changes until its end.

        Args:
            task_id: a decimal number as text.
            timeout: seconds for the whole iteration; a silent stream ends as well.
        """
        number = validation.task_id(task_id)
        seconds = validation.timeout(timeout)
        return TaskWatcher(self._link, _run(self._link, self._states(number)), seconds)

    async def _states(self, number: str) -> AsyncGenerator[Task, None]:
        return self._aio.watch_task(number)

    def run(
        self,
        input_data: bytes,
        informer: TaskInformer | None = None,
        *,
        timeout: float | None = None,
    ) -> TaskFuture:
        """Create a task; return its future once the engine has acknowledged it.

        Args:
            input_data: at most 4 MiB minus 64 KiB.
            informer: is told the task's present state, then its changes, with payloads.
            timeout: seconds for the acknowledgement.
        """
        task, future = _run(self._link, self._start(input_data, timeout))
        if informer is not None:
            follow_task(self._link, informer, task)
        return future

    async def _start(self, input_data: bytes, timeout: float | None) -> tuple[Task, TaskFuture]:
        task = await self._aio.create_task(input_data, timeout=timeout)
        completions = self._link.attachment("core.completions", _completions)
        future = TaskFuture(task, completions)
        Hub.of(self._link).wait(task).add_done_callback(future._take)
        return task, future

    def invoke(
        self,
        input_data: bytes,
        informer: TaskInformer | None = None,
        *,
        timeout: float | None = None,
    ) -> bytes | None:
        """Create a task and wait for its output, for ``timeout`` seconds at most."""
        if informer is None:
            return _run(self._link, self._aio.invoke(input_data, timeout=timeout))
        future = self.run(input_data, informer, timeout=timeout)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            raise DeadlineExceededError(
                f"task {future.task_id} had not ended within {timeout} s; it goes on"
            ) from error

    def refresh(self, *, timeout: float | None = None) -> Session:
        """Read the session again; return self."""
        _run(self._link, self._aio.refresh(timeout=timeout))
        return self

    def close(self, wait: float = CLOSE_WAIT, *, timeout: float | None = None) -> None:
        """Close the session, waiting for running tasks; see ``aio.Session.close``."""
        _run(self._link, self._aio.close(wait, timeout=timeout))

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(wait=0)
        except (SessionBusyError, SessionNotFoundError) as left:
            logger.info("session %s stays open: %s", self.id, left)


def _completions(link: Link) -> Worker:
    return Worker("flamepy-completions", _complete, lingers=False)


# ---------------------------------------------------------------- on the implicit connection


def create_session(
    application: str,
    common_data: bytes | None = None,
    session_id: str | None = None,
    min_instances: int = 0,
    max_instances: int | None = None,
    batch_size: int = 1,
    resreq: ResourceRequirement | None = None,
    *,
    priority: int = 0,
    timeout: float | None = None,
) -> Session:
    """Create a session on the implicit connection; see ``aio.Connection.create_session``."""
    return Connection.implicit().create_session(
        application,
        common_data,
        session_id,
        min_instances,
        max_instances,
        batch_size,
        resreq,
        priority=priority,
        timeout=timeout,
    )


def open_session(
    session_id: str, spec: SessionAttributes | None = None, *, timeout: float | None = None
) -> Session:
    """Return an open session; with ``spec`` it is created if absent."""
    return Connection.implicit().open_session(session_id, spec, timeout=timeout)


def get_session(session_id: str, *, timeout: float | None = None) -> Session:
    """Return a session, open or closed, with its events."""
    return Connection.implicit().get_session(session_id, timeout=timeout)


def list_sessions(*, timeout: float | None = None) -> list[Session]:
    """Return all sessions that the engine keeps, by id."""
    return Connection.implicit().list_sessions(timeout=timeout)


def close_session(session_id: str, *, timeout: float | None = None) -> Session:
    """Close a session. Raises SessionBusyError while a task runs."""
    return Connection.implicit().close_session(session_id, timeout=timeout)


def delete_session(session_id: str, *, timeout: float | None = None) -> Session:
    """Delete a closed session and its tasks."""
    return Connection.implicit().delete_session(session_id, timeout=timeout)


def register_application(
    name: str,
    app_attrs: ApplicationAttributes | Mapping[str, Any],
    *,
    timeout: float | None = None,
) -> None:
    """Register an application."""
    Connection.implicit().register_application(name, app_attrs, timeout=timeout)


def update_application(
    name: str,
    app_attrs: ApplicationAttributes | Mapping[str, Any],
    *,
    timeout: float | None = None,
) -> None:
    """Replace an application's attributes, all of them."""
    Connection.implicit().update_application(name, app_attrs, timeout=timeout)


def unregister_application(name: str, *, timeout: float | None = None) -> None:
    """Remove an application, and with it its closed sessions and their tasks."""
    Connection.implicit().unregister_application(name, timeout=timeout)


def list_applications(*, timeout: float | None = None) -> list[Application]:
    """Return all applications, by name."""
    return Connection.implicit().list_applications(timeout=timeout)


def get_application(name: str, *, timeout: float | None = None) -> Application | None:
    """Return an application, or None when there is none of that name."""
    return Connection.implicit().get_application(name, timeout=timeout)


def list_executors(*, timeout: float | None = None) -> list[Executor]:
    """Return all executors, by id."""
    return Connection.implicit().list_executors(timeout=timeout)


def list_nodes(*, timeout: float | None = None) -> list[Node]:
    """Return all nodes, by name."""
    return Connection.implicit().list_nodes(timeout=timeout)


def get_node(name: str, *, timeout: float | None = None) -> Node:
    """Return a node."""
    return Connection.implicit().get_node(name, timeout=timeout)
