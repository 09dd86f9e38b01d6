"""The loops on which ``async def`` callbacks and receivers run, one for each of their owners.

A loop and its thread start with the owner's first coroutine and end when the owner closes them: a
coroutine that blocks delays no other owner's. In an ``async with Reactor(...)`` coroutines run on
the program's loop instead (``given_loop``). The thread that owns the callback waits for it in
either case, so order and back-pressure are those of plain callbacks.
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
from flamepy.informers.workers.given_loop import LOOK, GivenLoop, TakenLoop, closed
from flamepy.informers.workers.thread_waits import waiting_for
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

    Args:
        coroutine: the user's.
        loop: where it runs.

    Attributes:
        future: what the thread waits for.
        expired: the seconds that it had, once it was cancelled because it ran too long.
    """

    __slots__ = ("_claims", "coroutine", "expired", "future", "loop", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, object], loop: _Served | TakenLoop) -> None:
        self.coroutine = coroutine
        self.loop = loop
        self.task: asyncio.Task[object] | None = None
        self.future: concurrent.futures.Future[object] = concurrent.futures.Future()
        self.expired: float | None = None
        self._claims = Claims()  # who begins it, or closes it without

    def submit(self) -> None:
        """Have it begin on its loop.

        Raises:
            InvalidStateError: the program's loop is closed.
            RuntimeError: another one is.
        """
        if not isinstance(self.loop, TakenLoop):
            self.loop.loop.call_soon_threadsafe(self._begin)
            return
        context = self.loop.context.copy()
        try:
            context.run(self.loop.loop.call_soon_threadsafe, self._begin)
        except RuntimeError as error:
            raise closed() from error

    def _begin(self) -> None:
        if not self._claims.take("begin"):
            return  # nothing waits for it any more
        taken = self.loop if isinstance(self.loop, TakenLoop) else None
        outer = self.coroutine if taken is None else _contained(self.coroutine)
        try:
            task = self.task = self.loop.loop.create_task(outer)
        except BaseException as error:  # the loop's own factory of tasks refuses it
            outer.close()
            self.coroutine.close()
            self._complete(None, error)
            return
        if taken is not None:
            taken.tasks.add(task)
            task.add_done_callback(taken.tasks.discard)
        task.add_done_callback(self._ended)
        self.future.add_done_callback(self._cancel)

    def _ended(self, task: asyncio.Task[object]) -> None:
        if task.cancelled():
            self.future.cancel()
            return
        error = task.exception()
        value = None if error is not None else task.result()
        if isinstance(value, _Exit):
            self._complete(None, value.error)
            return
        self._complete(value, error)

    def _complete(self, value: object, error: BaseException | None) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(value)

    def _cancel(self, future: concurrent.futures.Future[object]) -> None:
        """Cancel the task of a future that was cancelled."""
        if future.cancelled() and self.task is not None and not self.task.done():
            with suppress(RuntimeError):  # the loop has ended
                self.loop.loop.call_soon_threadsafe(self.task.cancel)

    def wait(self) -> object:
        """Wait for its end and return its result; on the thread that submitted it.

        Raises:
            InvalidStateError: the program's loop runs no more.
        """
        if isinstance(self.loop, TakenLoop):
            patience = self.loop.patience()
            while not self.future.done():
                try:
                    self.future.exception(LOOK)
                except concurrent.futures.TimeoutError:
                    patience.check()
        return self.future.result()

    def dispose(self) -> None:
        """End it, as its thread waits no longer; from that thread."""
        if self._claims.take("begin"):
            self.coroutine.close()
        self.future.cancel()

    def expire(self, limit: float) -> None:
        """Cancel it because it runs too long; on its loop."""
        self.expired = limit
        if self.task is not None:
            self.task.cancel()


class _Exit(NamedTuple):
    """The result of a coroutine that raised SystemExit on the program's loop."""

    error: SystemExit


async def _contained(coroutine: Coroutine[Any, Any, object]) -> object:
    """Run a callback on the program's loop: a ``SystemExit`` of it ends the callback alone."""
    try:
        return await coroutine
    except SystemExit as error:
        return _Exit(error)


class AsyncCalls:
    """One owner's loop; its threads wait for their coroutines, which run side by side.

    ``cancel``, ``expire``, ``stack`` and ``is_current`` may be used on any thread, ``close`` on a
    thread of the owner when no other thread runs a coroutine.

    Args:
        name: the owner's, for the name of the thread: ``flamepy-async-<name>``.
        given: the program's loop is used instead of the owner's, once it has one.
    """

    def __init__(self, name: str = "handlers", given: GivenLoop | None = None) -> None:
        self._name = f"{NAME}-{name}"
        self._given = given or GivenLoop()
        self._claims = Claims()  # who makes the loop
        self._made: concurrent.futures.Future[_Served] = concurrent.futures.Future()
        self._active: dict[int, _Active] = {}  # by the waiting thread
        self._cancelled = False

    @property
    def is_current(self) -> bool:
        """True in one of its coroutines, and else on the thread of the owner's own loop."""
        taken = self._given.taken
        if taken is not None and self._given.is_current:
            task = asyncio.current_task(taken.loop)
            return task is not None and any(one.task is task for one in [*self._active.values()])
        served = self._served
        return served is not None and threading.current_thread() is served.thread

    @property
    def needs_this_thread(self) -> bool:
        """True on the thread of the program's loop, which must not wait for a coroutine there."""
        return self._given.is_current

    @property
    def _served(self) -> _Served | None:
        made = self._made
        return made.result() if made.done() and made.exception() is None else None

    def run(self, awaitable: Awaitable[object]) -> object:
        """Run a coroutine, or await something else, on the loop, and wait for it.

        Raises:
            concurrent.futures.CancelledError: ``cancel`` was called.
            DeadlineExceededError: ``expire`` was called.
            InvalidStateError: the program's loop is closed or stopped.
            RuntimeError: the loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        try:
            if self._cancelled:
                raise concurrent.futures.CancelledError
            loop = self._given.taken or self._serve()
        except BaseException:
            coroutine.close()
            raise
        with waiting_for(loop.thread):  # noted before the coroutine can begin, which may ask for it
            return self._run(_Active(coroutine, loop))

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

    def _run(self, active: _Active) -> object:
        own = threading.get_ident()
        # Before it begins: a thread that it wakes may call ``stack``.
        self._active[own] = active
        try:
            active.submit()
            if self._cancelled:
                active.future.cancel()
            return active.wait()
        except concurrent.futures.CancelledError:
            if active.expired is not None:
                text = f"it ran longer than its timeout of {active.expired:g} s, and was cancelled"
                raise DeadlineExceededError(text) from None
            raise
        finally:
            active.dispose()
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
        text = ""
        if getattr(waited, "cr_await", None) is None:
            frame = sys._current_frames().get(active.loop.thread.ident or 0)
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
        active = self._active.get(thread)
        if active is None:
            return False
        with suppress(RuntimeError):  # the loop has ended, and the coroutine with it
            active.loop.loop.call_soon_threadsafe(active.expire, limit)
        return True

    def cancel(self) -> None:
        """Cancel the coroutines that run now, and every later one until ``allow``."""
        self._cancelled = True
        for active in list(self._active.values()):
            active.future.cancel()

    def allow(self) -> None:
        """Run coroutines again."""
        self._cancelled = False

    def close(self) -> None:
        """End the owner's loop and its thread. Idempotent; a later call makes another one."""
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
        given: the program's loop is used instead of the owner's, once it has one.
    """

    def __init__(self, name: str, given: GivenLoop | None = None) -> None:
        self._name = f"{NAME}-{name}"
        self._given = given or GivenLoop()
        self._active: set[_Active] = set()
        self._claims = Claims()  # who makes the loop
        self._made: concurrent.futures.Future[_Served] = concurrent.futures.Future()
        self._closed = False

    def run(self, awaitable: Awaitable[object]) -> object:
        """Run a coroutine, or await something else, on the loop, and wait for it.

        Raises:
            concurrent.futures.CancelledError: ``close`` was called.
            InvalidStateError: the program's loop is closed or stopped.
            RuntimeError: the loop's thread could not be started.
            BaseException: whatever the coroutine raised.
        """
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        try:
            loop = self._given.taken or self._served()
        except BaseException:
            coroutine.close()
            raise
        active = _Active(coroutine, loop)
        with waiting_for(loop.thread):
            self._active.add(active)
            try:
                active.submit()
                if self._closed:
                    active.future.cancel()
                return active.wait()
            finally:
                active.dispose()
                self._active.discard(active)

    def _served(self) -> _Served:
        if self._claims.take("make"):
            try:
                self._made.set_result(_serve_on_thread(self._name))
            except BaseException as error:
                self._made.set_exception(error)
        return self._made.result()

    def close(self) -> None:
        """Cancel what runs, end the owner's loop and its thread. Idempotent."""
        self._closed = True
        for active in list(self._active):
            active.future.cancel()
        if not self._claims.take("close") or self._claims.take("make"):
            return
        served = self._made.result()
        served.loop.call_soon_threadsafe(served.loop.stop)
        served.thread.join(STOP_TIMEOUT)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable
