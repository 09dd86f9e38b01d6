"""``MessageStream``: one streaming call, ended by its reader, a fork or the connection's close.

``calls`` makes it and keeps it while it runs; ``streams`` decodes what it yields.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc.aio
from google.protobuf.message import Message

from flamepy.call_options import Pairs
from flamepy.rpc.transport.in_flight import is_cancelled, without_frames

# Returns the seconds of a stream and its metadata, once all that is around its opening has run.
Prepare = Callable[[], Awaitable[tuple["float | None", Pairs]]]


class StreamOpener(Protocol):
    """Opens gRPC's calls for streams; ``Calls`` is one."""

    streams: set[MessageStream]

    async def enter(self) -> None:
        """Return when calls may be made."""

    def open_stream(
        self,
        stream: MessageStream,
        request: Message,
        timeout: float | None,
        metadata: Pairs | None,
    ) -> Any:
        """Return gRPC's call of a stream."""


class CutOff(Exception):
    """A stream was ended by a fork or the connection's close."""


class MessageStream:
    """A stream of messages; the call is made when it is first iterated."""

    def __init__(
        self,
        calls: StreamOpener,
        name: str,
        request: Message,
        timeout: float | None,
        prepare: Prepare | None = None,
    ) -> None:
        self.name = name
        self.ended: asyncio.Future[None] | None = None
        self._calls = calls
        self._request = request
        self._timeout = timeout
        self._prepare = prepare
        self._cancelled = self._cut = self._reading = False
        self._call: Any = None  # gRPC's, as the next one; both are None once it has ended
        self._iterator: Any = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield messages. Raises CutOff, grpc.aio.AioRpcError."""
        timeout, metadata = self._timeout, None
        if self._prepare is not None:
            timeout, metadata = await self._prepare()
        await self._calls.enter()
        if self._cancelled:
            return
        self._call = self._calls.open_stream(self, self._request, timeout, metadata)
        self._iterator = self._call.__aiter__()
        self.ended = asyncio.get_running_loop().create_future()
        try:
            while self._iterator is not None:
                self._reading = True
                try:
                    message = await self._iterator.__anext__()
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    if self._cut and not is_cancelled():
                        break  # gRPC raises the same for a call that is cancelled
                    raise
                except grpc.aio.AioRpcError as error:
                    raise without_frames(error) from None
                finally:
                    self._reading = False
                yield message
            if self._cut:
                raise CutOff
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End it; safe to call twice."""
        self._cancelled = True
        call, self._call, self._iterator = self._call, None, None
        if call is not None:
            call.cancel()
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)
        self._calls.streams.discard(self)

    def cut(self) -> None:
        """End it with CutOff, which its reader gets now or when it reads on."""
        self._cut = True
        if self._reading:
            self._call.cancel()
        else:
            self.cancel()
