"""An engine on the loop of its client, in fake time, behind a wire that breaks as a test says.

Everything from the engine's frontend to the client's channel is the real thing; between them are
coroutines in place of sockets. So a run of minutes takes milliseconds and is the same each time.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.aio import Connection
from flamepy.config import FlameContext
from flamepy.local.cluster import this_node
from flamepy.local.engine import Engine
from flamepy.local.frontend import Frontend, _snake
from flamepy.local.services.instance import BindFailure
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.refusal import Refusal, ResultRefusal
from flamepy.rpc.link import Link
from flamepy.testing import FakeClock
from flamepy.testing.engine_script import EngineScript, at_once
from flamepy.testing.faults import Faults
from flamepy.types import RetryPolicy, Task, TaskState
from flamepy.watching.hub import Hub
from flamepy.watching.policy.settings import WatchSettings

T = TypeVar("T")
ENDPOINT = "http://inline.invalid:8080"
LOST = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
RESET = (grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer")
REFUSED = (
    grpc.StatusCode.UNAVAILABLE,
    "failed to connect to all addresses; last error: UNKNOWN: Connection refused",
)
LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
Status = tuple[grpc.StatusCode, str]
Key = tuple[str, int, int]  # session id, creation time in ms, number


def failure(status: Status) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        status[0], grpc.aio.Metadata(), grpc.aio.Metadata(), details=status[1]
    )


class InlineEngine(EngineScript):
    """See the module; to be made on a loop of ``clock``.

    Attributes:
        calls: how often each RPC arrived.
        tried: how often any was sent, arrived or not.
        fate: what becomes of a call, by its name: None, or (what is lost - ``"request"`` or
            ``"reply"`` -, the status that the client sees).
        latency: returns the seconds of one way of a call, by its name.
        made: of each task that was ever created here, in which life of the engine, and its input;
            by (session id, creation time in ms, number).
        truth: the states that each of them went through, in order.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self.tried = 0
        self.fate: Callable[[str], tuple[str, Status] | None] = lambda name: None
        self.latency: Callable[[str], float] = lambda name: 0.001
        self.made: dict[Key, tuple[int, bytes]] = {}
        self.truth: dict[Key, list[TaskState]] = {}
        self.faults = Faults()  # those of a ``FakeEngine``
        self.life = 0
        self.up = True
        self.streams: dict[_Stream, None] = {}  # in order: a run is the same each time
        self._lives = 0  # counts ends of connections: what was under way is lost
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._begin()

    # ------------------------------------------------------------------ the engine

    def _begin(self) -> None:
        self.life += 1
        state = ClusterState(this_node(), now=self._millis)
        self.engine = Engine(state, instances=_nothing, executors=0)
        self._frontend = Frontend(self.engine)

    def _millis(self) -> int:
        return int(self.clock.now * 1000)

    def _do(self, act: Callable[[Engine], T]) -> T:
        return act(self.engine)

    def _note(self, session_id: str, number: int) -> None:
        session = self.engine.state.sessions[session_id]
        task = session.tasks[number]
        key = (session_id, task.created, number)
        if key not in self.truth:
            self.truth[key], self.made[key] = [], (self.life, task.input or b"")
        self.truth[key].append(task.state)

    def _move(self, session_id: str, task_id: str, *what: Any) -> None:
        super()._move(session_id, task_id, *what)
        self._note(session_id, int(task_id))

    def requeue(self, session_id: str, task_id: str) -> None:
        super().requeue(session_id, task_id)
        self._note(session_id, int(task_id))

    def add_task(self, session_id: str, payload: bytes = b"") -> str:
        made = super().add_task(session_id, payload)
        self._note(session_id, int(made))
        return made

    def in_state(self, *states: TaskState) -> list[tuple[str, str]]:
        """Return (session, task) of the tasks in one of these states."""
        return [
            (session.id, str(task.number))
            for session in self.engine.state.sessions.values()
            for task in session.tasks.values()
            if task.state in states
        ]

    # ------------------------------------------------------------------ what breaks

    def kill(self) -> None:
        """End the server and its connections; what was under way is lost, the state stays."""
        self.up = False
        self.reset()

    def reset(self) -> None:
        """End all connections; the server goes on."""
        self._lives += 1
        self.thaw()
        for stream in list(self.streams):
            stream.end(RESET)

    def restart(self, *, lose_state: bool = False) -> None:
        """Serve again; what ran is pending, as after a crash, or nothing is left."""
        if lose_state:
            self._begin()
        for session_id, task_id in self.in_state(TaskState.RUNNING):
            self.requeue(session_id, task_id)
        self.up = True

    def freeze(self) -> None:
        """Answer nothing until ``thaw``, as a stopped process does."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Answer again, what was asked meanwhile included."""
        self._thawed.set()

    def end_streams(self, status: Status | None = None) -> None:
        """End every open stream with an error; or every watch well, as only those may end."""
        for stream in list(self.streams):
            if status is not None or stream.name == "WatchTask":
                stream.end(status)

    # ------------------------------------------------------------------ the wire

    async def travel(self, name: str, life: int) -> None:
        """Be under way for a while."""
        await asyncio.sleep(self.latency(name))
        while not self._thawed.is_set():
            await self._thawed.wait()
        if life != self._lives:
            raise failure(LOST)

    async def connect(self) -> int:
        """Return the life of the connection."""
        self.tried += 1
        if not self.up:
            await asyncio.sleep(0.001)
            raise failure(REFUSED)
        return self._lives

    async def unary(self, name: str, request: Message, timeout: float) -> Message:
        """Answer a call."""
        try:
            return await asyncio.wait_for(
                self._exchange(name, request), float(timeout)
            )  # fake seconds
        except asyncio.TimeoutError:
            raise failure(LATE) from None

    async def _exchange(self, name: str, request: Message) -> Message:
        life = await self.connect()
        fate = self.fate(name)
        await self.travel(name, life)
        if fate is not None and fate[0] == "request":
            raise failure(fate[1])
        try:
            fault = await self.faults.before(name, request)
            reply = self._serve(name, request)
            self.faults.after(fault)
        except Refusal as refusal:
            reply = refusal
        await self.travel(name, life)
        if fate is not None:
            raise failure(fate[1])
        if isinstance(reply, Refusal):
            raise failure((grpc.StatusCode[reply.code], reply.message))
        return reply

    def _serve(self, name: str, request: Any) -> Any:
        self.calls[name] += 1
        try:
            reply = getattr(self._frontend, _snake(name))(request)
            if inspect.iscoroutine(reply):
                reply = at_once(reply)
        except ResultRefusal as refusal:
            return types_pb2.Result(return_code=-1, message=refusal.message)
        except Refusal as refusal:
            return refusal
        if name == "CreateTask":
            self._note(request.task.session_id, int(reply.metadata.id))
        return reply

    async def stream(self, name: str, request: Any) -> AsyncIterator[Message]:
        """Yield the messages of a stream."""
        life = await self.connect()
        fate = self.fate(name)
        await self.travel(name, life)
        if fate is not None and fate[0] == "request":
            raise failure(fate[1])
        try:
            broken = await self.faults.before(name, request)
        except Refusal as refusal:
            raise failure((grpc.StatusCode[refusal.code], refusal.message)) from None
        self.calls[name] += 1
        left = 2 if fate is not None else -1  # a stream may break off in the middle
        try:
            async for message in getattr(self._frontend, _snake(name))(request):
                await self.travel(name, life)
                if left == 0 and fate is not None:
                    raise failure(fate[1])
                left -= 1
                yield message
            self.faults.after(broken)
        except Refusal as refusal:
            raise failure((grpc.StatusCode[refusal.code], refusal.message)) from None

    def channel(self) -> Any:
        """Return what a client takes for its channel."""
        return _Channel(self)


class _Channel:
    def __init__(self, engine: InlineEngine) -> None:
        self._engine = engine

    def unary_unary(self, path: str, **codecs: object) -> Callable[..., Any]:
        name = path.rpartition("/")[2]

        def call(request: Message, timeout: float, **more: object) -> asyncio.Future[Message]:
            """Return what has of gRPC's call what a client uses; it need not be awaited."""
            made = asyncio.ensure_future(self._engine.unary(name, request, timeout))
            made.add_done_callback(lambda done: done.cancelled() or done.exception())
            return made

        return call

    def unary_stream(self, path: str, **codecs: object) -> Callable[..., Any]:
        name = path.rpartition("/")[2]
        return lambda request, timeout, **more: _Stream(self._engine, name, request, timeout)

    async def close(self) -> None:
        for stream in list(self._engine.streams):
            stream.cancel()


class _Stream:
    """A call as gRPC's: read it, or cancel it, which ends its reader with CancelledError."""

    def __init__(
        self, engine: InlineEngine, name: str, request: Message, timeout: float | None
    ) -> None:
        self.name = name
        self._engine = engine
        self._messages = engine.stream(name, request)
        self._reading: asyncio.Future[Message] | None = None
        self._ended: grpc.aio.AioRpcError | StopAsyncIteration | None = None
        self._closing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(float(timeout), self.end, LATE)
        engine.streams[self] = None

    async def read(self) -> Any:
        if self._ended is None:
            self._reading = asyncio.ensure_future(self._messages.__anext__())
            try:
                return await self._reading
            except StopAsyncIteration:
                return grpc.aio.EOF
            except asyncio.CancelledError:
                if self._ended is None or not self._reading.cancelled():
                    raise
            finally:
                self._reading = None
        self._engine.streams.pop(self, None)
        await self._messages.aclose()
        if isinstance(self._ended, StopAsyncIteration):
            return grpc.aio.EOF
        raise self._ended

    def end(self, status: Status | None) -> None:
        """End it from the engine's side."""
        self._ended = StopAsyncIteration() if status is None else failure(status)
        self._stop()

    def cancel(self) -> None:
        """End it from the client's side."""
        self._engine.streams.pop(self, None)
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reading is not None:
            self._reading.cancel()
        elif self._ended is None:
            self._closing = asyncio.ensure_future(self._messages.aclose())


class InlineLink(Link):
    """A link whose channel leads to an inline engine."""

    def __init__(self, engine: InlineEngine, **options: Any) -> None:
        super().__init__(FlameContext(ENDPOINT), **options)
        self._engine = engine

    def _open_channel(self) -> Any:
        return self._engine.channel()

    def _lists_opener(self) -> None:
        return None  # a thread would not keep to the test's clock


def connect(
    engine: InlineEngine,
    *,
    retry: RetryPolicy | None = None,
    settings: WatchSettings | None = None,
    spread: int = 1,
    patience: float = 120.0,
) -> Connection:
    """Return a connection of the running loop; its polls' jitter begins with ``spread``."""
    link = InlineLink(engine, policy=retry, patience=patience)

    def hub(made: Link) -> Hub:
        chance = random.Random(spread)
        return Hub(
            made.hasty,
            made.endpoint,
            settings=settings,
            patience=made.patience,
            spread=chance,
            patient=made.frontend,
        )

    link.attachment("watching.hub", hub)
    return Connection(link)


def key_of(task: Task) -> Key:
    """Return under which key an engine keeps the incarnation of a task."""
    return task.session_id, round(task.creation_time.timestamp() * 1000), int(task.id)


def _nothing(application: object, executor_id: str) -> Any:
    raise BindFailure(11, "an inline engine runs nothing")
