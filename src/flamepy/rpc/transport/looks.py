"""``Looks``: streams of one message, each read on a thread for one caller.

A stream on the loop takes gRPC's asyncio stack and two wake-ups for each message: for a task that
ends at once that is most of its cost (docs/performance-notes.md). So a thread of lists reads it, by
their channel, and hands what it finds to the caller without the loop. A look lasts a moment. It
finds the message or nothing; why, and what then, is for the loop, which knows retries, silence and
outages. The caller's own thread stays out of gRPC: a signal handler that makes a call there would
wait for a lock of gRPC's that the frame below it holds. ``calls`` begins looks, ``core.invoking``
waits for them.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from flamepy.rpc.transport.blocking_streams import drain, is_lost
from flamepy.rpc.transport.lent_channel import LentChannel
from flamepy.rpc.transport.list_calls import ListCalls
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.serving import serving
from flamepy.wire.services import Method

T = TypeVar("T")
LONGEST = 0.1  # seconds that a look lasts, at most: a fork and a close wait for it
AT_ONCE = 4  # looks of a link; the callers of more threads are served by the loop for less


class Look(Generic[T]):
    """One look. It begins on the loop; one caller waits for it on another thread.

    Args:
        find: returns what is looked for, or None for a message that is not it.
        lost: called on the loop when the engine cannot be reached by the channel.

    Attributes:
        over: True once it is in gRPC no more.
    """

    def __init__(
        self, find: Callable[[Any], T | None], lost: Callable[[LentChannel], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._find = find
        self._lost = lost
        self._answers: SimpleQueue[T | None] = SimpleQueue()
        self._ended: asyncio.Future[None] | None = None
        self.over = False

    def ended(self) -> asyncio.Future[None]:
        """Return a future of its end; on the loop."""
        if self._ended is None:
            self._ended = self._loop.create_future()
        # The thread says that it is over before it looks for the future: one of us sees both.
        if self.over:
            self._wake()
        return self._ended

    def _wake(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def wait(self, seconds: float | None) -> T | None:
        """Return what it finds in a moment, and ``seconds`` at most; on the caller's thread, once.

        Returns:
            None if nothing was found, or no thread was free yet.
        """
        try:
            return self._answers.get(timeout=LONGEST if seconds is None else min(seconds, LONGEST))
        except Empty:
            return None

    # ------------------------------------------------------------------ on a thread of lists

    def work(self, begin: Callable[[], Any], lent: LentChannel) -> None:
        """Make the call and read it until something is found."""
        found = None
        try:
            with serving():
                found = self._read(begin, lent)
        finally:
            lent.leave(self)
            self._answers.put(found)
            self.over = True
            if self._ended is not None:
                self._post(self._wake)

    def _read(self, begin: Callable[[], Any], lent: LentChannel) -> T | None:
        call = begin()
        try:
            for message in call:
                found = self._find(message)
                if found is not None:
                    return found
        except grpc.RpcError as error:  # the loop finds out why
            if is_lost(error):
                self._post(partial(self._lost, lent))
            error.__traceback__ = None  # its frames have the call, which is this error
        finally:
            drain(call)
        return None

    def _post(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)


class Looks:
    """The looks of one link; on its loop.

    Args:
        lists: whose threads and channel are used.
    """

    def __init__(self, lists: ListCalls) -> None:
        self._lists = lists
        self._running: weakref.WeakSet[Look[Any]] = weakref.WeakSet()

    def begin(
        self, method: Method, request: Message, find: Callable[[Any], T | None]
    ) -> Look[T] | None:
        """Begin a look.

        Args:
            method: the stream's.
            request: its message.
            find: see ``Look``.

        Returns:
            None if there are too many already, or no thread can be started.
        """
        lists = self._lists
        if not lists.apart or sum(not one.over for one in list(self._running)) >= AT_ONCE:
            return None
        look = Look(find, lists.lose)
        if not lists.read_by(look, method, request, LONGEST, method.response.FromString):
            return None
        self._running.add(look)
        return look

    def unended(self) -> list[asyncio.Future[None]]:
        """Return futures of the looks whose threads are in gRPC."""
        return [one.ended() for one in list(self._running) if not one.over]
