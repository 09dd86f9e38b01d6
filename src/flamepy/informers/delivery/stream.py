"""``EventStream``: the events of a scope as an iterator, plain or asynchronous.

It is an informer turned inside out: a bounded queue that you take from, on a thread or in an
event loop of your own. ``Reactor.stream`` makes it; it ends with ``close`` or with the reactor, or
when it is no longer referenced.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

from flamepy.errors import DeadlineExceededError
from flamepy.informers import predicates
from flamepy.informers.delivery.inbox import LagMarker
from flamepy.informers.options import Options
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.seconds import seconds_or_none
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.subscriptions import Scope

AnyEvent = TaskEvent | SessionEvent


class _Waker:
    """Wakes a reader on a loop; does not refer to the stream, so that unused ones are collected."""

    def __init__(self) -> None:
        self.waits: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def wake(self) -> None:
        waits = self.waits
        if waits is not None:
            loop, news = waits
            try:
                loop.call_soon_threadsafe(news.set)
            except RuntimeError:
                return  # the reader's loop is closed: no coroutine waits there


class EventStream:
    """The events of a scope as an iterator. One reader at a time; ends when it is collected.

    Args:
        scope: which sessions.
        options: ``queue_size``, ``replay``, and ``where``, which the taker calls.
        sessions: also the events of sessions.
    """

    def __init__(self, scope: Scope, options: Options, *, sessions: bool) -> None:
        predicates.check_judges(options.where, tasks=True, sessions=sessions)
        self.scope = scope
        self.replay = options.replay
        self.sessions = sessions
        self._waker = _Waker()
        self.mailbox = Mailbox(options.queue_size, self._waker.wake)
        self._where = options.where
        self._taken: deque[Work] = deque()
        self._opened: deque[object] = deque()
        self._closers: list[Callable[[], None]] = []
        self._closed = False  # by its taker, who wants nothing more
        self._catch_up: Callable[[], None] = lambda: None  # until it is subscribed

    def attach(self, catch_up: Callable[[], None]) -> None:
        """Call ``catch_up``, on the taker's thread, when events wait for room in the queue."""
        self._catch_up = catch_up

    def on_close(self, function: Callable[[], None]) -> None:
        """Call ``function`` once when the stream is closed by its taker."""
        self._closers.append(function)

    # ------------------------------------------------------------------ taking

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> AnyEvent:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> AnyEvent | None:
        """Return the next event, or None when the stream has ended.

        Raises:
            DeadlineExceededError: (a TimeoutError) none came within ``timeout`` seconds.
        """
        timeout = seconds_or_none("timeout", timeout)
        limit = None if timeout is None else monotonic() + timeout
        while True:
            event = self._queued()
            if event is not None:
                return event
            left = None if limit is None else max(0.0, limit - monotonic())
            self._taken.extend(self.mailbox.take(left))
            if self._closed:
                return None
            if not self._taken:
                if self.mailbox.closed:
                    return None
                if limit is not None and monotonic() >= limit:
                    raise DeadlineExceededError(f"no event within {timeout} s")

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> AnyEvent:
        news = asyncio.Event()
        self._waker.waits = (asyncio.get_running_loop(), news)
        try:
            while True:
                event = self._queued()
                if event is not None:
                    return event
                news.clear()
                self._taken.extend(self.mailbox.take(0.0))
                if self._closed:
                    raise StopAsyncIteration
                if not self._taken:
                    if self.mailbox.closed:
                        raise StopAsyncIteration
                    await news.wait()
                else:
                    await asyncio.sleep(0)  # a full queue must not hold up the taker's loop
        finally:
            self._waker.waits = None

    def _queued(self) -> AnyEvent | None:
        while (self._taken or self._opened) and not self._closed:
            if not self._opened:
                work = self._taken.popleft()
                self._opened.extend(self.mailbox.open(work))
                self.mailbox.finish(work)  # what is done with it is the taker's
            item = self._opened.popleft()
            if isinstance(item, LagMarker):
                self._catch_up()
            elif isinstance(item, (TaskEvent, SessionEvent)) and self._passes(item):
                return item
        return None

    def _passes(self, event: AnyEvent) -> bool:
        return self._where is None or bool(self._where(event))

    # ------------------------------------------------------------------ the end

    def end(self) -> None:
        """Deliver what is queued, then end. Called by the reactor."""
        self.mailbox.close()

    def close(self) -> None:
        """Drop what is queued and end; from any thread. Idempotent."""
        self._closed = True
        self.mailbox.close(discard=True)
        closers, self._closers = self._closers, []
        for function in closers:
            function()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()  # blocks nothing
