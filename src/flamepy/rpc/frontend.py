"""One async method per RPC of ``flame.v1.Frontend``: dataclasses in, dataclasses out.

Every call has a deadline, repeats by ``retry`` and raises by ``status``. ``link`` makes it;
``aio`` checks what users give before it comes here, ``watching`` reads through it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.errors import (
    FlameError,
    SessionClosedError,
    SessionNotFoundError,
    UnavailableError,
)
from flamepy.rpc.calls import Calls, CutOff, Stream
from flamepy.rpc.retry import RetryDetails, repeat
from flamepy.rpc.status import Call, from_result, from_status
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Executor,
    Node,
    RetryPolicy,
    SessionAttributes,
    SessionInfo,
    Task,
)
from flamepy.wire.applications import decode_application, encode_application_spec
from flamepy.wire.cluster import decode_executor, decode_node
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session, encode_session_spec
from flamepy.wire.tasks import decode_task, encode_task_spec

DEFAULT_TIMEOUT = 30.0

M = TypeVar("M", bound=Message)
Outcome = Callable[[FlameError | None], None]


def _ignore(error: FlameError | None) -> None:
    """Nobody wants to know."""


class TaskStream:
    """A stream of tasks: iterate it, or ``cancel`` it from anywhere on the loop."""

    def __init__(
        self, stream: Stream, call: Call, *, payloads: bool = True, outcome: Outcome = _ignore
    ) -> None:
        self._stream = stream
        self._call = call
        self._payloads = payloads
        self._outcome = outcome
        self.received = 0  # bytes of the messages so far

    async def __aiter__(self) -> AsyncIterator[Task]:
        try:
            async for message in self._stream:
                self.received += message.ByteSize()
                yield decode_task(message, payloads=self._payloads)
        except CutOff:
            raise UnavailableError(
                f"{self._call.name} at {self._call.endpoint} was ended by a fork of this process, "
                "or by the connection's close; ask again",
                retryable=True,
            ) from None
        except grpc.aio.AioRpcError as error:
            failure = _translate(error, self._call)
            self._outcome(failure)
            raise failure from error
        finally:
            self._stream.cancel()

    def cancel(self) -> None:
        """End the stream; safe to call twice."""
        self._stream.cancel()


class Frontend:
    """The engine's frontend behind one channel.

    Args:
        calls: the channel and its calls.
        endpoint: the engine's URL, for messages.
        policy: how repeatable calls are repeated.
        outcome: is told how each attempt ended: None for an answer, else the error.
        scheduled: is told of each call that will be made again.
    """

    def __init__(
        self,
        calls: Calls,
        endpoint: str,
        policy: RetryPolicy,
        *,
        outcome: Outcome = _ignore,
        scheduled: Callable[[RetryDetails], None] = lambda _: None,
    ) -> None:
        self._calls = calls
        self._endpoint = endpoint
        self._policy = policy
        self._outcome = outcome
        self._scheduled = scheduled

    # ------------------------------------------------------------------ applications

    async def register_application(
        self, name: str, attributes: ApplicationAttributes, *, timeout: float | None = None
    ) -> None:
        """Register an application. Raises AlreadyExistsError, InvalidArgumentError."""
        spec = encode_application_spec(attributes)
        await self._result("RegisterApplication", timeout, name=name, application=spec)

    async def update_application(
        self, name: str, attributes: ApplicationAttributes, *, timeout: float | None = None
    ) -> None:
        """Replace an application. Raises ApplicationNotFoundError, InvalidStateError."""
        spec = encode_application_spec(attributes)
        await self._result("UpdateApplication", timeout, name=name, application=spec)

    async def unregister_application(self, name: str, *, timeout: float | None = None) -> None:
        """Remove an application and its sessions. Raises InvalidStateError while one is open."""
        await self._result("UnregisterApplication", timeout, name=name)

    async def get_application(self, name: str, *, timeout: float | None = None) -> Application:
        """Return an application. Raises ApplicationNotFoundError."""
        call = self._call("GetApplication")
        return decode_application(await self._one(types_pb2.Application, call, timeout, name=name))

    async def list_applications(self, *, timeout: float | None = None) -> list[Application]:
        """Return all applications, by name."""
        call = self._call("ListApplication")
        reply = await self._one(types_pb2.ApplicationList, call, timeout)
        return sorted(map(decode_application, reply.applications), key=lambda one: one.name)

    # ------------------------------------------------------------------ cluster

    async def list_executors(self, *, timeout: float | None = None) -> list[Executor]:
        """Return all executors, by id."""
        call = self._call("ListExecutor")
        reply = await self._one(types_pb2.ExecutorList, call, timeout)
        return sorted(map(decode_executor, reply.executors), key=lambda one: one.id)

    async def list_nodes(self, *, timeout: float | None = None) -> list[Node]:
        """Return all nodes, by name."""
        reply = await self._one(types_pb2.NodeList, self._call("ListNodes"), timeout)
        return sorted(map(decode_node, reply.nodes), key=lambda one: one.name)

    async def get_node(self, name: str, *, timeout: float | None = None) -> Node:
        """Return a node. Raises NotFoundError."""
        call = self._call("GetNode")
        reply = await self._one(FRONTEND["GetNode"].response, call, timeout, name=name)
        node: types_pb2.Node = reply.node  # type: ignore[attr-defined]  # class from the table
        return decode_node(node)

    # ------------------------------------------------------------------ sessions

    async def create_session(
        self, session_id: str, attributes: SessionAttributes, *, timeout: float | None = None
    ) -> SessionInfo:
        """Create a session. Raises AlreadyExistsError, ApplicationNotFoundError."""
        spec = encode_session_spec(attributes)
        return await self._session("CreateSession", session_id, timeout, session=spec)

    async def open_session(
        self,
        session_id: str,
        attributes: SessionAttributes | None = None,
        *,
        timeout: float | None = None,
    ) -> SessionInfo:
        """Return an open session; with attributes it is created if absent.

        Raises SessionNotFoundError, SessionClosedError, InvalidArgumentError (other attributes).
        """
        spec = None if attributes is None else encode_session_spec(attributes)
        return await self._session("OpenSession", session_id, timeout, session=spec)

    async def get_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        """Return a session with its events. Raises SessionNotFoundError."""
        return await self._session("GetSession", session_id, timeout)

    async def close_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        """Close a session. Raises SessionBusyError while a task runs, SessionNotFoundError."""
        return await self._session("CloseSession", session_id, timeout)

    async def delete_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        """Delete a closed session. Raises InvalidStateError, SessionNotFoundError."""
        return await self._session("DeleteSession", session_id, timeout)

    async def list_sessions(self, *, timeout: float | None = None) -> list[SessionInfo]:
        """Return all sessions with counters and events, by id."""
        reply = await self._one(types_pb2.SessionList, self._call("ListSession"), timeout)
        return sorted(map(decode_session, reply.sessions), key=lambda one: one.id)

    # ------------------------------------------------------------------ tasks

    async def create_task(
        self, session_id: str, payload: bytes | None, *, timeout: float | None = None
    ) -> Task:
        """Create a task. Raises SessionNotFoundError, SessionClosedError."""
        call = self._call("CreateTask", session_id)
        spec = encode_task_spec(session_id, payload)
        try:
            return decode_task(await self._one(types_pb2.Task, call, timeout, task=spec))
        except SessionNotFoundError as refused:
            if refused.grpc_code != grpc.StatusCode.INTERNAL.name:
                raise
            # The sqlite storage says the same of a closed session (docs/protocol.md#errors).
            found = await self.get_session(session_id, timeout=timeout)
            raise SessionClosedError(
                f"session {session_id!r} is {found.state.name}: {refused.message}",
                grpc_code=refused.grpc_code,
            ) from refused

    async def get_task(
        self, session_id: str, task_id: str, *, timeout: float | None = None
    ) -> Task:
        """Return a task with its events. Raises TaskNotFoundError, SessionNotFoundError."""
        call = self._call("GetTask", session_id, task_id)
        reply = await self._one(
            types_pb2.Task, call, timeout, session_id=session_id, task_id=task_id
        )
        return decode_task(reply)

    def list_tasks(
        self, session_id: str, *, payloads: bool = True, timeout: float | None = None
    ) -> TaskStream:
        """Open a stream of a snapshot of a session's tasks, in any order."""
        request = FRONTEND["ListTask"].request(session_id=session_id)
        stream = self._calls.stream("ListTask", request, timeout or 10 * DEFAULT_TIMEOUT)
        call = self._call("ListTask", session_id)
        return TaskStream(stream, call, payloads=payloads, outcome=self._outcome)

    def watch_task(self, session_id: str, task_id: str) -> TaskStream:
        """Open a stream of one task's changes; it has no deadline (docs/protocol.md#watch)."""
        request = FRONTEND["WatchTask"].request(session_id=session_id, task_id=task_id)
        stream = self._calls.stream("WatchTask", request, None)
        call = self._call("WatchTask", session_id, task_id)
        return TaskStream(stream, call, outcome=self._outcome)

    # ------------------------------------------------------------------ one call

    def _call(self, name: str, session_id: str | None = None, task_id: str | None = None) -> Call:
        return Call(name, self._endpoint, session_id, task_id)

    async def _session(
        self, name: str, session_id: str, timeout: float | None, **fields: object
    ) -> SessionInfo:
        call = self._call(name, session_id)
        reply = await self._one(types_pb2.Session, call, timeout, session_id=session_id, **fields)
        return decode_session(reply)

    async def _result(self, rpc: str, timeout: float | None, /, **fields: object) -> None:
        call = self._call(rpc)
        reply = await self._one(types_pb2.Result, call, timeout, **fields)
        if reply.return_code != 0:
            raise from_result(reply.message or f"return code {reply.return_code}", call)

    async def _one(
        self, kind: type[M], call: Call, timeout: float | None, /, **fields: object
    ) -> M:
        request = FRONTEND[call.name].request(**fields)

        async def attempt(left: float) -> M:
            try:
                reply: M = await self._calls.unary(call.name, request, left)
            except grpc.aio.AioRpcError as error:
                failure = _translate(error, call)
                self._outcome(failure)
                raise failure from error
            self._outcome(None)
            return reply

        limit = timeout or DEFAULT_TIMEOUT
        return await repeat(call.name, self._policy, limit, attempt, self._scheduled)


def _translate(error: grpc.aio.AioRpcError, call: Call) -> FlameError:
    return from_status(error.code(), error.details() or "", call)
