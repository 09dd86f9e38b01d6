"""``TaskWatches``: the open streams of WatchTask, on the engine's loop.

A stream is of one task and ends with it. What is sent is what the row says when the stream looks
at it, and that the task began, which a fast one's row no longer says by then. ``watch_streams``
has the streams of engines after 0.6; ``frontend`` sends what comes out here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import TaskRow
from flamepy.types import Task, TaskState


class _Watcher:
    """One of them: what wakes it, and whether its task began since it last looked."""

    __slots__ = ("began", "changed", "refusal")

    def __init__(self) -> None:
        self.began = False
        self.changed = asyncio.Event()
        self.refusal: Refusal | None = None


class TaskWatches:
    """The open streams, by session and task.

    Args:
        find: returns a task's row, by the ids of the session and of the task, or None.
    """

    def __init__(self, find: Callable[[str, int], TaskRow | None]) -> None:
        self._find = find
        self._watchers: dict[tuple[str, int], set[_Watcher]] = {}
        self._closed = False

    def changed(self, session_id: str, number: int, *, began: bool = False) -> None:
        """Record that a task changed its state.

        Args:
            session_id: of the task.
            number: of the task.
            began: it runs from then on, or has ended since.
        """
        for watcher in self._watchers.get((session_id, number), ()):
            watcher.began |= began
            watcher.changed.set()

    def gone(self, session_id: str) -> None:
        """End the streams of a session that was deleted."""
        for key in [key for key in self._watchers if key[0] == session_id]:
            self.changed(*key)

    def interrupt(self, text: str) -> None:
        """End every stream with UNAVAILABLE.

        Args:
            text: why.
        """
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.refusal = Refusal("UNAVAILABLE", text)
                watcher.changed.set()

    def close(self) -> None:
        """End every stream, without a word."""
        self._closed = True
        for key in self._watchers:
            self.changed(*key)

    async def follow(self, session_id: str, number: int) -> AsyncIterator[Task]:
        """Yield a task at each change until it ended (``Engine.watch_task``)."""
        task = self._find(session_id, number)
        if task is None:
            return
        watcher = _Watcher()
        watchers = self._watchers.setdefault((session_id, number), set())
        watchers.add(watcher)
        try:
            before = task.state
            while not self._closed and self._find(session_id, number) is task:
                if watcher.refusal is not None:
                    raise watcher.refusal
                began, watcher.began = watcher.began, False
                if began and before == TaskState.PENDING and task.state.is_terminal:
                    yield task.running_view()
                if task.state.is_terminal or task.state != before:
                    before = task.state
                    yield task.view()
                    if before.is_terminal:
                        return
                    continue
                watcher.changed.clear()
                await watcher.changed.wait()
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop((session_id, number), None)
