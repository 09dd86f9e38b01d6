"""``map`` and ``run_many`` for threads: inputs are read by the caller, tasks are made on the loop.

Between the two, inputs and results go in batches: one wake-up for many. Nothing runs while
the caller does something else but what was sent before; no thread is started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any

from flamepy.aio.mapping import CHUNK, checked, value_of
from flamepy.aio.pump import Input, Launch, Notice, Pump
from flamepy.aio.read_ahead import ReadAhead, Window
from flamepy.aio.result_order import Result
from flamepy.rpc.link import Link
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.queues import SimpleQueue
from flamepy.types import RetryPolicy

SLOW = 0.002  # seconds of reading after which the inputs at hand are sent


class _Source:
    """Reads inputs in the caller's thread.

    Attributes:
        left: inputs that were taken and of which nothing was handed on yet.
        error: what the iterable raised.
        done: True when it is at its end.
    """

    def __init__(self, inputs: Iterable[Any], window: Window) -> None:
        self.left = 0
        self.error: Exception | None = None
        self.done = False
        self._inputs: Iterator[Any] = iter(inputs)
        self._ahead = ReadAhead(window, monotonic())
        self._count = 0

    def wants(self, idle: bool) -> bool:
        """Return True if inputs should be taken now: at once if there is nothing else to do."""
        limit = self._ahead.limit
        return not self.done and limit - self.left >= (1 if idle else max(1, limit // 4))

    def handed_on(self, value: object) -> None:
        """Record that a result is taken."""
        self.left -= 1
        self._ahead.taken(value, monotonic())

    def take(self) -> list[Input]:
        """Return some inputs, one at least unless the iterable is at its end."""
        chunk: list[Input] = []
        end = monotonic() + SLOW
        for _ in range(min(CHUNK, self._ahead.limit - self.left)):
            try:
                value = next(self._inputs)
            except StopIteration:
                self.done = True
                break
            except Exception as error:
                self.done, self.error = True, error
                break
            chunk.append(checked(self._count, value))
            self._ahead.read(value)
            self._count += 1
            if monotonic() >= end:
                break
        self.left += len(chunk)
        return chunk


def results(
    link: Link,
    session_id: str,
    inputs: Iterable[Any],
    *,
    window: Window,
    ordered: bool = True,
    return_exceptions: bool = False,
    launch: Launch | None = None,
    made: Notice | None = None,
    retry: RetryPolicy | None = None,
    on_ambiguous: str | None = None,
) -> Generator[Any, None, None]:
    """Yield what becomes of the inputs; see ``Session.map``, and ``Pump`` for the functions."""
    reactor = link.reactor
    assert reactor is not None, "an asynchronous link has no threads"
    inbox: SimpleQueue[list[Result]] = SimpleQueue()
    source = _Source(inputs, window)
    pump = link.run(
        Pump.open(
            link,
            session_id,
            ordered=ordered,
            deliver=inbox.put,
            launch=launch,
            made=made,
            retry=retry,
            on_ambiguous=on_ambiguous,
        )
    )
    ready: deque[Result] = deque()
    try:
        while True:
            if source.wants(idle=not ready):
                if chunk := source.take():
                    reactor.call_soon(pump.submit, chunk)
                _receive(inbox, ready)
            elif not ready and source.left and not _receive(inbox, ready):
                reactor.check()  # when it is closed, or in a forked child, nothing comes any more
                ready.extend(inbox.get())
            if ready:
                result = ready.popleft()
                source.handed_on(result.value)
                yield value_of(result, return_exceptions)
            elif source.done and not source.left:
                break
        if source.error is not None:
            raise source.error
    finally:
        # Perhaps by the garbage collector, on any thread: nothing here waits or takes a lock.
        with suppress(RuntimeError):  # the loop is closed
            pump.loop.call_soon_threadsafe(pump.stop)


def _receive(inbox: SimpleQueue[list[Result]], ready: deque[Result]) -> bool:
    """Take what is there; return True if it was anything."""
    while not inbox.empty():
        ready.extend(inbox.get())
    return bool(ready)
