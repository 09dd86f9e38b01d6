"""``FakeEngine``: a real gRPC frontend on loopback whose tasks do what a test says.

Nothing runs by itself: ``start``, ``succeed``, ``fail`` and ``requeue`` move tasks, and watches,
lists and counters show it as an engine's do. Calls are counted, streams too; the server can be
killed and come back on the same port, with or without its state. Calls can be made to fail or to be
late, and streams to end (``fail``, ``delay``, ``cut``).
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar, overload

import grpc

from flamepy._proto import frontend_pb2, types_pb2
from flamepy.errors import InvalidStateError
from flamepy.local.cluster import this_node
from flamepy.local.engine import Engine
from flamepy.local.frontend import Frontend
from flamepy.local.net.serving import Server
from flamepy.local.services.instance import BindFailure, Instance
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.dialects import checked_dialect
from flamepy.runtime import log_relay
from flamepy.runtime.clocks import wall
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.posted import Posted
from flamepy.runtime.surroundings import check_threads
from flamepy.runtime.threads import check_may_block
from flamepy.testing.engine_script import EngineScript
from flamepy.testing.faults import BEFORE, Faults, Request, When, check_code, check_fault
from flamepy.types import Application, Dialect, TaskState
from flamepy.wire.services import OLD_NAMES, Method

T = TypeVar("T")
NAME = "flamepy-fake-engine"
NOT_RUNNING = "the engine is not running: use it with with"
LIMIT = 10.0  # seconds for anything that is done on the engine's thread


class FakeEngine(EngineScript):
    """An engine on a port of its own whose tasks do what a test says; use it with ``with``.

    Args:
        options: of gRPC, for its server: ``{"grpc.max_connection_age_ms": 2000}``, for example.
        dialect: which engine it is, ``"0.6"`` or ``"next"`` (docs/protocol.md#dialects); calls have
            their names in 0.6 here, whichever it is. ``restart`` may change it.

    Attributes:
        calls: how often each RPC reached the engine, by name: not where ``fail`` kept it away.
            Of WatchTasks each registration counts, as WatchTask.
        task_calls: how often GetTask, ListTask or WatchTask named a session, by session id.
        open_streams, most_streams: WatchTask or WatchTasks streams now, and at most.

    Raises:
        InvalidArgumentError: there is no such dialect.
    """

    def __init__(
        self, *, options: Mapping[str, int] | None = None, dialect: str = Dialect.OLD
    ) -> None:
        check_threads()
        self._dialect = checked_dialect(dialect)
        self._options = {"grpc.so_reuseport": 0, **(options or {})}
        self.calls: Counter[str] = Counter()
        self.task_calls: Counter[str] = Counter()
        self.open_streams = 0
        self.most_streams = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Server | None = None
        self._engine: Engine | None = None
        self._port = 0
        self._frozen: threading.Event | None = None
        self._faults = Faults()

    def __repr__(self) -> str:
        if self._loop is None:
            return "<FakeEngine not running>"
        state = "frozen" if self._frozen is not None else "killed" if self._server is None else ""
        return f"<FakeEngine {state or 'running'} at {self.endpoint}>"

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:port``; the port stays the same over ``kill`` and ``restart``.

        Raises:
            InvalidStateError: the engine has not run yet.
        """
        if not self._port:
            raise InvalidStateError(NOT_RUNNING)
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> FakeEngine:
        if self._loop is not None:
            raise InvalidStateError("the engine runs already: leave its with block first")
        log_relay.install()
        loop = new_loop()
        thread = threading.Thread(target=run_forever, args=(loop,), name=NAME, daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        try:
            self._call(self._restart(lose_state=True))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is None:
            return
        try:
            self.kill()
        finally:
            self._close()

    def _close(self) -> None:
        loop, thread = self._loop, self._thread
        assert loop is not None
        assert thread is not None
        try:
            self._call(self._end())
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5.0)
            retire(loop)

    # ------------------------------------------------------------------ the server

    def kill(self) -> None:
        """End the server and every stream; the state stays. Does nothing if it is killed."""
        self._call(self._kill(), though_frozen=True)

    def restart(self, *, lose_state: bool = False, dialect: str | None = None) -> None:
        """Serve again on the same port; running tasks are pending again, as after a crash.

        An engine that runs, or is frozen, is killed first.

        Args:
            lose_state: forget sessions, tasks and applications, as an engine without storage.
            dialect: which engine it is from now on, as after an upgrade; None leaves it.

        Raises:
            InvalidArgumentError: there is no such dialect.
        """
        if dialect is not None:
            self._dialect = checked_dialect(dialect)
        self._call(self._restart(lose_state=lose_state), though_frozen=True)

    def freeze(self) -> None:
        """Answer nothing until ``thaw``, with connections open, as a stopped process does.

        Nothing can be changed in the meantime; only ``thaw``, ``kill`` and ``restart`` work.
        """
        if self._frozen is not None:
            return
        loop = self._running()
        thawed, blocked = threading.Event(), threading.Event()
        self._frozen = thawed

        def block() -> None:
            blocked.set()
            thawed.wait()

        loop.call_soon_threadsafe(block)
        blocked.wait(LIMIT)

    def thaw(self) -> None:
        """Answer again, also what was asked in the meantime. Does nothing if it is not frozen."""
        thawed, self._frozen = self._frozen, None
        if thawed is not None:
            thawed.set()

    # ------------------------------------------------------------------ faults

    @overload
    def fail(self, session_id: str, task_id: str, text: str, /) -> None: ...

    @overload
    def fail(
        self,
        rpc: str,
        code: str | grpc.StatusCode,
        /,
        *,
        text: str = ...,
        times: int | None = ...,
        when: When = ...,
    ) -> None: ...

    def fail(
        self,
        session_id: str,
        task_id: str | grpc.StatusCode,
        text_of_task: str | None = None,
        /,
        *,
        text: str = "",
        times: int | None = None,
        when: When = BEFORE,
    ) -> None:
        """Fail a task: ``fail(session_id, task_id, text)``; or calls: ``fail(rpc, code)``.

        ``heal`` ends what was said of calls.

        Args:
            session_id: of the task; or the name of an RPC, as ``"GetTask"``.
            task_id: of the task; or a code of gRPC, as ``"UNAVAILABLE"``.
            text_of_task: the service's text, for a task.
            text: of the calls' error.
            times: the number of calls that fail; None for all until ``heal``.
            when: ``"before"`` the engine does what is asked, or ``"after"`` it, so that only the
                answer is lost; or a function of the request, for those that are meant.

        Raises:
            InvalidArgumentError: there is no such RPC or code, or an option is out of its range.
        """
        if text_of_task is not None and isinstance(task_id, str):
            super().fail(session_id, task_id, text_of_task)
            return
        fault = check_fault(session_id, code=task_id, text=text, times=times, when=when)
        self._do(lambda _: self._faults.add(fault))

    def delay(
        self, rpc: str, seconds: float, *, times: int | None = None, when: Request | None = None
    ) -> None:
        """Delay calls of an RPC before the engine acts on them.

        Args:
            rpc: its name.
            seconds: how long; several delays of one RPC add up.
            times: the number of calls; None for all until ``heal``.
            when: a function of the request, for those that are meant.

        Raises:
            InvalidArgumentError: as of ``fail``.
        """
        fault = check_fault(rpc, seconds=seconds, times=times, when=when or BEFORE)
        self._do(lambda _: self._faults.add(fault))

    def cut(self, code: str | grpc.StatusCode | None = "UNAVAILABLE") -> int:
        """End every open stream, as a proxy or a reset does; return how many there were.

        Args:
            code: of gRPC; None ends them with OK, in the middle of the stream.

        Raises:
            InvalidArgumentError: there is no such code.
        """
        name = None if code is None else check_code(code)
        return self._do(lambda _: self._faults.cut(name))

    def heal(self) -> None:
        """End every fault of ``fail`` and ``delay``."""
        self._do(lambda _: self._faults.clear())

    async def _restart(self, *, lose_state: bool) -> None:
        await self._kill()
        if lose_state:
            await self._forget()
        assert self._engine is not None
        self._engine.state.dialect = self._dialect
        self._engine.resume()
        for session in self._engine.state.sessions.values():
            for task in session.tasks.values():
                if task.state == TaskState.RUNNING:
                    session.move(task, TaskState.PENDING)
        server = Server(
            _CountingFrontend(self._engine, self, self._faults).handler(),
            target=f"127.0.0.1:{self._port}",
            options=list(self._options.items()),
            interrupt=self._engine.interrupt,
        )
        self._port = await server.start()
        self._server = server

    async def _forget(self) -> None:
        engine, state = self._engine, ClusterState(this_node(), now=lambda: int(wall() * 1000))
        self._engine = Engine(state, instances=_nothing, executors=0)
        if engine is not None:
            await engine.aclose(1.0)

    async def _kill(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)

    async def _end(self) -> None:
        if self._engine is not None:
            await self._engine.aclose(1.0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # ------------------------------------------------------------------ the loop

    def _do(self, act: Callable[[Engine], T]) -> T:
        async def run() -> T:
            assert self._engine is not None
            return act(self._engine)

        return self._call(run())

    def _call(self, coroutine: Coroutine[Any, Any, T], *, though_frozen: bool = False) -> T:
        try:
            check_may_block()
            loop = self._running()
            if self._frozen is not None and not though_frozen:
                raise InvalidStateError("the engine is frozen: thaw it first")
        except BaseException:
            coroutine.close()
            raise
        called = Posted(loop, coroutine)
        loop.call_soon_threadsafe(called.begin)
        if though_frozen:
            self.thaw()  # afterwards: this comes first
        return called.wait(LIMIT)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise InvalidStateError(NOT_RUNNING)
        return self._loop


class _CountingFrontend(Frontend):
    """The embedded frontend, counting."""

    def __init__(self, engine: Engine, fake: FakeEngine, faults: Faults) -> None:
        super().__init__(engine)
        self._fake = fake
        self._faults = faults

    def around(self, method: Method, call: Callable[..., Any]) -> Callable[..., Any]:
        name = OLD_NAMES.get(method.name, method.name)
        if method.requests_stream:
            return self._faults.exchange(name, call)
        if method.streams:
            return self._faults.stream(name, call)
        return self._faults.unary(name, call)

    def list_sessions(self, request: frontend_pb2.ListSessionRequest) -> types_pb2.SessionList:
        self._fake.calls["ListSession"] += 1
        return super().list_sessions(request)

    def list_session(self, request: frontend_pb2.ListSessionRequest) -> types_pb2.SessionList:
        self._fake.calls["ListSession"] += 1
        return super().list_session(request)

    def get_session(self, request: frontend_pb2.GetSessionRequest) -> types_pb2.Session:
        self._fake.calls["GetSession"] += 1
        return super().get_session(request)

    def create_task(
        self, request: frontend_pb2.CreateTaskRequest
    ) -> types_pb2.Task | Awaitable[types_pb2.Task]:
        self._fake.calls["CreateTask"] += 1
        return super().create_task(request)

    def get_task(self, request: frontend_pb2.GetTaskRequest) -> types_pb2.Task:
        self._count("GetTask", request.session_id)
        return super().get_task(request)

    async def list_task(
        self, request: frontend_pb2.ListTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        self._count("ListTask", request.session_id)
        async for task in super().list_task(request):
            yield task

    async def list_tasks(
        self, request: frontend_pb2.ListTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        self._count("ListTask", request.session_id)
        async for task in super().list_tasks(request):
            yield task

    async def watch_task(
        self, request: frontend_pb2.WatchTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        self._count("WatchTask", request.session_id)
        with self._one_more():
            async for task in super().watch_task(request):
                yield task

    async def watch_tasks(
        self, requests: AsyncIterator[frontend_pb2.WatchTaskRequest]
    ) -> AsyncIterator[types_pb2.Task]:
        with self._one_more():
            async for task in super().watch_tasks(self._counted(requests)):
                yield task

    async def _counted(
        self, requests: AsyncIterator[frontend_pb2.WatchTaskRequest]
    ) -> AsyncIterator[frontend_pb2.WatchTaskRequest]:
        async for request in requests:
            self._count("WatchTask", request.session_id)
            yield request

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        fake = self._fake
        fake.open_streams += 1
        fake.most_streams = max(fake.most_streams, fake.open_streams)
        try:
            yield
        finally:
            fake.open_streams -= 1

    def _count(self, name: str, session_id: str) -> None:
        self._fake.calls[name] += 1
        self._fake.task_calls[session_id] += 1


def _nothing(application: Application, executor_id: str) -> Instance:
    raise BindFailure(11, "a fake engine runs nothing")
