"""An engine of either dialect: a proxy before a ``FakeEngine`` that knows one set of names.

``newer`` may change at any time, as at an upgrade behind the same port. Requests and replies pass
as bytes; WatchTasks is made of the calls that the engine has.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from flamepy._proto import frontend_pb2, types_pb2
from flamepy.wire.services import FRONTEND, NEW_NAMES, OLD_NAMES

START = "/flame.v1.Frontend/"


class RenamingProxy(grpc.GenericRpcHandler):
    """The proxy; use it with ``with``.

    Args:
        endpoint: of the engine.
        newer: whether it has the names after 0.6, and those alone.

    Attributes:
        calls: how often each name was called, known or not.
        requests: the last request of each name, as bytes.
        nothing: True while it knows no call at all.
    """

    def __init__(self, endpoint: str, *, newer: bool = True) -> None:
        self.newer = newer
        self.nothing = False
        self.calls: Counter[str] = Counter()
        self.requests: dict[str, bytes] = {}
        self._target = endpoint.removeprefix("http://")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="renaming-proxy")

    def __enter__(self) -> RenamingProxy:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10.0)

    async def _start(self) -> None:
        self._channel = grpc.aio.insecure_channel(
            self._target, [("grpc.use_local_subchannel_pool", 1)]
        )
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop(0)
        await self._channel.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # ------------------------------------------------------------------ calls

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return what serves a call, None for a name that this dialect lacks."""
        name = details.method.removeprefix(START)
        self.calls[name] += 1
        if self.nothing or name in (NEW_NAMES if self.newer else OLD_NAMES):
            return None
        if name == "WatchTasks":
            return grpc.stream_stream_rpc_method_handler(self._watch_tasks)
        method = FRONTEND[OLD_NAMES.get(name, name)]
        if method.streams:
            return grpc.unary_stream_rpc_method_handler(self._stream(name, method.path))
        return grpc.unary_unary_rpc_method_handler(self._unary(name, method.path))

    def _unary(self, name: str, path: str) -> Any:
        async def serve(raw: bytes, context: Any) -> bytes:
            self.requests[name] = raw
            try:
                return await self._channel.unary_unary(path)(raw)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details())
                raise

        return serve

    def _stream(self, name: str, path: str) -> Any:
        async def serve(raw: bytes, context: Any) -> AsyncIterator[bytes]:
            self.requests[name] = raw
            try:
                async for message in self._channel.unary_stream(path)(raw):
                    yield message
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details())

        return serve

    async def _watch_tasks(
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """Each task's present state, then its changes until its end; a bad id ends it for all."""
        shown: asyncio.Queue[bytes | grpc.aio.AioRpcError | None] = asyncio.Queue()
        followed: set[asyncio.Task[None]] = set()

        async def read() -> None:
            async for raw in requests:
                self.requests["WatchTasks"] = raw
                followed.add(asyncio.ensure_future(self._follow(raw, shown)))
            await asyncio.gather(*followed)
            shown.put_nowait(None)

        reading = asyncio.ensure_future(read())
        try:
            while (message := await shown.get()) is not None:
                if isinstance(message, grpc.aio.AioRpcError):
                    await context.abort(message.code(), message.details())
                yield message  # type: ignore[misc]  # abort raises
        finally:
            for task in (reading, *followed):
                task.cancel()

    async def _follow(self, raw: bytes, shown: asyncio.Queue[Any]) -> None:
        asked = frontend_pb2.WatchTaskRequest.FromString(raw)
        read = frontend_pb2.GetTaskRequest(task_id=asked.task_id, session_id=asked.session_id)
        get = self._channel.unary_unary(FRONTEND["GetTask"].path)
        watch = self._channel.unary_stream(FRONTEND["WatchTask"].path)
        try:
            message = await get(read.SerializeToString())
            shown.put_nowait(message)
            while types_pb2.Task.FromString(message).status.state < types_pb2.Succeed:
                async for message in watch(raw):
                    shown.put_nowait(message)
        except grpc.aio.AioRpcError as error:
            shown.put_nowait(error)
