"""What the three programs share: a service, and an informer with futures of the running loop."""

import asyncio

from flamepy.core import FlameService, TaskContext, TaskInformer
from flamepy.informers import TaskEvent


class Square(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        return str(int(context.input or b"") ** 2).encode()


class Ends(TaskInformer):
    """How tasks ended; its callbacks run on the loop that also waits."""

    def __init__(self) -> None:
        self.futures: dict[str, asyncio.Future[str]] = {}

    def of(self, task_id: str) -> "asyncio.Future[str]":
        if task_id not in self.futures:
            self.futures[task_id] = asyncio.get_running_loop().create_future()
        return self.futures[task_id]

    async def on_terminal(self, event: TaskEvent) -> None:
        self.of(event.task.id).set_result(event.task.state.name)
