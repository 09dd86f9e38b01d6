"""``ListCalls``: streams that are read to their end, each on a thread, by a channel of their own.

gRPC's asyncio stack hands each message from its own thread to the loop: with two cores that costs
about 100 us of CPU, and 10 to read it on the thread that asks (docs/performance-notes.md).
So a thread reads a list, and the loop gets its messages in chunks. Threads that read side by side
take the interpreter's lock from each other at each message: so lists await their first message side
by side, and are read one by one from then on. ``calls`` makes these calls and
``message_stream`` reads them; what the loop reads is no different from a call of ``grpc.aio``.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy.call_options import Pairs
from flamepy.rpc.transport.blocking_streams import drain, is_lost
from flamepy.rpc.transport.lent_channel import LentChannel
from flamepy.runtime.clocks import Timeout, monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.serving import serving
from flamepy.wire.services import Method

AT_ONCE = 32  # lists whose messages are awaited, each on a thread; others wait
TURN = 0.1  # seconds that a list waits for its turn to be read, at most
MESSAGES, BYTES, GATHER = 64, 256 * 1024, 0.002  # of a chunk, at most; seconds
SHUN = (60.0, 3600.0)  # seconds without the channel after it alone has failed: first, and at most
AHEAD = 4  # chunks that the loop has not taken yet, at most
LOOK = 1.0  # seconds after which a thread that waits for the loop looks whether there still is one
SHORTEST = 0.001  # seconds: gRPC takes no deadline that has passed


class Reader(Protocol):
    """What reads a stream on a thread."""

    def work(self, begin: Callable[[], Any], lent: LentChannel) -> None:
        """Make the call by ``begin``, read it to its end and leave the channel."""


class ListCalls:
    """The channel of lists and the threads that read them; on the link's loop.

    The channel is made for the first list. One that a list could not reach the engine by is given
    up: it would wait before it connects again, while the other channel is connected already.

    Args:
        open_channel: makes the channel, which must have ``OPTION``; None where lists go by the
            channel of the other calls.
    """

    def __init__(self, open_channel: Callable[[], grpc.Channel] | None) -> None:
        self._open_channel = open_channel
        self._shunned_until = float("-inf")
        self._rest = 0.0  # seconds for which they were shunned last
        self._is_unreachable = False  # whether the last channel that was given up never reached one
        self._channel: LentChannel | None = None
        self._running: set[ListCall] = set()
        self._turn: SimpleQueue[None] = SimpleQueue()  # the list that is read takes what is in it
        self._turn.put(None)
        self._pool: DaemonPool | None = None

    @property
    def apart(self) -> bool:
        """Whether they have a channel of their own, and it is not shunned."""
        return self._open_channel is not None and monotonic() >= self._shunned_until

    def shun(self) -> None:
        """Let lists go by the other channel for a while: it reaches the engine, and theirs not.

        A connection that was there and broke is no reason: the next list makes another.
        """
        if not self._is_unreachable:
            return
        self._rest = min(SHUN[1], max(SHUN[0], 2 * self._rest))
        self._shunned_until = monotonic() + self._rest

    def begin(
        self, method: Method, request: Message, timeout: float | None, metadata: Pairs | None
    ) -> ListCall | None:
        """Make a call, and read it on a thread from now on, for ``timeout`` seconds at most.

        Returns:
            None if no thread can be started: it goes by the channel of the other calls then.
        """
        call = ListCall(self._end, self._turn)
        self._running.add(call)
        decode = call.sized(method.response.FromString)
        if self.read_by(call, method, request, timeout, decode, metadata):
            return call
        self._running.discard(call)
        return None

    def read_by(
        self,
        reader: Reader,
        method: Method,
        request: Message,
        timeout: float | None,
        decode: Callable[[bytes], Message],
        metadata: Pairs | None = None,
    ) -> bool:
        """Let a reader read a stream on a thread; only where they have a channel.

        Args:
            reader: reads it.
            method: the stream's.
            request: its message.
            timeout: seconds after which the call is over, from now on.
            decode: what the reader gets of a message.
            metadata: what is sent with it.

        Returns:
            False if no thread can be started.
        """
        lent = self._lent()
        stub = lent.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=decode,
        )
        end = None if timeout is None else monotonic() + timeout

        def make() -> Any:
            left = None if end is None else Timeout(max(SHORTEST, end - monotonic()))
            return stub(request, timeout=left, metadata=metadata)

        if self._pool is None:
            self._pool = DaemonPool(AT_ONCE, name="flamepy-list")
            self._end_threads = self._at_last(self._pool.abandon)
        lent.lend(reader)
        try:
            self._pool.submit(reader.work, make, lent)
        except RuntimeError:
            lent.leave(reader)
            return False
        return True

    def _lent(self) -> LentChannel:
        if self._channel is None:
            assert self._open_channel is not None, "``apart`` is looked at first"
            self._channel = LentChannel(self._open_channel())
            self._unlend = self._at_last(self._channel.give_up)
        return self._channel

    def lose(self, lent: LentChannel) -> None:
        """Lend a channel no more by which the engine was not reached."""
        if self._channel is lent:
            self._is_unreachable = not lent.reached
            self._give_up()

    def unended(self) -> list[asyncio.Future[None]]:
        """Return futures of the lists whose threads are in gRPC."""
        return [one.ended for one in self._running]

    def close(self) -> None:
        """Give the channel up and let the threads end; the next list begins with new ones.

        A channel of which a list is still read is closed after it.
        """
        self._give_up()
        if self._pool is not None:
            self._pool = None  # its threads are not in a child of a fork
            self._end_threads()

    def _end(self, call: ListCall, lent: LentChannel, error: BaseException | None) -> None:
        self._running.discard(call)
        if isinstance(error, grpc.aio.AioRpcError) and is_lost(error):
            self.lose(lent)
        elif error is None:
            self._rest, lent.reached = 0.0, True

    def _at_last(self, end: Callable[[], None]) -> weakref.finalize[[], ListCalls]:
        """Return ``end``, which is called as well where ``close`` was forgotten."""
        made = weakref.finalize(self, end)
        made.atexit = False
        return made

    def _give_up(self) -> None:
        if self._channel is not None:
            self._channel = None
            self._unlend()


class ListCall:
    """A call whose messages a thread reads; on the loop, but for ``work``.

    Attributes:
        ended: done once the thread has left gRPC.
    """

    def __init__(
        self,
        end: Callable[[ListCall, LentChannel, BaseException | None], None],
        turn: SimpleQueue[None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = end
        self._turn = turn
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._chunks: deque[list[Any]] = deque()
        self._messages: deque[Any] = deque()  # of the chunk that is read
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(AHEAD):
            self._room.put(None)
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._left = Flag()
        self._call: Any = None  # gRPC's, while there is one
        self._bytes = 0  # of the chunk that is filled

    def sized(self, decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
        """Return what decodes and counts bytes."""

        def counted(data: bytes) -> Message:
            self._bytes += len(data)
            return decode(data)

        return counted

    async def read(self) -> Any:
        """Return the next message, or ``grpc.aio.EOF``.

        Raises:
            grpc.aio.AioRpcError: the call failed.
            asyncio.CancelledError: it was cancelled.
        """
        while not self._messages:
            if self._chunks:
                self._messages.extend(self._chunks.popleft())
                self._room.put(None)
            elif self.ended.done():
                if self._error is not None:
                    raise self._error
                if self._left.is_set():
                    raise asyncio.CancelledError
                return grpc.aio.EOF
            else:
                self._waiter = self._loop.create_future()
                await self._waiter
        return self._messages.popleft()

    def cancel(self) -> None:
        """Leave it: the thread reads no further."""
        self._leave()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.cancel()

    def _leave(self) -> None:
        self._left.set()
        self._room.put(None)
        call = self._call
        if call is not None:
            call.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _finish(self, lent: LentChannel, error: BaseException | None) -> None:
        self._error = error
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_end(self, lent, error)
        self._wake()

    # ------------------------------------------------------------------ on the thread

    def work(self, begin: Callable[[], Any], lent: LentChannel) -> None:
        """Make the call and read it to its end."""
        error: BaseException | None = None
        try:
            with serving():  # a finalizer that waits here would wait for a lock of gRPC's
                self._make(begin)
        except grpc.RpcError as failed:
            error = _as_aio(failed)
            failed.__traceback__ = None  # its frames have the call, which is this error
        except BaseException as failed:
            error = failed
        # Nothing of gRPC is left on this thread when the loop gets the end: a fork may come then.
        self._call = None
        lent.leave(self)
        with suppress(RuntimeError):  # the loop is closed, and so is the reader
            self._loop.call_soon_threadsafe(self._finish, lent, error)

    def _make(self, begin: Callable[[], Any]) -> None:
        if self._left.is_set():
            return
        self._call = call = begin()
        try:
            if self._left.is_set():  # ``cancel`` has not seen it
                call.cancel()
            self._read(call)
        finally:
            drain(call)

    def _read(self, messages: Iterator[Any]) -> None:
        first = next(messages, None)
        if first is None:
            return
        has_turn = False
        with suppress(Empty):  # after that it is read beside one that has no end, or is silent
            self._turn.get(timeout=TURN)
            has_turn = True
        try:
            self._read_on(chain((first,), messages))
        finally:
            if has_turn:
                self._turn.put(None)

    def _read_on(self, messages: Iterable[Any]) -> None:
        """Hand messages to the loop in chunks; a last one waits for the next message or the end."""
        chunk: list[Any] = []
        until = monotonic() + GATHER
        try:
            for message in messages:
                chunk.append(message)
                if len(chunk) >= MESSAGES or self._bytes >= BYTES or monotonic() >= until:
                    self._give(chunk)
                    chunk, self._bytes = [], 0
                    until = monotonic() + GATHER
        finally:
            if chunk:
                self._give(chunk)

    def _give(self, chunk: list[Any]) -> None:
        """Hand a chunk to the loop, once there is room for it."""
        while not self._left.is_set():
            with suppress(Empty):
                self._room.get(timeout=LOOK)  # ``cancel`` puts one as well
                break
            if self._loop.is_closed():
                self._leave()
        self._chunks.append(chunk)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)


def _as_aio(error: Any) -> grpc.aio.AioRpcError:
    """Return the error of a blocking call as that of an asynchronous one."""
    trailers = _known(error.trailing_metadata) or ()
    return grpc.aio.AioRpcError(
        error.code(),
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*((key, value) for key, value in trailers)),
        _known(error.details),
        _known(error.debug_error_string),
    )


def _known(get: Callable[[], Any]) -> Any:
    """Return a part of an error; None where gRPC has not got it: it raises a UsageError then."""
    try:
        return get()
    except Exception:  # an error of a call that was cancelled here, or of an older gRPC
        return None
