"""``ReactorLoop``: the one thread ``flamepy-reactor`` with the asyncio loop of a synchronous link.

Started at its first use, stopped by its owner. Synchronous callers post a coroutine and wait; a
coroutine posted after the stop is refused at once, never left unscheduled. User code never runs
on this thread. There is no lock: a signal handler or a finalizer may call anything here while the
same thread, or another one, is in the middle of any method.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from flamepy.errors import ConnectionClosedError, DeadlineExceededError, InvalidStateError
from flamepy.rpc.transport.link_holder import abandon_loop, on_child
from flamepy.runtime import log_relay, threads
from flamepy.runtime.flags import Flag
from flamepy.runtime.forks import check
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.posted import LateError, Posted
from flamepy.runtime.serving import served_by
from flamepy.runtime.surroundings import check_threads

logger = logging.getLogger(__name__)

T = TypeVar("T")
NAME = "flamepy-reactor"
SETTLE = 0.5
JOIN = 0.5  # seconds for a thread to return after it has announced its end
FORKED = (
    "this connection was made before a fork and its thread lives in the parent only; "
    "make a new connection in the child"
)


class ReactorLoop:
    """The thread ``flamepy-reactor`` and its asyncio loop.

    Methods may be called from any thread but the loop's own, where noted.

    Args:
        make_loop: makes the loop; tests give one of a fake clock.
    """

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop) -> None:
        self._make_loop = make_loop
        self._running: dict[str, _Running] = {}  # one at most; ``setdefault`` decides whose it is
        self._stopped = False
        self._process = os.getpid()
        on_child(self._abandon)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; the thread is started if need be.

        Raises:
            ConnectionClosedError: it was stopped.
            ResourceExhaustedError: the thread cannot be started; the next use tries again.
        """
        return self._started().loop

    def _started(self) -> _Running:
        if self._stopped:
            raise _closed()
        if self._process != os.getpid():
            raise InvalidStateError(FORKED)
        return self._running.get(NAME) or self._start()

    def _start(self) -> _Running:
        check()
        check_threads()
        made = _Running(self._make_loop())
        try:
            made.start()
            running = self._running.setdefault(NAME, made)
        except BaseException:
            made.stop()
            raise
        if running is not made:
            made.stop()  # another thread, or a signal handler meanwhile, started one
        if self._stopped:
            running.stop()
            raise _closed()
        return running

    def _abandon(self) -> None:
        """In a forked child: the thread is not here; the loop stays."""
        running = self._running.pop(NAME, None)
        if running is not None:
            abandon_loop(running.loop)

    def check(self) -> None:
        """Return if the loop runs.

        Raises:
            ConnectionClosedError: it was stopped.
            InvalidStateError: this is a child of its process.
        """
        self._started()

    @property
    def is_current(self) -> bool:
        """True on the loop's own thread."""
        running = self._running.get(NAME)
        return running is not None and running.ident == threading.get_ident()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result; Ctrl-C ends the wait.

        Raises:
            InvalidStateError: called on a thread that serves others, as the loop's own,
                or threads were patched.
            ConnectionClosedError: the loop was stopped, before or meanwhile.
            DeadlineExceededError: it took longer than ``timeout`` seconds.
            ResourceExhaustedError: the thread cannot be started; the next call tries again.
        """
        try:
            threads.check_may_block()
            check_threads()  # they may have been patched since the thread was started
            running = self._started()
        except BaseException:
            coroutine.close()
            raise
        posted = Posted(running.loop, coroutine)
        try:
            running.post(posted)
            return posted.wait(timeout)
        except LateError:
            raise DeadlineExceededError(f"no result within {timeout} s") from None
        except concurrent.futures.CancelledError:
            if self._stopped:
                raise ConnectionClosedError("the connection was closed during the call") from None
            raise
        finally:
            running.posted.discard(posted)

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop, soon, from any thread.

        Raises:
            ConnectionClosedError: the loop was stopped.
        """
        self._started().call_soon(function, *arguments)

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel what runs, end the thread, join it for up to ``timeout`` seconds. Idempotent.

        On the loop's own thread it only asks: the thread ends by itself afterwards.
        """
        self._stopped = True
        running = self._running.get(NAME)
        if running is None:
            return
        running.stop()
        if served_by() is None and not running.join(timeout):
            logger.warning("the thread %s did not end within %s s", NAME, timeout)


class _Running:
    """One loop with its thread.

    Attributes:
        posted: coroutines whose callers wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.ident: int | None = None
        self.posted: set[Posted[Any]] = set()
        self._thread: threading.Thread | None = None
        self._stopping = False  # nothing begins any more
        self._over = False  # the loop is not ours any more
        self._ended = Flag()

    def start(self) -> None:
        """Start the thread. Raises ResourceExhaustedError."""
        log_relay.install()
        try:
            self._thread = threads.start(self._run, name=NAME)
        except BaseException:
            self._over = True
            retire(self.loop)
            raise

    def post(self, posted: Posted[Any]) -> None:
        """Begin a coroutine on the loop; where nothing begins any more it is refused."""
        self.posted.add(posted)
        if self._over:  # the thread may have looked for what was posted before we came
            posted.refuse(_closed())
        else:
            self.call_soon(self._begin, posted)

    def _begin(self, posted: Posted[Any]) -> None:
        if self._stopping:
            posted.refuse(_closed())
        else:
            posted.begin()

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop. Raises ConnectionClosedError where that has ended."""
        try:
            self.loop.call_soon_threadsafe(self._call, function, *arguments)
        except RuntimeError:  # it was closed
            raise _closed() from None

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._over:  # else the loop may be another connection's by now
            function(*arguments)

    def stop(self) -> None:
        """Ask the thread to end. Idempotent."""
        with suppress(RuntimeError):  # the loop was closed
            self.loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if not self._stopping:  # a second one would cut off what ends the loop's tasks
            self._stopping = True
            self.loop.stop()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False if it did not come in time."""
        if not self._ended.wait(timeout):
            return False
        if self._thread is not None:
            # A signal handler that waits here while the thread it interrupted does so, too, may
            # find Python's lock of the thread taken: therefore the limit.
            self._thread.join(JOIN)
        return True

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        self.ident = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        try:
            run_forever(self.loop, _end_tasks)
        finally:
            self._over = True
            for posted in self.posted.copy():
                posted.refuse(_closed())
            asyncio.set_event_loop(None)
            retire(self.loop)
            self._ended.set()


def _closed() -> ConnectionClosedError:
    return ConnectionClosedError("the connection is closed")


async def _end_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        # Of a closed channel only gRPC's own are left; cancelled, their completions come later.
        await asyncio.wait(left, timeout=SETTLE)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
