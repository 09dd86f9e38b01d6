"""What waits for one task: a future, an iterator, or a key whose changes are read quickly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flamepy.errors import FlameError
from flamepy.types import Task
from flamepy.watching.state.waiters import Interest, Listener


class FutureListener:
    """Completes a future with the terminal state."""

    def __init__(self, future: asyncio.Future[Task]) -> None:
        self._future = future

    def changed(self, task: Task) -> None:
        """Complete the future if the task has ended."""
        if task.state.is_terminal and not self._future.done():
            self._future.set_result(task)

    def lost(self, error: FlameError) -> None:
        """Fail the future."""
        if not self._future.done():
            self._future.set_exception(error)


class QueueListener:
    """Queues each state; bounded by the number of a task's changes that were not read yet."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[Task | FlameError] = asyncio.Queue()

    def changed(self, task: Task) -> None:
        """Queue the state."""
        self.items.put_nowait(task)

    def lost(self, error: FlameError) -> None:
        """Queue the error."""
        self.items.put_nowait(error)


class WatchedKey:
    """A task that gets a stream, within the budget, until it ended or ``release`` is called.

    Subscriptions receive its changes as quickly as a stream shows them. A task that
    the engine does not know is watched no longer (``active`` is False then).
    """

    def __init__(self, leave: Callable[[Interest, Listener], None]) -> None:
        self._interest: Interest | None = None
        self._leave = leave
        self._over = False

    def attach(self, interest: Interest) -> None:
        """Set the interest that it releases."""
        self._interest = interest

    @property
    def active(self) -> bool:
        """True while the task is watched."""
        return not self._over

    def changed(self, task: Task) -> None:
        """Record the end; the hub notifies the subscriptions."""
        self._over = self._over or task.state.is_terminal

    def lost(self, error: FlameError) -> None:
        """Watch no longer."""
        self._over = True

    def release(self) -> None:
        """Watch no longer; idempotent."""
        self._over = True
        interest, self._interest = self._interest, None
        if interest is not None:
            self._leave(interest, self)
