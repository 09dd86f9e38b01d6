"""``Invoker``: ``invoke`` of a synchronous session; a task is made on the loop, its end looked for.

A look finds the end of a task that ends at once, and hands it to its caller past the loop
(``rpc.transport.looks``). What it does not find is awaited as ``aio.Session.invoke`` does. Looks of
a session that find nothing are made less and less often: its tasks take longer, or something in
between lets no second connection through.
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

RAREST = 64  # tasks without a look after one that found nothing, at most


class Invoker:
    """Makes tasks of one session, and waits for their outputs; for any number of threads.

    Args:
        link: a synchronous one.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        # Threads may count at the same moment and lose a count: then a look comes one task later.
        self._rest = 0  # tasks without a look after the last one that found nothing
        self._left = 0  # of them, still to come

    def invoke(self, create: Callable[[], Awaitable[Task]], timeout: float | None) -> bytes | None:
        """Make a task and return its output.

        Args:
            create: makes the task, on the loop.
            timeout: seconds for all of it, from now on (DeadlineExceededError).
        """
        link = self._link
        end = None if timeout is None else monotonic() + timeout

        def left() -> float | None:
            return None if end is None else max(0.0, end - monotonic())

        async def begin() -> tuple[Task, Look[Task] | None, bytes | None]:
            task = await create()
            look = self._look(task)
            return task, look, None if look else await output_of(link, task, left())

        task, look, output = link.run(begin())
        if look is None:
            return output
        ended = look.wait(left())
        self._note(ended is not None)
        return link.run(output_of(link, task, left())) if ended is None else outcome(ended)

    def _look(self, task: Task) -> Look[Task] | None:
        if self._left > 0:
            self._left -= 1
            return None
        if Hub.of(self._link).may_follow(task.session_id):
            return None  # others want its states as well
        return self._link.frontend.look(task)

    def _note(self, found: bool) -> None:
        self._rest = 0 if found else min(RAREST, 2 * self._rest or 1)
        self._left = self._rest
