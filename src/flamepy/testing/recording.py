"""``RecordingInformer``: records what it receives, for assertions."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flamepy.errors import FlameError
from flamepy.informers.informer import TaskInformer
from flamepy.runtime.seconds import seconds
from flamepy.types import Task
from flamepy.watching.state.events import TaskEvent


class RecordingInformer(TaskInformer):
    """Records every event, in order; readable from any thread.

    Attributes:
        events: every event, as ``on_transition`` got it.
        updates: every task, as ``on_update`` got it.
        errors: what ``on_error`` got.
    """

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []
        self.updates: list[Task] = []
        self.errors: list[FlameError] = []
        self._news = threading.Condition()

    def on_transition(self, event: TaskEvent) -> None:
        """Remember the event."""
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def on_update(self, task: Task) -> None:
        """Remember the task."""
        with self._news:
            self.updates.append(task)
            self._news.notify_all()

    def on_error(self, error: FlameError) -> None:
        """Remember the error."""
        with self._news:
            self.errors.append(error)
            self._news.notify_all()

    def wait_for(self, condition: Callable[[RecordingInformer], bool], timeout: float) -> None:
        """Wait until ``condition(self)`` holds.

        Raises:
            AssertionError: it does not within ``timeout`` seconds.
            InvalidArgumentError: ``timeout`` is no number of seconds.
        """
        timeout = seconds("timeout", timeout)
        with self._news:
            if not self._news.wait_for(lambda: condition(self), timeout):
                raise AssertionError(
                    f"not within {timeout} s; {len(self.events)} events, the last: "
                    f"{self.events[-3:]}"
                )

    def terminal(self) -> list[tuple[str, str, str]]:
        """Return (session id, task id, state) of every terminal state received, in order."""
        return [
            (event.task.session_id, event.task.id, event.task.state.name)
            for event in self.events
            if event.task.state.is_terminal
        ]
