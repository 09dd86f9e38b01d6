"""What waits for one task: a future, or an iterator."""

from __future__ import annotations

import asyncio

from flamepy.errors import FlameError
from flamepy.types import Task


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
