"""``ScriptedExchange``: a stream of WatchTasks of a ``ScriptedSource``, as engines after 0.6 have.

A task comes in its present state when it is added, then at its changes, in the state that it has
as it is sent. One that is not there ends the stream for all, and so does its session's end, after
each task was sent once more (docs/protocol.md#dialects).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from flamepy.errors import (
    FlameError,
    SessionClosedError,
    SessionNotFoundError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.rpc.retry.classifier import Failure
from flamepy.texts import repr_of
from flamepy.types import Task

Find = Callable[[int], "Task | None"]


class ScriptedExchange:
    """An open stream: ``add`` tasks, and iterate it.

    Args:
        session_id: of the tasks.
        find: returns a task as it is now, or None.
        before: runs before anything is read.
        after: runs before each message.

    Attributes:
        received: bytes of the payloads of its messages.
        added: ids that were added, in order.
    """

    def __init__(
        self,
        session_id: str,
        find: Find,
        *,
        before: Callable[[], Awaitable[None]],
        after: Callable[[Task], Awaitable[None]],
    ) -> None:
        self.received = 0
        self.added: list[str] = []
        self._session_id = session_id
        self._find = find
        self._before, self._after = before, after
        self._open: dict[int, None] = {}
        self._due: dict[int, None] = {}
        self._news = asyncio.Event()
        self._ending: FlameError | None = None
        self._finished = False
        self._over = False

    @property
    def over(self) -> bool:
        """True once its reader has left it, or has its end."""
        return self._over

    # ------------------------------------------------------------------ the client

    async def add(self, task_id: str) -> bool:
        """Add a task; False if the stream is over."""
        if self._over:
            return False
        self.added.append(task_id)
        self._due[int(task_id)] = self._open[int(task_id)] = None
        self._news.set()
        return True

    def cut(self) -> None:
        """End the stream with an UnavailableError."""
        error = UnavailableError("the stream was cut")
        error.failure = Failure.LOST.value
        self.end(error)

    def cancel(self) -> None:
        """End the stream: an iteration that waits is cancelled with its own task."""
        self._over = True

    def __aiter__(self) -> AsyncIterator[Task]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Task]:
        try:
            await self._before()
            while True:
                while self._due:
                    number = next(iter(self._due))
                    del self._due[number]
                    yield await self._message(number)
                if self._ending is not None:
                    raise self._ending.with_traceback(None)
                if self._finished:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._over = True

    async def _message(self, number: int) -> Task:
        task = self._find(number)
        if task is None:
            session = repr_of(self._session_id)
            raise TaskNotFoundError(f"task {number} of session {session} not found")
        await self._after(task)
        task = self._find(number) or task
        if task.state.is_terminal:
            self._open.pop(number, None)
        self.received += len(task.input or b"") + len(task.output or b"")
        return task

    # ------------------------------------------------------------------ the engine

    def changed(self, number: int) -> None:
        """Send a task, if it is one of these."""
        if number in self._open:
            self._due[number] = None
            self._news.set()

    def lag(self) -> None:
        """Send all tasks again, as to a client that lagged."""
        self._due.update(self._open)
        self._news.set()

    def close(self) -> None:
        """End with the session: each task is sent once more."""
        self._due.update(self._open)
        self._ending = SessionClosedError("session task watch closed")
        self._news.set()

    def gone(self) -> None:
        """End with a session that is gone."""
        self.end(SessionNotFoundError(f"session {repr_of(self._session_id)} not found"))

    def finish(self) -> None:
        """End well, as a proxy may do it, whatever its tasks do."""
        self._finished = True
        self._news.set()

    def end(self, error: FlameError) -> None:
        """End at once.

        Args:
            error: what its reader gets.
        """
        self._due.clear()
        self._ending = error
        self._news.set()
