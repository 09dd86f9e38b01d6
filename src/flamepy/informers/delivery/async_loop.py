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
from contextlib import suppress
from typing import Any, NamedTuple

from flamepy.errors import DeadlineExceededError
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


class _Active:
    """A coroutine that a thread waits for.

    Attributes:
        coroutine: the user's.
        task: the one it runs in, once it has begun.
        future: what the thread waits for.
        expired: the seconds that it had, once it was cancelled because it ran too long.
    """

    __slots__ = ("coroutine", "expired", "future", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.coroutine = coroutine
        self.task: asyncio.Task[object] | None = None
        self.future: concurrent.futures.Future[object] | None = None
        self.expired: float | None = None

    async def run(self) -> object:
        self.task = asyncio.current_task()
        return await self.coroutine

    def dispose(self) -> None:
        """Close the coroutine if it was cancelled before it began; on its loop."""
        if self.task is None:
            self.coroutine.close()

    def expire(self, limit: float) -> None:
        """Cancel it because it runs too long; on its loop."""
        self.expired = limit
        if self.task is not None:
            self.task.cancel()


class AsyncCalls:
    """One owner's loop; its threads wait for their coroutines, which run side by side.

    ``cancel``, ``expire``, ``stack`` and ``is_current`` may be used on any thread, ``close`` on a
    thread of the owner when no other thread runs a coroutine.

    Args:
        name: the owner's, for the name of the thread: ``flamepy-async-<name>``.
    """

    def __init__(self, name: str = "handlers") -> None:
        self._name = f"{NAME}-{name}"
        self._claims = Claims()  # who makes the loop
        self._made: concurrent.futures.Future[_Served] = concurrent.futures.Future()
        self._active: dict[int, _Active] = {}  # by the waiting thread
        self._cancelled = False

    @property
    def is_current(self) -> bool:
        """True on the loop's own thread: in one of its coroutines."""
        served = self._served
        return served is not None and threading.current_thread() is served.thread

    @property
    def _served(self) -> _Served | None:
        made = self._made
        return made.result() if made.done() and made.exception() is None else None

    def run(self, awaitable: Awaitable[object]) -> object:
        """Run a coroutine, or await something else, on the loop, and wait for it.

        Raises:
            concurrent.futures.CancelledError: ``cancel`` was called.
            DeadlineExceededError: ``expire`` was called.
            RuntimeError: the loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        try:
            if self._cancelled:
                raise concurrent.futures.CancelledError
            loop, thread = self._serve()
        except BaseException:
            coroutine.close()
            raise
        with waiting_for(thread):  # noted before the coroutine can begin, which may ask for it
            return self._run(coroutine, loop)

    def _serve(self) -> _Served:
        made = self._made
        if self._claims.take("make"):
            try:
                made.set_result(_serve_on_thread(self._name))
            except BaseException as error:  # no room for a thread; the next call tries again
                self._made = concurrent.futures.Future()
                self._claims.give_back("make")
                made.set_exception(error)
        return made.result()

    def _run(
        self, coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> object:
        own, active = threading.get_ident(), _Active(coroutine)
        # Before it begins: a thread that it wakes may call ``stack``.
        self._active[own] = active
        outer = active.run()
        try:
            active.future = asyncio.run_coroutine_threadsafe(outer, loop)
        except BaseException:
            del self._active[own]
            outer.close()
            coroutine.close()
            raise
        try:
            if self._cancelled:
                active.future.cancel()
            return active.future.result()
        except concurrent.futures.CancelledError:
            try:
                loop.call_soon_threadsafe(active.dispose)
            except RuntimeError:
                active.dispose()  # the loop has ended
            if active.expired is not None:
                text = f"it ran longer than its timeout of {active.expired:g} s, and was cancelled"
                raise DeadlineExceededError(text) from None
            raise
        finally:
            self._active.pop(own, None)

    def stack(self, thread: int | None = None) -> str:
        """Return where a coroutine is that a thread waits for, as text; empty if none runs.

        Where it awaits nothing it blocks the loop, or waits for something that does: the stack of
        the loop's thread follows.

        Args:
            thread: the identifier of the waiting thread; None for the one that waits longest.
        """
        active = self._active.get(thread) if thread else next(iter(self._active.values()), None)
        if active is None:
            return ""
        waited: Any = active.coroutine  # Any: coroutines, and what they await
        served, text = self._served, ""
        if served is not None and getattr(waited, "cr_await", None) is None:
            frame = sys._current_frames().get(served.thread.ident or 0)
            text = "".join(traceback.format_stack(frame)) if frame is not None else ""
        frames = []
        while (frame := getattr(waited, "cr_frame", None)) is not None:
            frames.append((frame, frame.f_lineno))
            waited = waited.cr_await
        return "".join(traceback.StackSummary.extract(iter(frames)).format()) + text

    def expire(self, thread: int, limit: float) -> bool:
        """Cancel the coroutine that a thread waits for, because it runs too long.

        Its ``run`` raises DeadlineExceededError when it has ended, unless it ends without an error.

        Args:
            thread: the identifier of the thread.
            limit: the seconds that it had.

        Returns:
            False if the thread waits for none.
        """
        active, served = self._active.get(thread), self._served
        if active is None or served is None:
            return False
        with suppress(RuntimeError):  # the loop has ended, and the coroutine with it
            served.loop.call_soon_threadsafe(active.expire, limit)
        return True

    def cancel(self) -> None:
        """Cancel the coroutines that run now, and every later one until ``allow``."""
        self._cancelled = True
        for active in list(self._active.values()):
            if active.future is not None:
                active.future.cancel()

    def allow(self) -> None:
        """Run coroutines again."""
        self._cancelled = False

    def close(self) -> None:
        """End the loop and its thread. Idempotent; a later call makes another one."""
        served = self._served
        if served is None:
            return
        self._made = concurrent.futures.Future()
        self._claims.give_back("make")
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
