"""``flame.v1.Frontend`` over the embedded engine: decode, call, encode; no rule lives here.

Refusals become gRPC status, or return code -1 inside OK for the three application calls
(docs/protocol.md#errors). A message over the engine's limit is refused with the engine's text.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from flamepy._proto import frontend_pb2, types_pb2
from flamepy.local.engine import Engine
from flamepy.local.net.limits import MESSAGE_LIMIT, too_large
from flamepy.local.services.changes import shorten
from flamepy.local.state.affinity import checked_affinity
from flamepy.local.state.refusal import Refusal, ResultRefusal, StorageRefusal
from flamepy.local.state.rows import TaskRow
from flamepy.texts import text_of
from flamepy.types import (
    ApplicationState,
    Dialect,
    SessionAttributes,
    SessionState,
    TaskState,
)
from flamepy.wire.applications import decode_application_spec, encode_application
from flamepy.wire.cluster import encode_executor, encode_node
from flamepy.wire.services import FRONTEND, FRONTEND_SERVICE, RENAMED, Method
from flamepy.wire.sessions import decode_session_spec, encode_session
from flamepy.wire.tasks import encode_task, task_message

logger = logging.getLogger(__name__)

TEXT_LIMIT = 2000  # characters of a status text
RECEIVE_LIMIT = 64 * 1024 * 1024  # past this gRPC itself refuses, before we could say it well

T = TypeVar("T", ApplicationState, SessionState)
Context = grpc.aio.ServicerContext[Any, Any]


class Frontend:
    """The 18 calls; each takes a decoded request and returns the answer, or raises Refusal.

    Those that the state's dialect has by another name are served by that alone; the others are
    unknown, as to an engine (docs/protocol.md#dialects).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a grpc.aio server needs to serve all calls."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, old in FRONTEND.items():
            method = RENAMED.get(name, old) if self._is_newer else old
            call = self.around(method, getattr(self, _snake(method.name)))
            if method.requests_stream:
                handlers[method.name] = grpc.stream_stream_rpc_method_handler(
                    _exchange(method, call),
                    response_serializer=method.response.SerializeToString,
                )
            elif method.streams:
                handlers[method.name] = grpc.unary_stream_rpc_method_handler(
                    _streaming(method, call),
                    response_serializer=method.response.SerializeToString,
                )
            else:
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                    _unary(method, call),
                    response_serializer=method.response.SerializeToString,
                )
        return grpc.method_handlers_generic_handler(FRONTEND_SERVICE, handlers)

    @property
    def _is_newer(self) -> bool:
        return self._state.dialect is Dialect.NEXT

    def around(self, method: Method, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is served for a call: itself; for engines that are made for tests."""
        return call

    # ------------------------------------------------------------------ applications

    async def register_application(
        self, request: frontend_pb2.RegisterApplicationRequest
    ) -> types_pb2.Result:
        """RegisterApplication."""
        spec = _application_spec(request)
        await self._engine.register_application(request.name, spec)
        return types_pb2.Result(return_code=0)

    async def update_application(
        self, request: frontend_pb2.UpdateApplicationRequest
    ) -> types_pb2.Result:
        """UpdateApplication."""
        spec = _application_spec(request)
        await self._engine.update_application(request.name, spec)
        return types_pb2.Result(return_code=0)

    async def unregister_application(
        self, request: frontend_pb2.UnregisterApplicationRequest
    ) -> types_pb2.Result:
        """UnregisterApplication."""
        await self._engine.unregister_application(request.name)
        return types_pb2.Result(return_code=0)

    def get_application(self, request: frontend_pb2.GetApplicationRequest) -> types_pb2.Application:
        """GetApplication."""
        return encode_application(self._state.applications.get(request.name))

    def list_application(
        self, request: frontend_pb2.ListApplicationRequest
    ) -> types_pb2.ApplicationList:
        """ListApplication."""
        found = map(encode_application, self._state.applications.list())
        return types_pb2.ApplicationList(applications=found)

    def list_applications(
        self, request: frontend_pb2.ListApplicationRequest
    ) -> types_pb2.ApplicationList:
        """ListApplications, of engines after 0.6: of one state, if the request has one."""
        wanted = _state(request, ApplicationState)
        found = self._state.applications.list()
        shown = [encode_application(one) for one in found if wanted in (None, one.state)]
        return types_pb2.ApplicationList(applications=shown)

    # ------------------------------------------------------------------ cluster

    def list_executor(self, request: frontend_pb2.ListExecutorRequest) -> types_pb2.ExecutorList:
        """ListExecutor."""
        found = map(encode_executor, self._state.list_executors())
        return types_pb2.ExecutorList(executors=found)

    def list_executors(self, request: frontend_pb2.ListExecutorRequest) -> types_pb2.ExecutorList:
        """ListExecutors, of engines after 0.6: with the application of each one's session."""
        found = []
        for one in self._state.list_executors():
            row = self._state.sessions.get(one.session_id or "")
            application = row.application if row is not None else None
            found.append(encode_executor(replace(one, application=application)))
        return types_pb2.ExecutorList(executors=found)

    def list_nodes(self, request: frontend_pb2.ListNodesRequest) -> types_pb2.NodeList:
        """ListNodes."""
        return types_pb2.NodeList(nodes=[encode_node(self._state.node)])

    def get_node(self, request: frontend_pb2.GetNodeRequest) -> frontend_pb2.GetNodeResponse:
        """GetNode."""
        return frontend_pb2.GetNodeResponse(node=encode_node(self._state.get_node(request.name)))

    # ------------------------------------------------------------------ sessions

    async def create_session(self, request: frontend_pb2.CreateSessionRequest) -> types_pb2.Session:
        """CreateSession."""
        made = await self._engine.create_session(request.session_id, _session_spec(request))
        return encode_session(made)

    async def open_session(self, request: frontend_pb2.OpenSessionRequest) -> types_pb2.Session:
        """OpenSession."""
        opened = await self._engine.open_session(request.session_id, _session_spec(request))
        return encode_session(opened)

    async def close_session(self, request: frontend_pb2.CloseSessionRequest) -> types_pb2.Session:
        """CloseSession."""
        return encode_session(await self._engine.close_session(request.session_id))

    async def delete_session(self, request: frontend_pb2.DeleteSessionRequest) -> types_pb2.Session:
        """DeleteSession."""
        return encode_session(await self._engine.delete_session(request.session_id))

    def get_session(self, request: frontend_pb2.GetSessionRequest) -> types_pb2.Session:
        """GetSession."""
        return encode_session(self._state.get_session(request.session_id))

    def list_session(self, request: frontend_pb2.ListSessionRequest) -> types_pb2.SessionList:
        """ListSession."""
        found = map(encode_session, self._state.list_sessions())
        return types_pb2.SessionList(sessions=found)

    def list_sessions(self, request: frontend_pb2.ListSessionRequest) -> types_pb2.SessionList:
        """ListSessions, of engines after 0.6: of an application or a state, if it has them."""
        application = request.application if request.HasField("application") else None
        wanted = _state(request, SessionState)
        found = self._state.list_sessions(application=application, state=wanted)
        return types_pb2.SessionList(sessions=map(encode_session, found))

    # ------------------------------------------------------------------ tasks

    def create_task(
        self, request: frontend_pb2.CreateTaskRequest
    ) -> types_pb2.Task | Awaitable[types_pb2.Task]:
        """CreateTask; where it is written down, together with others that come now."""
        if not request.HasField("task"):
            raise Refusal("INVALID_ARGUMENT", "session spec")  # the engine says just this
        spec = request.task
        payload = spec.input if spec.HasField("input") else None
        affinity = checked_affinity(spec.affinity) if self._is_newer else ()
        if self._engine.is_written:
            return _created(self._engine.create_soon(spec.session_id, payload), affinity)
        return _new(self._engine.create_task(spec.session_id, payload), affinity)

    def get_task(self, request: frontend_pb2.GetTaskRequest) -> types_pb2.Task:
        """GetTask."""
        message = encode_task(self._state.get_task(request.session_id, request.task_id))
        return self._with_affinity(message) if self._is_newer else message

    async def watch_task(
        self, request: frontend_pb2.WatchTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        """WatchTask."""
        async for task in await self._engine.watch_task(request.session_id, request.task_id):
            yield encode_task(task)

    async def list_task(
        self, request: frontend_pb2.ListTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        """ListTask."""
        for task in self._state.list_tasks(request.session_id):
            yield encode_task(task)

    async def list_tasks(
        self, request: frontend_pb2.ListTaskRequest
    ) -> AsyncIterator[types_pb2.Task]:
        """ListTasks, of engines after 0.6."""
        for task in self._state.list_tasks(request.session_id):
            yield self._with_affinity(encode_task(task))

    async def watch_tasks(
        self, requests: AsyncIterator[frontend_pb2.WatchTaskRequest]
    ) -> AsyncIterator[types_pb2.Task]:
        """WatchTasks, of engines after 0.6."""
        async for task in self._engine.watch_tasks(_asked(requests)):
            events = task.events if task.state.is_terminal else ()
            shown = replace(task.view(), events=[one.view() for one in events])
            yield self._with_affinity(encode_task(shown))

    def _with_affinity(self, message: types_pb2.Task) -> types_pb2.Task:
        """Add what 0.6 does not know to a task's message."""
        row = self._state.find_task(message.spec.session_id, int(message.metadata.id))
        if row is not None and row.affinity:
            message.spec.affinity.extend(row.affinity)
        return message


async def _created(
    creation: Awaitable[TaskRow], affinity: tuple[bytes, ...] = ()
) -> types_pb2.Task:
    return _new(await creation, affinity)


async def _asked(
    requests: AsyncIterator[frontend_pb2.WatchTaskRequest],
) -> AsyncIterator[tuple[str, str]]:
    # No generator expression: that would begin with gRPC's iterator at once, and gRPC warns of one
    # that was begun and never read, as of a stream that its client cancels as it opens it.
    async for one in requests:
        yield one.session_id, one.task_id


def _new(task: TaskRow, affinity: tuple[bytes, ...] = ()) -> types_pb2.Task:
    """Return a task as it was made; it may run already."""
    message = task_message(
        task.id,
        task.session_id,
        state=TaskState.PENDING,
        created=task.created,
        payload=task.input,
    )
    if affinity:
        task.affinity = affinity
        message.spec.affinity.extend(affinity)
    return message


def _state(request: Any, kind: Callable[[int], T]) -> T | None:
    """Return the state that a list is asked for. Raises Refusal for one that there is not."""
    if not request.HasField("state"):
        return None
    found = kind(request.state)
    if not found.is_known:
        raise Refusal("INVALID_ARGUMENT", f"invalid state: {request.state}")
    return found


def _application_spec(request: Any) -> Any:
    return decode_application_spec(request.application) if request.HasField("application") else None


def _session_spec(request: Any) -> SessionAttributes | None:
    return decode_session_spec(request.session) if request.HasField("session") else None


def _unary(
    method: Method, call: Callable[[Any], Message | Awaitable[Message]]
) -> Callable[[bytes, Context], Any]:
    async def serve(raw: bytes, context: Context) -> Message:
        try:
            answer = call(_decode(method, raw))
            return answer if isinstance(answer, Message) else await answer
        except ResultRefusal as refusal:
            return types_pb2.Result(return_code=-1, message=refusal.message)
        except Refusal as refusal:
            if isinstance(refusal, StorageRefusal) and method.response is types_pb2.Result:
                return types_pb2.Result(return_code=-1, message=refusal.message)
            await _abort(context, refusal)

    return serve


def _streaming(
    method: Method, call: Callable[[Any], AsyncIterator[Message]]
) -> Callable[[bytes, Context], AsyncIterator[Message]]:
    async def serve(raw: bytes, context: Context) -> AsyncIterator[Message]:
        try:
            async for message in call(_decode(method, raw)):
                yield message
        except Refusal as refusal:
            await _abort(context, refusal)

    return serve


def _exchange(
    method: Method, call: Callable[[AsyncIterator[Message]], AsyncIterator[Message]]
) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[Message]]:
    async def serve(raw: AsyncIterator[bytes], context: Context) -> AsyncIterator[Message]:
        try:
            async for message in call(_decode(method, one) async for one in raw):
                yield message
        except Refusal as refusal:
            await _abort(context, refusal)

    return serve


async def _abort(context: Context, refusal: Refusal) -> NoReturn:
    # A text may quote an id as long as a message; past some KiB clients refuse the trailer.
    await context.abort(grpc.StatusCode[refusal.code], shorten(refusal.message, TEXT_LIMIT))


def _decode(method: Method, raw: bytes) -> Message:
    if len(raw) > MESSAGE_LIMIT:
        raise Refusal("OUT_OF_RANGE", too_large(len(raw)))
    try:
        return method.request.FromString(raw)
    except DecodeError as error:
        raise Refusal("INTERNAL", f"failed to decode Protobuf message: {text_of(error)}") from error


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
