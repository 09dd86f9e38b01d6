"""The loops on which ``async def`` callbacks and receivers run, one for each of their owners.

A loop and its thread start with the owner's first coroutine and end when the owner closes them: a
coroutine that blocks delays no other owner's. The thread that owns the callback waits for it, so
order and back-pressure are those of plain callbacks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import sys
import threading
import traceback
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple

from flamepy.informers.delivery.thread_waits import waiting_for
from flamepy.runtime.flags import Claims
from flamepy.runtime.pools import DaemonPool

NAME = "flamepy-async"
STOP_TIMEOUT = 2.0
JOBS = 16  # of ``asyncio.to_thread`` at once


class _Served(NamedTuple):
    """A loop and the thread that runs it."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread


def _serve_on_thread(name: str) -> _Served:
    loop = asyncio.new_event_loop()
    # The default pool of ``asyncio.to_thread`` keeps the process from ending while a job hangs.
    loop.set_default_executor(DaemonPool(JOBS, name=f"{name}-job"))
    thread = threading.Thread(target=_run, args=(loop,), name=name, daemon=True)
    try:
        thread.start()
    except BaseException:
        loop.close()
        raise
    return _Served(loop, thread)


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
            # asyncio lets these through, of any coroutine. The waiting thread gets them as well,
            # and other coroutines of the loop continue.
            continue


class AsyncCalls:
    """One owner's loop; made and closed by the thread that waits.

    ``cancel``, ``stack`` and ``is_current`` may be used on any thread.

    Args:
        name: the owner's, for the name of the thread: ``flamepy-async-<name>``.
    """

    def __init__(self, name: str = "handlers") -> None:
        self._name = f"{NAME}-{name}"
        self._served: _Served | None = None
        self._running: concurrent.futures.Future[Any] | None = None
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._cancelled = False

    @property
    def is_current(self) -> bool:
        """True on the loop's own thread: in one of its coroutines."""
        served = self._served
        return served is not None and threading.current_thread() is served.thread

    def run(self, awaitable: Awaitable[object]) -> object:
        """Run a coroutine, or await something else, on the loop, and wait for it.

        Raises:
            concurrent.futures.CancelledError: ``cancel`` was called.
            RuntimeError: the loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        try:
            if self._cancelled:
                raise concurrent.futures.CancelledError
            if self._served is None:
                self._served = _serve_on_thread(self._name)
        except BaseException:
            coroutine.close()
            raise
        loop, thread = self._served
        with waiting_for(thread):  # noted before the coroutine can begin, which may ask for it
            return self._run(coroutine, loop)

    def _run(
        self, coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> object:
        self._coroutine = coroutine  # before it begins: a thread that it wakes may call stack()
        try:
            self._running = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except BaseException:
            self._coroutine = None
            coroutine.close()
            raise
        try:
            if self._cancelled:
                self._running.cancel()
            return self._running.result()
        finally:
            self._running = self._coroutine = None

    def stack(self) -> str:
        """Return where the coroutine that runs now is, as text; empty if none does.

        Where it awaits nothing it blocks the loop, or waits for something that does: the stack of
        the loop's thread follows.
        """
        waited: Any = self._coroutine  # Any: coroutines, and what they await
        if waited is None:
            return ""
        served, text = self._served, ""
        if served is not None and getattr(waited, "cr_await", None) is None:
            thread = sys._current_frames().get(served.thread.ident or 0)
            text = "".join(traceback.format_stack(thread)) if thread is not None else ""
        frames = []
        while (frame := getattr(waited, "cr_frame", None)) is not None:
            frames.append((frame, frame.f_lineno))
            waited = waited.cr_await
        return "".join(traceback.StackSummary.extract(iter(frames)).format()) + text

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
        """End the loop and its thread. Idempotent."""
        served, self._served = self._served, None
        if served is None:
            return
        served.loop.call_soon_threadsafe(served.loop.stop)
        if served.thread is not threading.current_thread():
            served.thread.join(STOP_TIMEOUT)


class SharedLoop:
    """One loop on which coroutines of several threads run side by side; each thread waits.

    Args:
        name: the owner's, for the name of the thread: ``flamepy-async-<name>``.
    """

    def __init__(self, name: str) -> None:
        self._name = f"{NAME}-{name}"
        self._claims = Claims()  # who makes the loop
        self._made: concurrent.futures.Future[_Served] = concurrent.futures.Future()

    def run(self, awaitable: Awaitable[object]) -> object:
        """Run a coroutine, or await something else, on the loop, and wait for it.

        Raises:
            RuntimeError: the loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        try:
            loop, thread = self._served()
        except BaseException:
            coroutine.close()
            raise
        with waiting_for(thread):
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _served(self) -> _Served:
        if self._claims.take("make"):
            try:
                self._made.set_result(_serve_on_thread(self._name))
            except BaseException as error:
                self._made.set_exception(error)
        return self._made.result()

    def close(self) -> None:
        """Cancel what runs, end the loop and its thread. Idempotent."""
        if not self._claims.take("close") or self._claims.take("make"):
            return
        served = self._made.result()
        served.loop.call_soon_threadsafe(served.loop.stop)
        served.thread.join(STOP_TIMEOUT)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable
