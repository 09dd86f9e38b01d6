"""``TaskFuture``: a ``concurrent.futures.Future`` of a task's output, and its callbacks' thread.

The hub completes it on the loop; done-callbacks run on ``flamepy-completions``, one thread of a
link whatever the number of futures. ``session`` makes them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable
from typing import Any

from flamepy.aio.session import outcome
from flamepy.errors import FlameError, UnavailableError
from flamepy.informers.dispatch import Worker
from flamepy.rpc.link import Link
from flamepy.types import Task

logger = logging.getLogger(__name__)


class TaskFuture(concurrent.futures.Future["bytes | None"]):
    """A future of a task's output; works with ``concurrent.futures.wait`` and ``as_completed``.

    ``result()`` raises TaskFailedError with the service's text, TaskCancelledError, or an error
    that says why the fate is unknown; it waits as long as the task takes. Done-callbacks run on
    the thread ``flamepy-completions``.
    """

    def __init__(self, task: Task, completions: Worker) -> None:
        super().__init__()
        self.task_id = task.id
        self.session_id = task.session_id
        self._completions = completions
        self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Return False: the engine cannot cancel a task, so neither can its future."""
        return False

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Any]], object]) -> None:
        """Call ``fn(future)`` on the thread ``flamepy-completions`` once the task has ended."""
        super().add_done_callback(lambda _: self._completions.put((fn, self)))

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        return f"<TaskFuture {self.session_id}/{self.task_id} {state}>"

    def _take(self, ended: asyncio.Future[Task]) -> None:
        """Complete from the hub's future; on the loop."""
        if ended.cancelled():
            lost = UnavailableError(f"the wait for task {self.task_id} was cut off")
            self.set_exception(lost)
            return
        try:
            self.set_result(outcome(ended.result()))
        except FlameError as error:
            self.set_exception(error)


def _complete(item: object) -> None:
    assert isinstance(item, tuple)
    callback, future = item
    try:
        callback(future)
    except BaseException:  # one callback must not end the thread for the others
        logger.exception("a done-callback of %r raised", future)


def completions(link: Link) -> Worker:
    """Return a worker for done-callbacks; an attachment of the link."""
    return Worker("flamepy-completions", _complete, lingers=False)
