"""An engine that costs next to nothing: a task has succeeded in the moment in which it is created.

A gRPC server (the C core) in a process of its own that answers with messages put together from
constants, so that a client against it measures the client. ``python benchmarks/instant_engine.py``
prints its port and serves until its stdin ends. Any application and session exists; every output is
one byte; tasks of the application ``never`` stay pending. Used by ``compare.py``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from flamepy.wire.services import FRONTEND

BORN = 1_760_000_000_000
Message = Any  # a generated message


class Engine:
    """Sessions by id, each with the number of its tasks; nothing else is kept of a task."""

    def __init__(self) -> None:
        self.tasks: dict[str, int] = {}
        self.never: set[str] = set()
        task = FRONTEND["GetTask"].response()
        task.status.creation_time = BORN
        self.pending = task.SerializeToString()
        task.status.state, task.status.completion_time = 2, BORN
        self.ended = task.SerializeToString()

    def encoded(self, name: str, number: int, *, new: bool = False) -> bytes:
        """Return a task: parts of a message that stand one behind the other are merged."""
        digits, session = str(number).encode(), name.encode()
        metadata = b"\x0a%c%b\x12%c%b" % (len(digits), digits, len(digits), digits)
        spec = b"\x12%c%b\x22\x01x" % (len(session), session)
        status = self.pending if new or name in self.never else self.ended
        return b"\x0a%c%b\x12%c%b%b" % (len(metadata), metadata, len(spec), spec, status)

    def session(self, name: str, message: Message) -> Message:
        """Fill a session's message."""
        message.metadata.id = message.metadata.name = name
        message.spec.application = "bench"
        message.status.creation_time = BORN
        state = "pending" if name in self.never else "succeed"
        setattr(message.status, state, self.tasks.setdefault(name, 0))
        return message

    # ------------------------------------------------------------------ the calls

    async def create_task(self, request: Message, context: Any) -> bytes:
        name = request.task.session_id
        number = self.tasks[name] = self.tasks.get(name, 0) + 1
        return self.encoded(name, number, new=True)  # as an engine shows it

    async def get_task(self, request: Message, context: Any) -> bytes:
        name, number = request.session_id, int(request.task_id)
        if not 0 < number <= self.tasks.get(name, 0):
            await context.abort(grpc.StatusCode.NOT_FOUND, request.task_id)
        return self.encoded(name, number)

    async def list_task(self, request: Message, context: Any) -> AsyncIterator[bytes]:
        name = request.session_id
        for number in range(1, self.tasks.get(name, 0) + 1):
            yield self.encoded(name, number)

    async def watch_task(self, request: Message, context: Any) -> AsyncIterator[bytes]:
        if request.session_id in self.never:
            await asyncio.Event().wait()
        yield await self.get_task(request, context)

    async def open_session(self, request: Message, context: Any) -> bytes:
        if request.session.application == "never":
            self.never.add(request.session_id)
        return await self.any_session(request, context)

    async def any_session(self, request: Message, context: Any) -> bytes:
        reply = self.session(request.session_id, FRONTEND["GetSession"].response())
        encoded: bytes = reply.SerializeToString()
        return encoded

    async def list_session(self, request: Message, context: Any) -> bytes:
        reply = FRONTEND["ListSession"].response()
        for name in self.tasks:
            self.session(name, reply.sessions.add())
        encoded: bytes = reply.SerializeToString()
        return encoded

    async def nothing(self, request: Message, context: Any) -> bytes:
        return b""

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of all calls."""
        calls = {
            "CreateTask": self.create_task,
            "GetTask": self.get_task,
            "ListTask": self.list_task,
            "WatchTask": self.watch_task,
            "ListSession": self.list_session,
            "CreateSession": self.open_session,
            "OpenSession": self.open_session,
        }
        made = {}
        for name, method in FRONTEND.items():
            call = calls.get(name, self.any_session if "Session" in name else self.nothing)
            make = (
                grpc.unary_stream_rpc_method_handler
                if method.streams
                else grpc.unary_unary_rpc_method_handler
            )
            made[name] = make(call, request_deserializer=method.request.FromString)
        return grpc.method_handlers_generic_handler("flame.v1.Frontend", made)


async def main() -> None:
    """Serve until stdin ends."""
    options = [("grpc.http2.max_ping_strikes", 0), ("grpc.max_receive_message_length", -1)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Engine().handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
