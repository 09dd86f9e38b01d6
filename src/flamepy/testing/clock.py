"""``FakeClock``: time that stands still until a test moves it, and loops that live in it.

A loop of ``FakeClock.new_loop`` never waits for a timer: when nothing is left to do before the
next one, the clock jumps to it. So a day of polls runs in seconds, and always in the same order::

    clock = FakeClock()

    async def a_day() -> None:
        await asyncio.sleep(86_400)

    clock.run(a_day())  # returns at once; clock.now is a day later
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from flamepy.errors import InvalidStateError
from flamepy.runtime.seconds import seconds as checked_seconds

T = TypeVar("T")


class FakeClock:
    """A monotonic clock that is moved by hand, or by a loop of its own.

    Call it to read it, as ``time.monotonic``.

    Args:
        start: seconds at the beginning.

    Attributes:
        now: seconds now.
        jumps: how often a loop jumped to its next timer.
    """

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start
        self.jumps = 0

    def __call__(self) -> float:
        """Return seconds now."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            InvalidArgumentError: ``seconds`` is negative, or no number.
        """
        hint = "time does not go back"
        self.now += checked_seconds("seconds", seconds, hint=hint)

    def new_loop(self, *, pause: float = 0.0) -> asyncio.AbstractEventLoop:
        """Return an event loop whose time is this clock's; close it when done.

        Args:
            pause: real seconds that the loop waits for other threads and sockets before it
                jumps. 0 is right when everything happens on the loop.
        """
        return _FakeTimeLoop(self, pause)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a loop of this clock and return its result, as ``asyncio.run``.

        Raises:
            InvalidStateError: a loop already runs in this thread. The coroutine is closed.
        """
        if asyncio._get_running_loop() is not None:
            coroutine.close()
            raise InvalidStateError(
                "FakeClock.run: an event loop already runs in this thread; call it outside of "
                "coroutines, or in a thread of its own"
            )
        loop = self.new_loop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            loop.run_until_complete(_cancel_others())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


async def _cancel_others() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _FakeTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock, pause: float) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock, pause))

    def time(self) -> float:
        return self._clock.now


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for files and sockets, but never for time: it moves the clock instead."""

    def __init__(self, clock: FakeClock, pause: float) -> None:
        super().__init__()
        self._clock = clock
        self._pause = pause

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self._pause)
        if not ready:
            self._clock.now += timeout
            self._clock.jumps += 1
        return ready
