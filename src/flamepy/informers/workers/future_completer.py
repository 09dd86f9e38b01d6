"""Completes futures from the loop, which must not wait for a lock of their waiters.

A future has a lock, and ``concurrent.futures.wait`` and ``as_completed`` have more. Threads of the
user's hold them for some lines, in which a signal handler or a finalizer may run that makes a call:
that call needs the loop. So the loop completes a future itself only where its lock is free and
only ``result`` or ``exception`` waits; the rest is done on the thread ``flamepy-futures``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flamepy.errors import ResourceExhaustedError
from flamepy.runtime import threads
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.repeats import RepeatedLog

if TYPE_CHECKING:
    from flamepy.rpc.link import Link

logger = logging.getLogger(__name__)

R = TypeVar("R")
NAME = "flamepy-futures"
RETRY = 0.001  # seconds until a future whose lock was taken is tried again
STUCK = 0.05  # seconds without progress after which another thread helps
IDLE = 1.0  # seconds after which a thread without work ends
THREADS = 8


class CompletableFuture(concurrent.futures.Future[R], Generic[R]):
    """A future that ``FutureCompleter`` completes."""

    def settle(self, value: R | None, error: BaseException | None) -> None:
        """Complete it; waits for its locks."""
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(value)  # type: ignore[arg-type]  # None only where R allows it

    def try_settle(self, value: R | None, error: BaseException | None) -> bool | None:
        """Complete it; False: its lock is taken, None: waiters with locks of their own are there.

        They are ``concurrent.futures.wait`` and ``as_completed``.
        """
        if not self._condition.acquire(blocking=False):
            return False
        try:
            if self._waiters:
                return None
            self.settle(value, error)
        finally:
            self._condition.release()
        return True


_Item = tuple[CompletableFuture[Any], Any, "BaseException | None"]  # Any: a future's own result


class FutureCompleter:
    """Completes futures from the loop without taking their waiters' locks; used on that loop."""

    def __init__(self, link: Link) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: SimpleQueue[_Item] = SimpleQueue()
        self._again: dict[CompletableFuture[Any], _Item] = {}  # whose lock was taken
        self._threads: set[object] = set()
        self._progress = 0
        self._watched: asyncio.TimerHandle | None = None
        self._closed = False
        self._log = RepeatedLog(logger)

    @classmethod
    def of(cls, link: Link) -> FutureCompleter:
        """Return the one of a link."""
        return link.attachment("informers.future_completer", cls)

    def put(
        self, future: CompletableFuture[R], value: R | None, error: BaseException | None
    ) -> None:
        """Complete a future, now or soon."""
        settled = future.try_settle(value, error)
        if settled:
            return
        item = (future, value, error)
        if settled is None or self._closed:
            self._items.put(item)
            self._help(when=not self._threads)
        else:
            self._again[future] = item
            self._loop.call_later(RETRY, self._try_again, future)

    def _try_again(self, future: CompletableFuture[Any]) -> None:
        item = self._again.pop(future, None)
        if item is not None:
            self.put(*item)

    async def aclose(self) -> None:
        """Leave the rest to the thread: this loop ends."""
        self._closed = True
        for future in list(self._again):
            self._try_again(future)
        self._log.flush(everything=True)

    def _help(self, *, when: bool) -> None:
        """Start a thread, ``when`` there is to be one; look again as long as something waits."""
        if when and len(self._threads) < THREADS:
            token = object()
            self._threads.add(token)
            try:
                threads.start(self._work, token, name=NAME)
            except ResourceExhaustedError as error:
                self._threads.discard(token)
                self._log.log(logging.WARNING, "late", "futures are late: %s", error.message)
                if self._closed:
                    self._settle_all(0.0)
        if self._watched is None and not self._closed:
            self._watched = self._loop.call_later(STUCK, self._look, self._progress)

    def _look(self, progress: int) -> None:
        self._watched = None
        if not self._items.empty():
            self._help(when=progress == self._progress)

    def _work(self, token: object) -> None:
        try:
            self._settle_all(IDLE)
        finally:
            self._threads.discard(token)

    def _settle_all(self, idle: float) -> None:
        while True:
            try:
                future, value, error = self._items.get(timeout=idle)
            except Empty:
                return
            self._progress += 1
            future.settle(value, error)
            del future, value, error
