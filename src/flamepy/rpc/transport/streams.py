"""``TaskStream``: a stream of tasks, decoded, with its errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio
from google.protobuf.message import Message

from flamepy.errors import DeadlineExceededError, FlameError, UnavailableError
from flamepy.rpc.retry.classifier import Failure, is_retryable
from flamepy.rpc.transport.message_stream import CutOff, MessageExchange, MessageStream
from flamepy.rpc.transport.status import Call, from_rpc
from flamepy.types import Task
from flamepy.wire.tasks import decode_task

Outcome = Callable[[FlameError | None, float], None]


def ignore(error: FlameError | None, began: float) -> None:
    """Discard the outcome of a call that began then."""


class TaskStream:
    """A stream of tasks, its own iterator: iterate it once, and ``cancel`` it when you leave early.

    ``cancel`` may be called from anywhere on the loop, and after the end as well.
    """

    def __init__(
        self,
        stream: MessageStream,
        call: Call,
        *,
        payloads: bool = True,
        wanted: Callable[[str], bool] | None = None,
        outcome: Outcome = ignore,
    ) -> None:
        self._stream = stream
        self._call = call
        self._payloads = payloads
        self._wanted = wanted
        self._outcome = outcome
        self._began: float | None = None
        self.received = 0  # bytes of the messages so far

    def __aiter__(self) -> TaskStream:
        return self

    async def __anext__(self) -> Task:
        """Return the next task. Raises FlameError."""
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        try:
            while True:
                message = await self._stream.__anext__()
                self.received += message.ByteSize()
                key = message.metadata
                if self._wanted is None or self._wanted(key.name or key.id):
                    return decode_task(message, payloads=self._payloads)
        except CutOff:
            cut = UnavailableError(
                f"{self._call.name} at {self._call.endpoint} was ended by a fork of this process, "
                "or by the connection's close; ask again",
                retryable=is_retryable(self._call.name, Failure.LOST),
            )
            cut.failure = Failure.LOST.value
            raise cut from None
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, self._call)
            if not self._was_cut(failure):
                self._outcome(failure, self._began)
            raise failure from error

    def _was_cut(self, failure: FlameError) -> bool:
        """Return True if only this stream ended, which says nothing of the engine.

        A proxy ends a watch that is quiet for its read timeout, and a list that is slow. Whether
        the engine is lost shows the next ordinary call. A stream that found no connection at all
        is such a call itself.
        """
        if not isinstance(failure, (UnavailableError, DeadlineExceededError)):
            return False
        began = self._call.name == "WatchTask" or self.received > 0
        return began and failure.failure != Failure.NOT_SENT.value

    def cancel(self) -> None:
        """End the stream; safe to call twice."""
        self._stream.cancel()


class TaskExchange(TaskStream):
    """A stream of tasks of one session, of those that were added so far.

    Each task that is added comes in its present state first, then at its changes until its end,
    after which it is left out. One that the engine does not know ends the stream for all, with
    TaskNotFoundError: add what a reply has shown alone. The engine reads what is added only while
    its answers are read (docs/protocol.md#dialects).

    Args:
        exchange: gRPC's.
        call: WatchTask, for messages.
        request: returns the message that adds a task.
        outcome: as of ``TaskStream``.
    """

    def __init__(
        self,
        exchange: MessageExchange,
        call: Call,
        request: Callable[[str], Message],
        *,
        outcome: Outcome = ignore,
    ) -> None:
        super().__init__(exchange, call, outcome=outcome)
        self._exchange = exchange
        self._request = request

    async def add(self, task_id: str) -> bool:
        """Add a task; waits while the engine takes no more. A cancelled wait ends the stream.

        Returns:
            False if the stream is over: its reader has the reason.
        """
        return await self._exchange.send(self._request(task_id))

    def cut(self) -> None:
        """End the stream; its reader gets an UnavailableError, now or when it reads on."""
        self._exchange.cut()

    async def finish(self) -> None:
        """Add no more: the engine ends the stream when all tasks have ended."""
        await self._exchange.finish()
