"""``Calls``: a link's channel, its stubs and the calls in flight; closed around a fork, made anew.

The only place that holds objects of gRPC, for one that is forgotten in a frame keeps gRPC's
threads alive. Errors leave here without the frames that they passed in gRPC, for the same reason.
Everything here runs on the link's loop; ``forking`` calls in from the thread that forks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from flamepy.errors import ConnectionClosedError, FlameError
from flamepy.rpc.retry.classifier import may_cut
from flamepy.rpc.transport.forking import LinkHolder
from flamepy.runtime.clocks import Timeout
from flamepy.runtime.forks import CLIENT, hold, release
from flamepy.wire.services import FRONTEND

READS = 0.25  # seconds that a fork waits for answers that can be asked for again
SETTLE = 2.0  # seconds that a close waits for tasks that are just being made
NEVER_CANCELLED = "CreateTask"  # an engine whose handler is cancelled may leave a task unseen


class CutOff(Exception):
    """A stream was ended by a fork or the connection's close."""


class Left(Exception):
    """The caller's time is up; the call stays in flight."""


class Stream:
    """A stream of messages; the call is made when it is first iterated."""

    def __init__(self, calls: Calls, name: str, request: Message, timeout: float | None) -> None:
        self.name = name
        self.ended: asyncio.Future[None] | None = None
        self._calls = calls
        self._request = request
        self._timeout = timeout
        self._cancelled = self._cut = self._reading = False
        self._call: Any = None  # gRPC's, as the next one; both are None once it has ended
        self._iterator: Any = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield messages. Raises CutOff, grpc.aio.AioRpcError."""
        await self._calls.enter()
        if self._cancelled:
            return
        self._call = self._calls.begin_stream(self, self._request, self._timeout)
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
                    if self._cut and not _is_cancelled():
                        break  # gRPC raises the same for a call that is cancelled
                    raise
                except grpc.aio.AioRpcError as error:
                    raise _stripped(error) from None
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


class _InFlightCall:
    """A call in flight.

    Attributes:
        name: the RPC's.
        call: gRPC's; dropped when it has ended.
        cut: True once a fork has ended it.
    """

    __slots__ = ("_ended", "call", "cut", "name")

    def __init__(self, name: str, call: Any) -> None:
        self.name = name
        self.call = call
        self.cut = False
        self._ended: asyncio.Future[None] | None = None

    def ended(self) -> asyncio.Future[None]:
        """Return a future of its end, for the few who want to know."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def end(self) -> None:
        """Note that it has ended."""
        self.call = None
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


class Calls:
    """The channel of a link, its stubs and its calls in flight.

    Args:
        open_channel: makes the channel, on the running loop.
        endpoint: the engine's URL, for messages.
    """

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], endpoint: str) -> None:
        self.streams: set[Stream] = set()
        self.closed = False
        self._open_channel = open_channel
        self._endpoint = endpoint
        self._holder = LinkHolder(self)
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[str, Callable[..., Any]] = {}
        self._pending: set[_InFlightCall] = set()
        self._alone: set[asyncio.Task[Any]] = set()  # CreateTasks that outlive their callers
        self._gate: asyncio.Event | None = None  # there is one while calls have to wait

    # ------------------------------------------------------------------ calls

    async def unary(
        self,
        name: str,
        request: Message,
        timeout: float,
        *,
        leave: float | None = None,
        detached: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Return the answer to a call.

        A call that a fork held is sent after it; one that a fork cut off is sent again, and only
        calls that may be repeated are cut off. A CreateTask is not cancelled with its caller: it
        stays in flight, and ``detached`` receives its answer, or None when it got no answer.

        Args:
            name: the RPC's name.
            request: its message.
            timeout: seconds after which the call itself is over.
            leave: for a CreateTask: seconds after which its caller leaves.
            detached: see above.

        Raises:
            grpc.aio.AioRpcError: the engine refused, or cannot be reached.
            Left: the caller has left.
            ConnectionClosedError: it was closed, before or meanwhile.
        """
        if name != NEVER_CANCELLED:
            return await self.whole(name, request, timeout)
        now = asyncio.get_running_loop().time
        end = now() + timeout
        await self.enter()
        pending = self._start(name, request, max(0.001, end - now()))
        try:
            answered = await _answered(pending.call, leave)
        except BaseException:
            self._detach(pending, detached)
            raise
        if not answered:
            self._detach(pending, detached)
            raise Left
        return await self._await_reply(pending)

    def _start(self, name: str, request: Message, timeout: float) -> _InFlightCall:
        pending = _InFlightCall(name, self._stubs[name](request, timeout=Timeout(timeout)))
        self._pending.add(pending)
        return pending

    async def _await_reply(self, pending: _InFlightCall) -> Any:
        """Return the answer to a call that is not cut by a fork; it may still be in flight."""
        try:
            return await pending.call
        except grpc.aio.AioRpcError as error:
            raise _stripped(error) from None
        except asyncio.CancelledError:
            if _is_cancelled() or not self.closed:
                raise
            raise ConnectionClosedError("the connection was closed meanwhile") from None
        finally:
            self._pending.discard(pending)
            pending.end()

    def _detach(self, pending: _InFlightCall, take: Callable[[Any], None]) -> None:
        """Keep a call in flight whose caller has left."""

        async def land() -> None:
            answer = None
            try:
                answer = await self._await_reply(pending)
            except (grpc.aio.AioRpcError, FlameError):
                pass  # the caller has left; None means that no answer came
            finally:
                take(answer)

        landing = asyncio.ensure_future(land())
        self._alone.add(landing)
        landing.add_done_callback(self._alone.discard)

    async def whole(self, name: str, request: Message, timeout: float) -> Any:
        """Return the answer to a call that is cancelled with its caller; else as ``unary``.

        A CreateTask must not be: a caller that makes one by this is never cancelled.
        """
        now = asyncio.get_running_loop().time
        end = now() + timeout
        while True:
            if self._gate is not None or self._channel is None or self.closed:
                await self.enter()
                timeout = max(0.001, end - now())
            pending = self._start(name, request, timeout)
            try:
                return await pending.call
            except grpc.aio.AioRpcError as error:
                raise _stripped(error) from None
            except asyncio.CancelledError:
                if _is_cancelled() or not (pending.cut or self.closed):
                    raise
                if not pending.cut:
                    raise ConnectionClosedError("the connection was closed meanwhile") from None
            finally:
                self._pending.discard(pending)
                pending.end()

    def stream(self, name: str, request: Message, timeout: float | None) -> Stream:
        """Return a stream of answers."""
        return Stream(self, name, request, timeout)

    def begin_stream(self, stream: Stream, request: Message, timeout: float | None) -> Any:
        """Return gRPC's call of a stream."""
        self.streams.add(stream)
        limit = None if timeout is None else Timeout(timeout)
        return self._stubs[stream.name](request, timeout=limit)

    # ------------------------------------------------------------------ the channel

    async def enter(self) -> None:
        """Return when calls may be made: there is a channel, and no fork in progress.

        Raises:
            ConnectionClosedError: it is closed.
            InvalidStateError: this is a child that cannot use gRPC.
        """
        self._holder.loop = asyncio.get_running_loop()
        while True:
            if self.closed:
                raise ConnectionClosedError(f"the connection to {self._endpoint} is closed")
            if self._gate is not None:
                await self._gate.wait()
            elif self._channel is not None:
                return
            else:
                self._channel = hold(self._holder, CLIENT, self._open)
                if self._channel is None:
                    self._gate = asyncio.Event()

    def _open(self) -> grpc.aio.Channel:
        channel = self._open_channel()
        for method in FRONTEND.values():
            make = channel.unary_stream if method.streams else channel.unary_unary
            self._stubs[method.name] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return channel

    async def aclose(self) -> None:
        """Close; a task that is just being made has a moment to be acknowledged. Idempotent."""
        self.closed = True
        self.take_up()
        await _wait([one.ended() for one in self._pending if one.name == NEVER_CANCELLED], SETTLE)
        for stream in list(self.streams):
            stream.cut()
        await self._close_channel()
        release(self._holder)

    async def _close_channel(self) -> None:
        self._stubs = {}
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    # ------------------------------------------------------------------ forks

    async def let_go(self, limit: float) -> bool:
        """Hold new calls, end streams, wait for calls in flight, close the channel.

        Returns:
            False if a call that must not be repeated is not answered in ``limit`` seconds; the
            channel stays then.
        """
        if self._gate is None:
            self._gate = asyncio.Event()
        self._cut_streams("WatchTask")
        await _wait(self._under_way(), min(READS, limit))
        self._cut_streams("WatchTask", "ListTask")
        for pending in self._pending:
            if may_cut(pending.name):
                pending.cut = True
                pending.call.cancel()
        await _wait(self._under_way(), limit)
        if self._under_way():
            return False
        await self._close_channel()
        return True

    def let_go_now(self) -> bool:
        """Do the same on the loop's own thread, or without one: only when no call is in flight."""
        if self._under_way():
            return False
        closing = self._close_channel()
        try:
            closing.send(None)
        except StopIteration:
            return True
        closing.close()
        return False

    def _cut_streams(self, *names: str) -> None:
        for stream in list(self.streams):
            if stream.name in names:
                stream.cut()

    def _under_way(self) -> list[asyncio.Future[Any]]:
        ended = [one.ended for one in self.streams if one.ended is not None]
        return [
            one
            for one in (*(pending.ended() for pending in self._pending), *ended)
            if not one.done()
        ]

    def take_up(self) -> None:
        """Release the calls that were held."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()


async def _answered(call: Any, limit: float | None) -> bool:
    """Wait for a call, ``limit`` seconds at most, without a task; return True if it has ended.

    Who is cancelled here leaves the call alone; awaiting the call itself would cancel it.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()

    def wake(answered: bool) -> None:
        if not waiter.done():
            waiter.set_result(answered)

    timer = None if limit is None else loop.call_later(limit, wake, False)
    call.add_done_callback(lambda _: wake(True))
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()


def _stripped(error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
    """Take the frames from an error: they would keep the call and its channel alive."""
    error.__traceback__ = error.__context__ = None
    return error


async def _wait(futures: list[asyncio.Future[Any]], limit: float) -> None:
    if futures:
        await asyncio.wait(futures, timeout=limit)


def _is_cancelled() -> bool:
    # Python 3.10 cannot say; there a cancellation in the moment of a fork is taken for the fork.
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
