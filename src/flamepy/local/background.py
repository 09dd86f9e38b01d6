"""Run a function on a thread of its own, so that the loop does not wait for a disk or a process.

The threads are daemons: a disk that never answers keeps neither the loop nor the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(name: str, function: Callable[[], T]) -> asyncio.Future[T]:
    """Start ``function`` on a thread named ``name``; its result arrives in the running loop.

    A future that is cancelled does not stop the function.

    Raises:
        RuntimeError: no thread can be started; nothing was begun.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only if T allows it

    def work() -> None:
        result, failure = None, None
        try:
            result = function()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future
