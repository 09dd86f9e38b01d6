"""An engine that costs next to nothing: constants on a gRPC server, moved by commands on stdin.

Holds sessions of tasks as encoded messages. ``python benchmarks/scale_engine.py SESSIONS TASKS``
prints its port; then each line ``SESSION TASK STATE`` moves a task (``+`` as TASK makes a new one)
and is answered by the monotonic second at which it moved. Used by ``scale.py``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from flamepy.wire.services import FRONTEND

BORN = 1_760_000_000_000
Message = Any  # a generated message


class Engine:
    """Sessions ``s0``, ``s1``, ... with tasks that have all succeeded, unless they are moved."""

    def __init__(self, sessions: int, tasks: int) -> None:
        self.task = FRONTEND["GetTask"].response
        self.list_reply = FRONTEND["ListSession"].response
        self.states = {f"s{one}": [2] * tasks for one in range(sessions)}
        self.encoded = {
            name: [self.encode(name, number, 2) for number in range(1, tasks + 1)]
            for name in self.states
        }
        self.news: dict[tuple[str, int], asyncio.Event] = {}
        self.listed: bytes | None = None

    def encode(self, name: str, number: int, state: int) -> bytes:
        message = self.task()
        message.metadata.id = message.metadata.name = str(number)
        message.spec.session_id = name
        message.spec.input = b"i" * 16
        message.status.state, message.status.creation_time = state, BORN
        if state >= 2:
            message.spec.output = b"o" * 16
            message.status.completion_time = BORN
        return message.SerializeToString()

    def move(self, name: str, task: str, state: int) -> float:
        states, encoded = self.states[name], self.encoded[name]
        number = len(states) + 1 if task == "+" else int(task)
        if task == "+":
            states.append(state)
            encoded.append(b"")
        states[number - 1] = state
        encoded[number - 1] = self.encode(name, number, state)
        self.listed = None
        news = self.news.pop((name, number), None)
        if news is not None:
            news.set()
        return time.monotonic()

    def session(self, message: Message, name: str) -> None:
        message.metadata.id = message.metadata.name = name
        message.spec.application = "app"
        status = message.status
        status.creation_time = BORN
        for state, field in enumerate(("pending", "running", "succeed", "failed", "cancelled")):
            setattr(status, field, self.states[name].count(state))

    # ------------------------------------------------------------------ the calls

    async def list_session(self, request: Message, context: Any) -> bytes:
        if self.listed is None:
            reply = self.list_reply()
            for name in self.states:
                self.session(reply.sessions.add(), name)
            self.listed = reply.SerializeToString()
        return self.listed

    async def get_session(self, request: Message, context: Any) -> bytes:
        reply = FRONTEND["GetSession"].response()
        self.session(reply, request.session_id)
        encoded: bytes = reply.SerializeToString()
        return encoded

    async def get_task(self, request: Message, context: Any) -> bytes:
        encoded = self.encoded[request.session_id]
        number = int(request.task_id)
        if not 0 < number <= len(encoded):
            await context.abort(grpc.StatusCode.NOT_FOUND, request.task_id)
        return encoded[number - 1]

    async def list_task(self, request: Message, context: Any) -> AsyncIterator[bytes]:
        for one in list(self.encoded[request.session_id]):
            yield one

    async def watch_task(self, request: Message, context: Any) -> AsyncIterator[bytes]:
        name, number = request.session_id, int(request.task_id)
        shown = self.states[name][number - 1]
        while True:
            state = self.states[name][number - 1]
            if state >= 2 or state != shown:
                shown = state
                yield self.encoded[name][number - 1]
                if state >= 2:
                    return
            await self.news.setdefault((name, number), asyncio.Event()).wait()

    async def list_nodes(self, request: Message, context: Any) -> bytes:
        return b""

    def handler(self) -> grpc.GenericRpcHandler:
        made = {}
        for name, call in (
            ("ListSession", self.list_session),
            ("GetSession", self.get_session),
            ("GetTask", self.get_task),
            ("ListTask", self.list_task),
            ("WatchTask", self.watch_task),
            ("ListNodes", self.list_nodes),
        ):
            method = FRONTEND[name]
            make = (
                grpc.unary_stream_rpc_method_handler
                if method.streams
                else grpc.unary_unary_rpc_method_handler
            )
            made[name] = make(call, request_deserializer=method.request.FromString)
        return grpc.method_handlers_generic_handler("flame.v1.Frontend", made)


async def main() -> None:
    """Serve until stdin ends."""
    engine = Engine(int(sys.argv[1]), int(sys.argv[2]))
    server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
    server.add_generic_rpc_handlers((engine.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, task, state = line.split()
        print(engine.move(name, task, int(state)), flush=True)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
