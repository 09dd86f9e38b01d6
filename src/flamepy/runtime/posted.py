"""``Posted``: a coroutine that runs on the loop of another thread, and the wait for its result.

``asyncio.run_coroutine_threadsafe`` waits in a future whose condition the waiting thread holds for
some lines. A signal handler or a finalizer that runs in those lines and makes a call of its own
would wait for ever: the loop needs the condition to deliver the first result, and delivers nothing
else meanwhile. Here nothing is held: the result comes through a ``SimpleQueue``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from flamepy.runtime.clocks import bounded
from flamepy.runtime.queues import Empty, SimpleQueue

T = TypeVar("T")


class LateError(TimeoutError):
    """The result did not come in time; the coroutine was cancelled."""


class Posted(Generic[T]):
    """A coroutine on another thread's loop. One thread calls ``wait``, any thread the rest.

    Args:
        loop: runs on another thread.
        coroutine: is closed if it does not begin.
    """

    __slots__ = ("_answers", "_coroutine", "_dropped", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._dropped = False

    def begin(self) -> None:
        """Begin it, on the loop."""
        if self._dropped:
            self._coroutine.close()
            return
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        # The answer leaves with the last step: a callback of the task comes a turn later.
        value = await self._coroutine
        self._answers.put((value, None))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._coroutine.close()  # if it never began
            self._answers.put((None, concurrent.futures.CancelledError()))
        elif (error := task.exception()) is not None:
            self._answers.put((None, error))

    def wait(self, timeout: float | None = None) -> T:
        """Return its result or raise its error; an error in the wait, as Ctrl-C, cancels it.

        Raises:
            LateError: it took longer than ``timeout`` seconds.
            concurrent.futures.CancelledError: it was cancelled on its loop.
        """
        limit = bounded(timeout)
        try:
            value, error = self._answers.get(timeout=limit)
        except Empty:
            self.cancel()
            raise LateError from None
        except BaseException:
            self.cancel()
            raise
        if error is None:
            return value  # type: ignore[return-value]  # None only where T allows it
        try:
            raise error
        finally:
            del error, self  # the traceback would keep them, in a cycle

    def cancel(self) -> None:
        """Cancel it, soon."""
        self._dropped = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def refuse(self, error: BaseException) -> None:
        """End the wait with ``error`` where the loop will run nothing more."""
        self._answers.put((None, error))
        if self._task is None:
            self._dropped = True
            self._coroutine.close()


def call(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T],
    timeout: float | None = None,
) -> T:
    """Run a coroutine on another thread's loop and return its result; see ``Posted.wait``."""
    posted = Posted(loop, coroutine)
    try:
        loop.call_soon_threadsafe(posted.begin)
    except BaseException:
        coroutine.close()
        raise
    return posted.wait(timeout)
