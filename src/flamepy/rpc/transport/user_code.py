"""``UserCode``: functions of the user around a link's calls, off the thread that serves the link.

Plain functions run on the threads ``flamepy-interceptors-<n>``. Coroutines run on the link's own
loop where that is the user's (``aio``), else on the loop of a thread ``flamepy-interceptors-loop``.
Whatever they raise arrives as an exception: a ``SystemExit`` among them ends no loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from flamepy.errors import ConnectionClosedError, InternalError, ResourceExhaustedError
from flamepy.runtime import threads
from flamepy.runtime.forks import abandon_loop, on_child
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.pools import DaemonPool
from flamepy.texts import text_of

NAME = "flamepy-interceptors"
THREADS = 64  # plain functions that run at the same time, at most
Function = Callable[..., Any]


class UserCode:
    """Runs the user's functions for one link; called on the link's loop.

    Args:
        own_loop: run coroutines on a loop of its own, not on the link's.
    """

    def __init__(self, *, own_loop: bool) -> None:
        self._own_loop = own_loop
        self._pool: DaemonPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._waits: set[Future[Any]] = set()  # of the threads, for the link's loop
        self._undo: Callable[[], None] = lambda: None

    def _abandon(self) -> None:
        """In a forked child: the threads are not here; the loop stays."""
        if self._loop is not None:
            abandon_loop(self._loop)

    async def block(self, function: Function, *arguments: object) -> Any:
        """Return what a plain function returns, which may block its thread."""
        self._check()
        if self._pool is None:
            self._pool = DaemonPool(THREADS, name=NAME)
        context = contextvars.copy_context()
        try:
            future = self._pool.submit(context.run, _contained, function, *arguments)
        except RuntimeError as error:
            raise ResourceExhaustedError(
                f"no thread can be started for {name_of(function)}: {text_of(error)}"
            ) from error
        return await asyncio.wrap_future(future)

    async def wait(self, function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        """Return what a coroutine function returns."""
        self._check()
        if not self._own_loop:
            return await _awaited(function, *arguments)
        if self._loop is None:
            loop = new_loop()
            threads.start(_serve, loop, name=f"{NAME}-loop")
            self._loop = loop
            self._undo = on_child(self._abandon)
        future = asyncio.run_coroutine_threadsafe(_awaited(function, *arguments), self._loop)
        return await asyncio.wrap_future(future)

    async def call(self, function: Function) -> Any:
        """Return what a function without arguments returns, plain or a coroutine function."""
        if is_async(function):
            return await self.wait(function)
        found = await self.block(function)
        if not inspect.isawaitable(found):
            return found

        async def rest() -> Any:
            return await found

        return await self.wait(rest)

    def _check(self) -> None:
        if self._closed:
            raise ConnectionClosedError("the connection is closed")

    @property
    def is_remote(self) -> bool:
        """True if coroutines run on another loop than the link's."""
        return self._own_loop

    def wait_for(self, sent: Future[Any]) -> Any:
        """Return a result of the link's loop, on one of the threads; ``close`` ends the wait."""
        self._waits.add(sent)
        try:
            if self._closed:  # the loop may run nothing more
                sent.cancel()
            return sent.result()
        finally:
            self._waits.discard(sent)

    def close(self) -> None:
        """Let the threads end when what runs on them has ended. Idempotent."""
        self._closed = True
        for sent in self._waits.copy():
            sent.cancel()
        self._undo()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._loop.stop)


def is_async(function: Function) -> bool:
    """Return True for a coroutine function, or an object whose ``__call__`` is one."""
    called = getattr(type(function), "__call__", None)  # noqa: B004  # not whether it is callable
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def name_of(function: Function) -> str:
    """Return how a function is called in messages."""
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _contained(function: Function, *arguments: object) -> Any:
    try:
        return function(*arguments)
    except StopIteration as error:  # a future cannot hold it
        raise _ended_by(function, error) from error
    except Exception:
        raise
    except BaseException as error:
        raise _ended_by(function, error) from error


async def _awaited(function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    try:
        return await function(*arguments)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise _ended_by(function, error) from error


def _ended_by(function: Function, error: BaseException) -> InternalError:
    return InternalError(f"{name_of(function)} raised {type(error).__name__} around a call")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        run_forever(loop, _cancel_tasks)
    finally:
        asyncio.set_event_loop(None)
        retire(loop)


async def _cancel_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
