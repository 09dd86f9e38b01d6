"""A server of a few calls that records their metadata, and asks for a token if it is told one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc

from flamepy._proto import types_pb2
from flamepy.wire.services import FRONTEND


class GuardedEngine:
    """Any session is open, its tasks stay pending; use it with ``with``.

    Attributes:
        seen: name and metadata of each call.
        token: what ``authorization`` must hold; None: nothing is asked for.
        cancelled: calls of CreateTask whose client had gone when they were answered.
        trailers: of the next refusals, one for each; each refuses one call with UNAVAILABLE.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str | bytes]]] = []
        self.token: str | None = None
        self.trailers: list[tuple[tuple[str, str], ...]] = []
        self.limits: list[float] = []
        self.cancelled = 0
        self._made = 0
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool)
        handlers = {name: self._handler(name) for name in FRONTEND}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("flame.v1.Frontend", handlers),)
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def of(self, name: str) -> list[dict[str, str | bytes]]:
        """Return the metadata of each call of that name."""
        return [metadata for one, metadata in self.seen if one == name]

    def _handler(self, name: str) -> grpc.RpcMethodHandler:
        method = FRONTEND[name]
        if method.streams:
            make: Callable[..., Any] = grpc.unary_stream_rpc_method_handler

            def stream(request: Any, context: Any) -> Iterator[Any]:
                yield self._serve(name, request, context)
        else:
            make = grpc.unary_unary_rpc_method_handler

        def one(request: Any, context: Any) -> Any:
            return self._serve(name, request, context)

        return make(
            stream if method.streams else one,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def _serve(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        metadata = dict(context.invocation_metadata())
        self.seen.append((name, metadata))
        self.limits.append(context.time_remaining() or float("inf"))
        if self.token is not None and metadata.get("authorization") != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        if self.trailers:
            context.set_trailing_metadata(self.trailers.pop(0))
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        if name in ("GetSession", "CreateSession", "OpenSession", "CloseSession"):
            return types_pb2.Session(
                metadata=types_pb2.Metadata(id=request.session_id),
                spec=types_pb2.SessionSpec(application="app"),
            )
        if name == "ListNodes":
            return types_pb2.NodeList()
        if name == "RegisterApplication":
            return types_pb2.Result()
        if name == "CreateTask":
            self._made += 1
            self.cancelled += not context.is_active()
        number = "1" if name in ("ListTask", "WatchTask", "GetTask") else str(self._made)
        if name in ("CreateTask", "ListTask", "WatchTask", "GetTask"):
            return types_pb2.Task(
                metadata=types_pb2.Metadata(id=number), spec=types_pb2.TaskSpec(session_id="s")
            )
        context.abort(grpc.StatusCode.UNIMPLEMENTED, name)
        raise AssertionError("it has raised")

    def __enter__(self) -> GuardedEngine:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown()
