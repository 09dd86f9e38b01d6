"""Plain and asynchronous callbacks, mixed in one informer; each narrower than what it overrides."""

import asyncio
from collections.abc import Sequence

from flamepy.core import FlameError, Task, TaskInformer
from flamepy.informers import (
    PermanentError,
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TemporaryError,
)
from flamepy.types import ConnectionState


class Plain(TaskInformer):
    def on_update(self, task: Task) -> None:
        print(task.id, task.state.name, task.error)

    def on_transition(self, event: TaskEvent) -> None:
        if event.old is not None and event.old.state != event.task.state:
            raise TemporaryError("later", delay=2.5)

    def on_error(self, error: FlameError) -> None:
        print(error.code, error.message, error.retryable)

    def on_synced(self) -> None:
        print("synced")

    def on_connection(self, state: ConnectionState) -> None:
        print(state)


class Asynchronous(TaskInformer):
    async def on_update(self, task: Task) -> None:
        await asyncio.sleep(0)

    async def on_failed(self, event: TaskEvent) -> None:
        raise PermanentError(event.task.error)

    async def on_error(self, error: FlameError) -> None:
        await asyncio.sleep(0)

    async def on_synced(self) -> None:
        await asyncio.sleep(0)


class Batches(TaskInformer):
    async def on_batch(self, events: Sequence[TaskEvent]) -> None:
        print([event.key for event in events])


class Both(TaskInformer, SessionInformer):
    """Of tasks and of sessions; one callback plain, one not."""

    def on_succeeded(self, event: TaskEvent) -> None:
        print(event.session_id, event.session and event.session.counts.succeed)

    async def on_drained(self, event: SessionEvent) -> None:
        print(event.session.counts.total)

    async def on_progress(self, counts: SessionProgress) -> None:
        print(counts)

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        print(event.key)


class Reversed(SessionInformer, TaskInformer):
    """The bases in the other order."""


class Further(Plain):
    """A subclass of a subclass keeps the narrower type."""

    def on_update(self, task: Task) -> None:
        super().on_update(task)
