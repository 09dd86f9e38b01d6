"""The one loop on which ``async def`` callbacks and receivers run: ``flamepy-async-handlers``.

Its thread starts with the first coroutine and ends when nobody who used it is left. The thread
that owns the callback waits for it, so order and back-pressure are those of plain callbacks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import traceback
from collections.abc import Coroutine
from typing import Any

from flamepy.informers.joining import waiting_for

NAME = "flamepy-async-handlers"
STOP_TIMEOUT = 2.0


class _Shared:
    """Owns the loop and its thread; the lock guards only who starts and who ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def thread(self) -> threading.Thread | None:
        return self._thread

    def acquire(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        with self._lock:
            if self._loop is None or self._thread is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(loop,), name=NAME, daemon=True)
                try:
                    thread.start()
                except BaseException:
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            self._users += 1
            return self._loop, self._thread

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._loop is None:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_TIMEOUT)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        _serve(loop)
        left = asyncio.all_tasks(loop)  # what callbacks started and did not await
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
            return
        except (KeyboardInterrupt, SystemExit):
            # asyncio lets these through, of any coroutine. Whoever waits for it gets them as well,
            # and the others' coroutines go on.
            continue


_shared = _Shared()


class AsyncCalls:
    """One owner's use of the shared loop; made by the thread that waits, closed by it.

    ``cancel`` may be called from any thread.
    """

    def __init__(self) -> None:
        self._held: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._running: concurrent.futures.Future[Any] | None = None
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._cancelled = False

    def run(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run a coroutine on the shared loop and wait for it.

        Raises:
            concurrent.futures.CancelledError: ``cancel`` was called.
            RuntimeError: the shared loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        try:
            if self._cancelled:
                raise concurrent.futures.CancelledError
            if self._held is None:
                self._held = _shared.acquire()
        except BaseException:
            coroutine.close()
            raise
        loop, thread = self._held
        with waiting_for(thread):  # noted before the coroutine can begin, which may ask for it
            return self._run(coroutine, loop)

    def _run(
        self, coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> object:
        try:
            self._running = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except BaseException:
            coroutine.close()
            raise
        self._coroutine = coroutine
        try:
            if self._cancelled:
                self._running.cancel()
            return self._running.result()
        finally:
            self._running = self._coroutine = None

    def stack(self) -> str:
        """Return where the coroutine that runs now is, as text; empty if none does."""
        frames = []
        waited: Any = self._coroutine  # Any: coroutines, and what they await
        while (frame := getattr(waited, "cr_frame", None)) is not None:
            frames.append((frame, frame.f_lineno))
            waited = waited.cr_await
        return "".join(traceback.StackSummary.extract(iter(frames)).format())

    def cancel(self) -> None:
        """Cancel the coroutine that runs now, and every later one until ``allow``."""
        self._cancelled = True
        running = self._running
        if running is not None:
            running.cancel()

    def allow(self) -> None:
        """Run coroutines again."""
        self._cancelled = False

    def close(self) -> None:
        """Let go of the loop. Idempotent."""
        if self._held is not None:
            self._held = None
            _shared.release()


def is_current() -> bool:
    """Return True on the shared loop's thread: in a coroutine callback or receiver."""
    return threading.current_thread() is _shared.thread


def reset_after_fork() -> None:
    """Forget the parent's loop and thread, which do not live in a child."""
    global _shared
    _shared = _Shared()
