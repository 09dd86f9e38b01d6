"""``Calls``: a link's channel, its stubs and the calls in flight; closed around a fork, made anew.

The only place that holds objects of gRPC, with ``in_flight`` and ``message_stream``: one that is
forgotten in a frame keeps gRPC's threads alive. Everything here runs on the link's loop;
``link_holder`` calls in from the thread that forks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy.call_options import Pairs
from flamepy.errors import ConnectionClosedError, FlameError
from flamepy.rpc.dialect import WATCH, Names, other_name
from flamepy.rpc.retry.classifier import may_cut
from flamepy.rpc.transport.in_flight import (
    InFlightCall,
    answered_within,
    is_cancelled,
    wait_all,
    without_frames,
)
from flamepy.rpc.transport.link_holder import LinkHolder
from flamepy.rpc.transport.list_calls import ListCalls
from flamepy.rpc.transport.looks import Look, Looks
from flamepy.rpc.transport.message_stream import (
    SHORTEST,
    MessageExchange,
    MessageStream,
    Prepare,
    is_answer,
    is_unknown,
)
from flamepy.runtime.clocks import Timeout
from flamepy.runtime.forks import CLIENT, hold, release
from flamepy.wire.services import FRONTEND, NEW_NAMES, OLD_NAMES, RENAMED

T = TypeVar("T")
FORK_READ_WAIT = 0.25  # seconds that a fork waits for answers that can be asked for again
CLOSE_WRITE_WAIT = 2.0  # seconds that a close waits for tasks that are just being made
LIST_WAIT = 2.0  # seconds that a close waits for threads in gRPC, which it has cut
LIST = "ListTask"
NEVER_CANCELLED = "CreateTask"  # an engine whose handler is cancelled may leave a task unseen
_METHODS = {one.name: one for one in (*FRONTEND.values(), *RENAMED.values())}


class CallerLeft(Exception):
    """The caller's time is up; the call stays in flight."""


class LateReply(Protocol):
    """Receives what becomes of a call whose caller has left."""

    def detach(self) -> None:
        """Record that the caller leaves: the call stays in flight."""

    def land(self, reply: Any) -> None:
        """Receive its reply, or None when it got none."""


class Calls:
    """The channel of a link, its stubs and its calls in flight.

    Args:
        open_channel: makes the channel, on the running loop.
        open_lists: makes the one of lists, see ``ListCalls``.
        endpoint: the engine's URL, for messages.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        open_lists: Callable[[], grpc.Channel] | None,
        endpoint: str,
    ) -> None:
        self.streams: set[MessageStream] = set()
        self.closed = False
        self.names = Names()
        self._open_channel = open_channel
        self._lists = ListCalls(open_lists)
        self._looks = Looks(self._lists)
        self._endpoint = endpoint
        self._holder = LinkHolder(self)
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Mapping[str, Callable[..., Any]] = {}
        self._pending: set[InFlightCall] = set()
        self._detached: set[asyncio.Task[None]] = set()  # CreateTasks that outlive their callers
        self._gate: asyncio.Event | None = None  # there is one while calls have to wait

    # ------------------------------------------------------------------ calls

    async def unary(
        self, name: str, request: Message, timeout: float, metadata: Pairs | None = None
    ) -> Any:
        """Return the answer to a call, which is cancelled with its caller.

        A call that a fork held is sent after it; one that a fork cut off is sent again, and only
        calls that may be repeated are cut off. The caller of a CreateTask must never be cancelled:
        see ``detachable``.

        Args:
            name: the RPC's name.
            request: its message.
            timeout: seconds after which the call is over.
            metadata: what is sent with it.

        Raises:
            grpc.aio.AioRpcError: the engine refused, or cannot be reached.
            ConnectionClosedError: it was closed, before or meanwhile.
        """
        now = asyncio.get_running_loop().time
        end = now() + timeout
        while True:
            if self._gate is not None or self._channel is None or self.closed:
                await self.enter()
                timeout = max(SHORTEST, end - now())
            call = self._stubs[name](request, timeout=Timeout(timeout), metadata=metadata)
            pending = InFlightCall(name, call)
            self._pending.add(pending)
            try:
                return await pending.call
            except grpc.aio.AioRpcError as error:
                raise without_frames(error) from None
            except asyncio.CancelledError:
                if is_cancelled() or not (pending.cut or self.closed):
                    raise
                if not pending.cut:
                    raise ConnectionClosedError("the connection was closed meanwhile") from None
            finally:
                self._pending.discard(pending)
                pending.end()

    async def either(
        self, name: str, request: Message, timeout: float, metadata: Pairs | None = None
    ) -> Any:
        """Do ``unary`` for a call that has two names: by the one known last, else by the other.

        UNIMPLEMENTED of the first one proves that nothing ran. Of both it says nothing of names:
        then the error is that of the name in 0.6.

        Args:
            name: in 0.6.
            request: its message.
            timeout: seconds after which the call is over, both tries together.
            metadata: what is sent with it.

        Raises:
            grpc.aio.AioRpcError, ConnectionClosedError: as ``unary``.
        """
        now = asyncio.get_running_loop().time
        end, used, names = now() + timeout, self.names.first(name), self.names
        try:
            reply = await self.unary(used, request, timeout, metadata)
        except grpc.aio.AioRpcError as error:
            if not is_unknown(error):
                raise
            refused = error
        else:
            names.answered(used)
            return reply
        used = other_name(used)
        try:
            reply = await self.unary(used, request, max(SHORTEST, end - now()), metadata)
        except grpc.aio.AioRpcError as error:
            if is_unknown(error) and used in OLD_NAMES:
                raise refused from None
            if is_answer(error):
                names.answered(used)
            raise
        names.answered(used)
        return reply

    async def detachable(
        self,
        name: str,
        request: Message,
        timeout: float,
        late: LateReply,
        *,
        leave: float | None = None,
        metadata: Pairs | None = None,
    ) -> Any:
        """Return the answer to a call that stays in flight when its caller leaves or is cancelled.

        Args:
            name: the RPC's name.
            request: its message.
            timeout: seconds after which the call itself is over.
            late: gets the answer when the caller has left.
            leave: seconds after which the caller leaves.
            metadata: what is sent with it.

        Raises:
            CallerLeft: after ``leave`` seconds.
            grpc.aio.AioRpcError, ConnectionClosedError: as ``unary``.
        """
        if self._gate is not None or self._channel is None or self.closed:
            now = asyncio.get_running_loop().time
            end = now() + timeout
            await self.enter()
            timeout = max(SHORTEST, end - now())
        call = self._stubs[name](request, timeout=Timeout(timeout), metadata=metadata)
        pending = InFlightCall(name, call)
        self._pending.add(pending)
        try:
            answered = await answered_within(pending.call, leave)
        except BaseException:
            self._detach(pending, late)
            raise
        if not answered:
            self._detach(pending, late)
            raise CallerLeft
        return await self._reply_of(pending)

    async def _reply_of(self, pending: InFlightCall) -> Any:
        """Return the answer to a call that no fork cuts; it may still be in flight."""
        try:
            return await pending.call
        except grpc.aio.AioRpcError as error:
            raise without_frames(error) from None
        except asyncio.CancelledError:
            if is_cancelled() or not self.closed:
                raise
            raise ConnectionClosedError("the connection was closed meanwhile") from None
        finally:
            self._pending.discard(pending)
            pending.end()

    def _detach(self, pending: InFlightCall, late: LateReply) -> None:
        """Keep a call in flight whose caller leaves."""
        late.detach()

        async def land() -> None:
            reply = None
            try:
                reply = await self._reply_of(pending)
            except (grpc.aio.AioRpcError, FlameError):
                pass  # the caller has left; None says that no reply came
            finally:
                late.land(reply)

        landing = asyncio.ensure_future(land())
        self._detached.add(landing)
        landing.add_done_callback(self._detached.discard)

    def stream(
        self,
        name: str,
        request: Message,
        timeout: float | None,
        prepare: Prepare | None = None,
    ) -> MessageStream:
        """Return a stream of answers; ``prepare`` is awaited before it is opened."""
        return MessageStream(self, name, request, timeout, prepare)

    def exchange(self, name: str, prepare: Prepare | None = None) -> MessageExchange:
        """Return a stream each way, without a deadline; ``prepare`` is awaited first."""
        return MessageExchange(self, name, prepare)

    def look(self, name: str, request: Message, find: Callable[[Any], T | None]) -> Look[T] | None:
        """Begin a look by a stream, for a caller on another thread.

        Args:
            name: the RPC's name, which the engine knows.
            request: its message.
            find: returns what is looked for, or None for a message that is not it.

        Returns:
            None while calls wait, and if too many callers look already.
        """
        if self._gate is not None or self._channel is None or self.closed:
            return None
        return self._looks.begin(_METHODS[name], request, find)

    def open_stream(
        self,
        stream: MessageStream,
        request: Message | None,
        timeout: float | None,
        metadata: Pairs | None,
    ) -> Any:
        """Return gRPC's call of a stream; its ``used`` is the name that is called."""
        self.streams.add(stream)
        by_lists = stream.used == LIST and not stream.detoured and self._lists.apart
        if by_lists and request is not None:
            listed = self._lists.begin(FRONTEND[LIST], request, timeout, metadata)
            if listed is not None:
                stream.apart = True
                return listed
        limit = None if timeout is None else Timeout(timeout)
        # What a stream of requests begins with; an exchange writes its own.
        sent = request if stream.used != NEW_NAMES[WATCH] else request and [request]
        return self._stubs[stream.used](sent, timeout=limit, metadata=metadata)

    def shun_lists(self) -> None:
        """Let lists go by the ordinary channel for a while."""
        self._lists.shun()

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
        self._stubs = _Stubs(channel)
        return channel

    async def aclose(self) -> None:
        """Close; a task that is just being made has a moment to be acknowledged. Idempotent."""
        self.closed = True
        self.resume()
        writes = [one.ended() for one in self._pending if one.name == NEVER_CANCELLED]
        await wait_all(writes, CLOSE_WRITE_WAIT)
        for stream in list(self.streams):
            stream.cut()
        await wait_all(self._lists.unended() + self._looks.unended(), LIST_WAIT)
        await self._close_channel()
        release(self._holder)

    async def _close_channel(self) -> None:
        self._stubs = {}
        self._lists.close()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    # ------------------------------------------------------------------ forks

    async def pause(self, limit: float) -> bool:
        """Hold new calls, end streams, wait for calls in flight, close the channel.

        Returns:
            False if a call that must not be repeated is not answered in ``limit`` seconds; the
            channel stays then.
        """
        if self._gate is None:
            self._gate = asyncio.Event()
        self._cut_streams("WatchTask")
        await wait_all(self._unended(), min(FORK_READ_WAIT, limit))
        self._cut_streams("WatchTask", LIST)
        for pending in self._pending:
            if may_cut(OLD_NAMES.get(pending.name, pending.name)):
                pending.cut = True
                pending.call.cancel()
        await wait_all(self._unended(), limit)
        if self._unended():
            return False
        await self._close_channel()
        return True

    def pause_now(self) -> bool:
        """Do the same on the loop's own thread, or without one: only when no call is in flight."""
        if self._unended():
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

    def _unended(self) -> list[asyncio.Future[Any]]:
        ended = [end for one in self.streams if (end := one.ended()) is not None]
        ended += self._lists.unended() + self._looks.unended()
        return [
            one
            for one in (*(pending.ended() for pending in self._pending), *ended)
            if not one.done()
        ]

    def resume(self) -> None:
        """Release the calls that were held."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()


class _Stubs(dict[str, Callable[..., Any]]):
    """The stubs of a channel by the names of their calls, made for the first call of each."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __missing__(self, name: str) -> Callable[..., Any]:
        method = _METHODS[name]
        if method.requests_stream:
            make: Any = self._channel.stream_stream
        else:
            make = self._channel.unary_stream if method.streams else self._channel.unary_unary
        stub: Callable[..., Any] = make(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        self[name] = stub
        return stub
