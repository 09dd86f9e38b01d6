"""``GivenLoop``: the program's own event loop, on which a reactor's coroutines run as its tasks.

``async with Reactor(...)`` takes the running loop. ``async_loop`` starts the tasks from the
informers' threads, which wait for them; here is what holds of the loop as a whole.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import dataclass, field

from flamepy.errors import InvalidStateError
from flamepy.runtime.clocks import monotonic

LOOK = 0.25  # seconds between looks at whether the loop still runs
STOPPED = 5.0  # seconds for which it may stand still, as between two cells of a notebook


@dataclass(frozen=True, slots=True)
class TakenLoop:
    """A loop that a program runs itself.

    Attributes:
        loop: the loop.
        thread: which runs it.
        context: the context variables as of when it was taken; each task gets a copy.
        tasks: of coroutines that run there; changed on the loop alone.
    """

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    context: contextvars.Context
    tasks: set[asyncio.Task[object]] = field(default_factory=set)

    def patience(self) -> Patience:
        """Return the judge of whether one wait for this loop still makes sense."""
        return Patience(self.loop)


class Patience:
    """Decides how long a thread waits for a loop that does not run; one for each wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: float | None = None

    def check(self) -> None:
        """Look at the loop.

        Raises:
            InvalidStateError: it is closed, or has stood still for ``STOPPED`` seconds.
        """
        if self._loop.is_closed():
            raise closed()
        if self._loop.is_running():
            self._since = None
            return
        now = monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since >= STOPPED:
            raise InvalidStateError(
                "the event loop of this `async with Reactor(...)` has not run for "
                f"{STOPPED:g} s, so no coroutine can run there: keep it running, leave the block "
                "before it stops, or use `with Reactor(...)`, which has a loop of its own"
            )


def closed() -> InvalidStateError:
    """Return the error of a coroutine whose loop is closed."""
    return InvalidStateError(
        "the event loop of this `async with Reactor(...)` is closed, so no coroutine can run "
        "there: leave the block before the loop ends, or use `with Reactor(...)`, which has a "
        "loop of its own"
    )


class GivenLoop:
    """Which loop the coroutines of one reactor run on: none of the program's until ``take``."""

    def __init__(self) -> None:
        self._taken: TakenLoop | None = None

    @property
    def taken(self) -> TakenLoop | None:
        """The program's loop; None where each owner makes one of its own."""
        return self._taken

    @property
    def is_current(self) -> bool:
        """True on the thread of the program's loop, in a coroutine or not."""
        taken = self._taken
        return taken is not None and taken.thread is threading.current_thread()

    def take(self) -> None:
        """Take the running loop, and the context variables as they are now."""
        self._taken = TakenLoop(
            asyncio.get_running_loop(), threading.current_thread(), contextvars.copy_context()
        )

    async def settled(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds at most, until tasks that were cancelled have ended."""
        taken, own = self._taken, asyncio.current_task()
        left = set() if taken is None else {one for one in taken.tasks if one is not own}
        if left:
            await asyncio.wait(left, timeout=timeout)
