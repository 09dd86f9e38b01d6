"""``TaskFuture``: a ``concurrent.futures.Future`` of a task's output. ``session`` makes them."""

from __future__ import annotations

from flamepy.aio.outcomes import outcome
from flamepy.informers.queries.futures import WatchedFuture
from flamepy.types import Task


class TaskFuture(WatchedFuture["bytes | None"]):
    """A future of a task's output; works with ``concurrent.futures.wait`` and ``as_completed``.

    ``result()`` raises TaskFailedError with the service's text, TaskCancelledError, or an error
    that says why the fate is unknown; it waits as long as the task takes. Done-callbacks run on
    the thread ``flamepy-completions``.
    """

    def _outcome(self, task: Task) -> bytes | None:
        return outcome(task)
