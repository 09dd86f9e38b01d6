"""All tasks of a service by one stream, where the service offers it (docs/protocol.md#task-stream).

A message there and one back take less than half of what a call of ``OnTaskInvoke`` takes, in both
processes. The next task is written after the answer to the last, so a service has one at a time
either way. ``process`` opens, asks and closes it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from flamepy.local.services.instance import TaskNotBegun
from flamepy.runtime.clocks import monotonic
from flamepy.wire.services import TASK_STREAM, TASK_STREAM_GRACE, TASK_STREAM_OFFER

NOT_BEGUN = TASK_STREAM_GRACE * 0.9  # seconds; see ``TaskStream``


class TaskStream:
    """One stream of a channel.

    A service ends it with the status OK when it leaves, and begins nothing that it did not answer.
    One that waits for a task meanwhile can only cancel it, and may do so when the next task is
    in flight already. A task that it has begun gets ``TASK_STREAM_GRACE`` seconds before that, so
    the time shows which it was.

    Attributes:
        call: the stream as gRPC has it; cancelling it ends what waits in ``ask``.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        begin: grpc.aio.StreamStreamMultiCallable[Any, bytes] = channel.stream_stream(
            TASK_STREAM.path, request_serializer=TASK_STREAM.request.SerializeToString
        )
        self.call = begin()

    @property
    def over(self) -> bool:
        """True once the stream has ended: its service leaves."""
        return self.call.done()

    async def ask(self, request: Message) -> bytes:
        """Send a task and return its answer, one at a time.

        Raises:
            grpc.aio.AioRpcError: the stream broke while the task ran, or the service broke it off.
            TaskNotBegun: it broke before the task was sent, or the service ended it.
        """
        if self.over:
            raise TaskNotBegun("the service ended its stream of tasks")
        try:
            await self.call.write(request)
        except grpc.aio.AioRpcError as error:  # INTERNAL, where the service just died
            raise TaskNotBegun("the connection to the service broke") from error
        answer = await self._read()
        if isinstance(answer, bytes):
            return answer
        raise TaskNotBegun("the service ended its stream of tasks without an answer")

    async def _read(self) -> object:
        began = monotonic()
        try:
            return await self.call.read()
        except grpc.aio.AioRpcError as error:
            cancelled = error.code() is grpc.StatusCode.CANCELLED
            if cancelled and monotonic() - began < NOT_BEGUN:
                raise TaskNotBegun("the service cancelled its stream of tasks") from error
            raise

    async def close(self, limit: float) -> None:
        """End the stream, so that the service's thread is free; within ``limit`` seconds."""
        if self.call.done():
            return
        await self.call.done_writing()
        status = asyncio.ensure_future(self.call.code())
        await asyncio.wait({status}, timeout=limit)
        if not status.done():
            self.call.cancel()
            await status


def offers_stream(trailer: grpc.aio.Metadata | None) -> bool:
    """Return True if the trailer of OnSessionEnter says that the service takes a task stream."""
    return trailer is not None and TASK_STREAM_OFFER in tuple(trailer)
