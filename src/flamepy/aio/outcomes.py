"""What a task's end means to a caller: its output, or an error. Pure."""

from __future__ import annotations

from flamepy.errors import TaskCancelledError, TaskFailedError
from flamepy.types import Task, TaskState

TOO_LARGE = "decoded message length too large"  # an engine's text, in the place of the service's
WAY_OUT = "put a large output into the object cache (put_object) and return its reference"


def outcome(task: Task) -> bytes | None:
    """Return a terminal task's output.

    Raises:
        TaskFailedError: with the service's own text.
        TaskCancelledError: its session was closed before it ran.
    """
    if task.state == TaskState.FAILED:
        text = task.error or (
            f"task {task.id} of session {task.session_id} failed without a text: an exception "
            "without one, such as of a bare assert? The service's log has its traceback"
        )
        text = f"{text}; {WAY_OUT}" if TOO_LARGE in text else text
        raise TaskFailedError(text, task=task)
    if task.state == TaskState.CANCELLED:
        raise TaskCancelledError(
            f"task {task.id} was cancelled: session {task.session_id} was closed before it ran",
            task=task,
        )
    return task.output
