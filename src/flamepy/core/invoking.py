"""``invoke`` of a synchronous session: a task is made on the loop, and its end is looked for.

A look finds the end of a task that ends at once, and hands it to its caller past the loop
(``rpc.transport.looks``). What it does not find is awaited as ``aio.Session.invoke`` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from flamepy.aio.outcomes import outcome
from flamepy.aio.session import output_of
from flamepy.rpc.link import Link
from flamepy.rpc.transport.looks import Look
from flamepy.runtime.clocks import monotonic
from flamepy.types import Task
from flamepy.watching.hub import Hub


def invoke(
    link: Link, create: Callable[[], Awaitable[Task]], timeout: float | None
) -> bytes | None:
    """Make a task and return its output.

    Args:
        link: a synchronous one.
        create: makes the task, on the loop.
        timeout: seconds for all of it, from now on (DeadlineExceededError).
    """
    end = None if timeout is None else monotonic() + timeout

    def left() -> float | None:
        return None if end is None else max(0.0, end - monotonic())

    async def begin() -> tuple[Task, Look[Task] | None, bytes | None]:
        task = await create()
        followed = Hub.of(link).may_follow(task.session_id)  # then others want its states as well
        look = None if followed else link.frontend.look(task)
        return task, look, None if look else await output_of(link, task, left())

    task, look, output = link.run(begin())
    if look is None:
        return output
    ended = look.wait(left())
    return link.run(output_of(link, task, left())) if ended is None else outcome(ended)
