"""``MessageStream``: one streaming call, ended by its reader, a fork or the connection's close.

``calls`` makes it and keeps it while it runs; ``streams`` decodes what it yields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy.call_options import Pairs
from flamepy.rpc.dialect import Names, other_name
from flamepy.rpc.transport.blocking_streams import is_lost
from flamepy.rpc.transport.in_flight import is_cancelled, without_frames
from flamepy.wire.services import NEW_NAMES, OLD_NAMES

# Returns the seconds of a stream and its metadata, once all that is around its opening has run.
Prepare = Callable[[], Awaitable[tuple["float | None", Pairs]]]
SHORTEST = 0.001  # seconds: gRPC takes no deadline that has passed


class StreamOpener(Protocol):
    """Opens gRPC's calls for streams; ``Calls`` is one."""

    streams: set[MessageStream]
    names: Names

    async def enter(self) -> None:
        """Return when calls may be made."""

    def open_stream(
        self,
        stream: MessageStream,
        request: Message | None,
        timeout: float | None,
        metadata: Pairs | None,
    ) -> Any:
        """Return gRPC's call of a stream, by the channel of lists unless it is ``detoured``."""

    def shun_lists(self) -> None:
        """Record that the channel of lists does not reach an engine that another one does."""


class CutOff(Exception):
    """A stream was ended by a fork or the connection's close."""


def is_unknown(error: grpc.aio.AioRpcError) -> bool:
    """Return True if the engine does not know the call; nothing ran then."""
    return error.code() is grpc.StatusCode.UNIMPLEMENTED


def _hides_unknown(error: grpc.aio.AioRpcError) -> bool:
    """Return True if gRPC's failure to write may have replaced the engine's UNIMPLEMENTED.

    A stream of requests that is refused at once breaks under the first one that is written.
    """
    internal = error.code() is grpc.StatusCode.INTERNAL
    return internal and error.details() == "Internal error from Core"


def is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Return True if the call itself refused, which neither gRPC nor a proxy does like this."""
    return error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


class MessageStream:
    """A stream of messages, its own iterator; the call is made when the first one is asked for.

    No generator: one that is left before its end is closed by a task of its own. A call that has
    two names is made by the one known last, and by the other one after UNIMPLEMENTED, as
    ``Calls.either`` does. One by the channel of lists that does not reach the engine is made by
    the ordinary one: something in between may let no second connection through.

    Attributes:
        name: of the RPC, in 0.6.
        used: the name that is called.
        apart: whether the call goes by the channel of lists.
        detoured: whether it may not, because that has failed.
    """

    def __init__(
        self,
        calls: StreamOpener,
        name: str,
        request: Message | None,
        timeout: float | None,
        prepare: Prepare | None = None,
    ) -> None:
        self.name = self.used = name
        self._calls = calls
        self._request = request
        self._timeout = timeout
        self._metadata: Pairs | None = None
        self._prepare = prepare
        self._over = self._cut = self._reading = False
        self._unproven = False  # whether it is open whether the engine knows ``used``
        self._refused: grpc.aio.AioRpcError | None = None  # by the first of two names
        self.apart = self.detoured = False
        self._limit: float | None = None  # when its time is over
        self._call: Any = None  # gRPC's; None before it is made and once it has ended
        self._ended: asyncio.Future[None] | None = None

    def __aiter__(self) -> MessageStream:
        return self

    async def __anext__(self) -> Any:
        """Return the next message. Raises CutOff, grpc.aio.AioRpcError."""
        if self._call is None and not self._over:
            await self._enter()
        message = None
        while message is None:
            if self._over:
                raise CutOff if self._cut else StopAsyncIteration
            message = await self._read()
        if self._unproven:
            self._answered()
        if message is grpc.aio.EOF:
            self.cancel()
            raise StopAsyncIteration
        return message

    async def _enter(self) -> None:
        """Begin it as soon as calls may be made, unless it is cancelled before."""
        try:
            if self._prepare is not None:
                self._timeout, self._metadata = await self._prepare()
            await self._calls.enter()
        except BaseException:
            self.cancel()
            raise
        if not self._over:
            self._begin()

    async def _read(self) -> Any:
        """Return the next message, EOF, or None where another call was made or this one was cut."""
        self._reading = True
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            cut = self._cut and not is_cancelled()  # gRPC raises the same for a call that we cancel
            self.cancel()
            if not cut:
                raise
        except grpc.aio.AioRpcError as error:
            last = self._failed(without_frames(error))
            if last is not None:
                self.cancel()
                raise last from None
        finally:
            self._reading = False

    def _first_name(self) -> str:
        return self._calls.names.first(self.name)

    def _begin(self) -> None:
        """Make the call; a second time, by its other name: UNIMPLEMENTED comes at once."""
        if self.name in NEW_NAMES:
            self.used = other_name(self.used) if self._unproven else self._first_name()
            self._unproven = True
        self._make_call()

    def _make_call(self) -> None:
        now = asyncio.get_running_loop().time
        if self._limit is None and self._timeout is not None:
            self._limit = now() + self._timeout
        left = None if self._limit is None else max(SHORTEST, self._limit - now())
        self._call = self._calls.open_stream(self, self._request, left, self._metadata)

    def _answered(self) -> None:
        if self._unproven:
            self._unproven = False
            self._calls.names.answered(self.used)
        self.apart = False  # once there was an answer, there is no other way
        if self.detoured:
            self.detoured = False
            self._calls.shun_lists()

    def _failed(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError | None:
        """Return the error to raise, or None where another call was made instead."""
        if self._over or self._cut:  # a fork may have closed the channel
            return error
        if self.apart and is_lost(error):
            self.apart, self.detoured = False, True
            self._make_call()
            return None
        if self._unproven and (is_unknown(error) or _hides_unknown(error)):
            if self._refused is None:
                self._refused = error
                self._begin()
                return None
            return self._refused if self.used in OLD_NAMES else error
        if is_answer(error):
            self._answered()
        return error

    def ended(self) -> asyncio.Future[None] | None:
        """Return a future of the call's end, made at the first call; None while it is not made."""
        if self._call is not None and self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def cancel(self) -> None:
        """End it; safe to call twice."""
        self._over = True
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._calls.streams.discard(self)

    def cut(self) -> None:
        """End it with CutOff, which its reader gets now or when it reads on."""
        self._cut = True
        if self._reading:
            self._call.cancel()
        else:
            self.cancel()


class MessageExchange(MessageStream):
    """A stream each way: iterate the answers, ``send`` requests meanwhile.

    It has the newer name of its call and no other: what UNIMPLEMENTED means is for its reader.
    """

    def __init__(self, calls: StreamOpener, name: str, prepare: Prepare | None = None) -> None:
        super().__init__(calls, name, None, None, prepare)
        self._open = asyncio.Event()
        self._sending = asyncio.Lock()

    def _begin(self) -> None:
        self.used, self._unproven = NEW_NAMES[self.name], True
        self._call = self._calls.open_stream(self, None, self._timeout, self._metadata)
        self._open.set()

    def _failed(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError | None:
        if self._unproven and (is_unknown(error) or _hides_unknown(error)):
            self._calls.names.refused(self.used)
        elif is_answer(error):
            self._answered()
        return error

    async def send(self, request: Message) -> bool:
        """Send a request, once the stream is open and there is room for it.

        A caller that is cancelled here ends the stream, as gRPC does.

        Returns:
            False if the stream is over: its reader has the reason.
        """
        async with self._sending:  # gRPC takes one at a time
            await self._open.wait()
            if self._call is None or self._call.done():
                return False
            try:
                await self._call.write(request)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return False
            return True

    async def finish(self) -> None:
        """Say that no more requests come; the answers go on until the engine ends them."""
        async with self._sending:
            await self._open.wait()
            if self._call is not None and not self._call.done():
                await self._call.done_writing()

    def cancel(self) -> None:
        """End it; safe to call twice."""
        super().cancel()
        self._open.set()  # a caller that waits to send continues
