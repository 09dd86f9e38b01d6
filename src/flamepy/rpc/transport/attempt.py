"""``Attempt``: one call that its retrier may try several times; each try sends its message once.

A try ends with the decoded reply or with a FlameError, and its outcome is reported to the link.
``rpc.requests`` makes attempts, ``rpc.retry`` runs them, ``calls`` sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc.aio
from google.protobuf.message import Message

from flamepy.call_options import Pairs
from flamepy.errors import DeadlineExceededError, FlameError
from flamepy.rpc.retry.classifier import Failure, is_retryable
from flamepy.rpc.transport.calls import CallerLeft, Calls
from flamepy.rpc.transport.message_stream import MessageExchange, MessageStream, Prepare
from flamepy.rpc.transport.status import Call, from_rpc
from flamepy.rpc.transport.streams import Outcome, ignore
from flamepy.wire.services import NEW_NAMES

T = TypeVar("T")
Send = Callable[["float | None", Pairs], Awaitable[Any]]
Around = Callable[[Call, int, "float | None", Send], Awaitable[Any]]
ON_WIRE = 300.0  # seconds after which a call is cut that its caller has long left


@dataclass(frozen=True, slots=True)
class Transport:
    """What every try of a link's calls uses.

    Attributes:
        calls: the channel and its calls.
        endpoint: the engine's URL, for messages.
        outcome: called after each try with its error, None for an answer, and its start time.
        around: what the user put around each try: ``CallHooks.run``; None for nothing.
    """

    calls: Calls
    endpoint: str
    outcome: Outcome = ignore
    around: Around | None = None

    def stream(
        self, call: Call, request: Message, timeout: float | None, *, attempt: int = 1
    ) -> MessageStream:
        """Return a stream of answers; ``around`` is around its opening."""
        prepare = self._around_opening(call, attempt, timeout)
        return self.calls.stream(call.name, request, timeout, prepare)

    def exchange(self, call: Call) -> MessageExchange:
        """Return a stream each way without a deadline; ``around`` is around its opening."""
        return self.calls.exchange(call.name, self._around_opening(call, 1, None))

    def _around_opening(self, call: Call, attempt: int, timeout: float | None) -> Prepare | None:
        around = self.around
        if around is None:
            return None

        async def prepare() -> tuple[float | None, Pairs]:
            async def opened(seconds: float | None, metadata: Pairs) -> tuple[float | None, Pairs]:
                return seconds, metadata

            found: tuple[float | None, Pairs] = await around(call, attempt, timeout, opened)
            return found

        return prepare


class Attempt(Generic[T]):
    """A call and its message; ``run`` sends it once.

    Args:
        transport: of the link.
        call: which RPC, for messages.
        request: its message.
        decode: returns what a reply means, or raises a FlameError.
    """

    __slots__ = ("_call", "_decode", "_request", "_transport", "_tries")

    def __init__(
        self, transport: Transport, call: Call, request: Message, decode: Callable[[Any], T]
    ) -> None:
        self._transport = transport
        self._call = call
        self._request = request
        self._decode = decode
        self._tries = 0

    async def run(self, seconds: float, metadata: Pairs | None = None) -> T:
        """Send it once; the try is over after ``seconds``. Raises FlameError.

        Without ``metadata`` what the user put around a try is run, which comes back with it.
        """
        transport, call = self._transport, self._call
        if transport.around is not None and metadata is None:
            return await self._surrounded(transport.around, seconds)
        began = asyncio.get_running_loop().time()
        try:
            calls = transport.calls
            send = calls.either if call.name in NEW_NAMES else calls.unary
            reply = await send(call.name, self._request, seconds, metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error, began) from error
        transport.outcome(None, began)
        return self._decode(reply)

    async def _surrounded(self, around: Around, seconds: float) -> T:
        self._tries += 1
        found: T = await around(self._call, self._tries, seconds, self._send)
        return found

    async def _send(self, seconds: float | None, metadata: Pairs) -> T:
        return await self.run(ON_WIRE if seconds is None else seconds, metadata)

    def _failed(self, error: grpc.aio.AioRpcError, began: float) -> FlameError:
        failure = from_rpc(error, self._call, size=self._request.ByteSize())
        self._transport.outcome(failure, began)
        return failure


class CreateAttempt(Attempt[T]):
    """A CreateTask: it stays in flight when its caller leaves or is cancelled.

    Args:
        transport, call, request, decode: as of ``Attempt``.
        landed: called when a call ends whose caller has left: with its reply, or None.

    Attributes:
        in_flight: True while there is such a call.
    """

    __slots__ = ("_landed", "in_flight")

    def __init__(
        self,
        transport: Transport,
        call: Call,
        request: Message,
        decode: Callable[[Any], T],
        landed: Callable[[Any], None],
    ) -> None:
        # Not by super: this is the one call that is counted in microseconds.
        self._transport, self._call = transport, call
        self._request, self._decode = request, decode
        self._tries = 0
        self._landed = landed
        self.in_flight = False

    async def run(self, seconds: float, metadata: Pairs | None = None) -> T:
        """Send it once; the caller leaves after ``seconds``."""
        transport, call = self._transport, self._call
        if transport.around is not None and metadata is None:
            return await self._surrounded(transport.around, seconds)
        began = asyncio.get_running_loop().time()
        limit = max(ON_WIRE, seconds)
        try:
            reply = await transport.calls.detachable(
                call.name, self._request, limit, self, leave=seconds, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self._failed(error, began) from error
        except CallerLeft:
            late = DeadlineExceededError(  # without ``failure``: still in flight, so not repeated
                f"{call.name} at {call.endpoint} did not answer within {seconds:.3g} s; "
                "what it asked for may still happen",
                retryable=is_retryable(call.name, Failure.DEADLINE),
            )
            transport.outcome(late, began)
            raise late from None
        transport.outcome(None, began)
        return self._decode(reply)

    def detach(self) -> None:
        """Record that the caller leaves."""
        self.in_flight = True

    def land(self, reply: Any) -> None:
        """Receive the reply, or None, after the caller has left."""
        self.in_flight = False
        self._landed(reply)
