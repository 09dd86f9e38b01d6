"""``ReactorLoop``: the one thread ``flamepy-reactor`` with the asyncio loop of a synchronous link.

Started at its first use, stopped by its owner. Synchronous callers post a coroutine and wait; a
coroutine posted after the stop is refused at once, never left unscheduled. User code never runs
on this thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flamepy.errors import ConnectionClosedError, DeadlineExceededError, InvalidStateError
from flamepy.forks import check
from flamepy.loops import new_loop, retire, run_forever
from flamepy.rpc.forking import forsake, on_child

logger = logging.getLogger(__name__)

T = TypeVar("T")
NAME = "flamepy-reactor"
SETTLE = 0.5
FORKED = (
    "this connection was made before a fork and its thread lives in the parent only; "
    "make a new connection in the child"
)


class ReactorLoop:
    """See the module. Methods may be called from any thread but the loop's own, where noted.

    Args:
        make_loop: makes the loop; tests give one of a fake clock.
    """

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop) -> None:
        self._make_loop = make_loop
        self._guard = threading.Lock()  # guards _loop, _thread, _stopped; nothing runs under it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._process = os.getpid()
        on_child(self._forsake)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; the thread is started if need be.

        Raises:
            ConnectionClosedError: it was stopped.
        """
        with self._guard:
            return self._started()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._stopped:
            raise ConnectionClosedError("the connection is closed")
        if self._process != os.getpid():
            raise InvalidStateError(FORKED)
        if self._loop is None:
            check()
            self._loop = self._make_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name=NAME, daemon=True)
            self._thread.start()
        return self._loop

    def _forsake(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here; the loop stays."""
        self._guard = threading.Lock()
        loop, self._loop, self._thread = self._loop, None, None
        if loop is not None:
            forsake(loop)

    def check(self) -> None:
        """Return if the loop runs.

        Raises:
            ConnectionClosedError: it was stopped.
            InvalidStateError: this is a child of its process.
        """
        with self._guard:
            self._started()

    @property
    def is_current(self) -> bool:
        """True on the loop's own thread."""
        return threading.current_thread() is self._thread

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop; a refused one is closed.

        Raises:
            ConnectionClosedError: the loop was stopped.
        """
        try:
            with self._guard:  # a stop cannot slip in between the check and the posting
                return asyncio.run_coroutine_threadsafe(coroutine, self._started())
        except BaseException:
            coroutine.close()
            raise

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result; Ctrl-C ends the wait.

        Raises:
            InvalidStateError: called on the loop's own thread, where waiting would dead-lock.
            ConnectionClosedError: the loop was stopped, before or meanwhile.
            DeadlineExceededError: it took longer than ``timeout`` seconds.
        """
        if self.is_current:
            coroutine.close()
            raise InvalidStateError(
                f"a blocking call on the thread {NAME!r} would wait for itself for ever; "
                "call it from another thread, or use flamepy.aio"
            )
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            if self._stopped:
                raise ConnectionClosedError("the connection was closed during the call") from None
            raise
        except concurrent.futures.TimeoutError as error:
            if future.done() or timeout is None:
                raise
            future.cancel()
            raise DeadlineExceededError(f"no result within {timeout} s") from error
        except BaseException:  # KeyboardInterrupt: the call goes, the loop stays
            future.cancel()
            raise

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop, soon, from any thread.

        Raises:
            ConnectionClosedError: the loop was stopped.
        """
        with self._guard:
            self._started().call_soon_threadsafe(function, *arguments)

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel what runs, end the thread, join it for up to ``timeout`` seconds. Idempotent.

        On the loop's own thread it only asks: the thread ends by itself afterwards.
        """
        with self._guard:
            self._stopped = True
            loop, thread = self._loop, self._thread
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(loop.stop)
            self._loop = None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                logger.warning("the thread %s did not end within %s s", NAME, timeout)


async def _end_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        # Of a closed channel only gRPC's own are left; cancelled, their completions come later.
        await asyncio.wait(left, timeout=SETTLE)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        run_forever(loop, _end_tasks)
    finally:
        asyncio.set_event_loop(None)
        retire(loop)
