"""Running a coroutine with gRPC in it on a loop of its own."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from flamepy.runtime.loops import retire

T = TypeVar("T")


async def _cancel_others() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def run(coroutine: Coroutine[Any, Any, T], limit: float = 30.0) -> T:
    """Return what the coroutine returns; the loop ends as the library's own do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, limit))
    finally:
        loop.run_until_complete(_cancel_others())
        loop.run_until_complete(loop.shutdown_asyncgens())
        retire(loop)
