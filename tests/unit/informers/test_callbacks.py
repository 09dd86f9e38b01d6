"""One event becomes callbacks, in a fixed order; what they raise stays with the informer (G10)."""

from __future__ import annotations

import threading

import pytest
from support.made import made_task

from flamepy.errors import FlameError, InformerError, InvalidArgumentError
from flamepy.informers.callbacks import Callbacks, task_callbacks
from flamepy.informers.handling import Failure, Handling
from flamepy.informers.informer import TaskInformer
from flamepy.types import Task, TaskState
from flamepy.watching.events import EventKind, TaskEvent


def event(state: TaskState, kind: EventKind = EventKind.UPDATED, old: TaskState | None = None):
    before = None if old is None else made_task(state=old)
    return TaskEvent(kind=kind, task=made_task(state=state), old=before)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (event(TaskState.PENDING, EventKind.ADDED), "on_transition on_update on_added"),
        (event(TaskState.RUNNING), "on_transition on_update on_running"),
        (event(TaskState.SUCCEED), "on_transition on_update on_succeeded on_terminal"),
        (event(TaskState.FAILED), "on_transition on_update on_failed on_terminal"),
        (event(TaskState.CANCELLED), "on_transition on_update on_cancelled on_terminal"),
        (
            event(TaskState.PENDING, old=TaskState.RUNNING),
            "on_transition on_update on_requeued",
        ),
        (event(TaskState.RUNNING, EventKind.DELETED), "on_transition on_deleted"),
        (event(TaskState(9)), "on_transition on_update"),
    ],
)
def test_the_order_of_the_calls(given: TaskEvent, names: str) -> None:
    found = task_callbacks(given.kind, given.task.state, requeued=given.is_requeue)
    assert found == names.split()


class Told:
    """An informer with its callbacks, called here and now."""

    def __init__(self, informer: TaskInformer) -> None:
        self.callbacks = Callbacks(informer)
        self.failures: list[Failure] = []
        self.handling = Handling(
            type(informer).__name__,
            retry=None,
            stopping=threading.Event(),
            failed=self.failures.append,
            on_error=self.callbacks.get("on_error"),
        )

    def event(self, event: TaskEvent) -> None:
        for call in self.callbacks.for_task(event):
            self.handling.call(call, event)


def test_every_callback_is_optional_and_only_overridden_ones_are_called() -> None:
    seen: list[object] = []

    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            seen.append(task.id)

    told = Told(Mine())
    assert told.callbacks.get("on_failed") is None
    told.event(event(TaskState.FAILED))
    assert seen == ["1"]


def test_what_a_callback_raises_is_counted_and_told_and_the_others_run() -> None:
    seen: list[object] = []

    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            raise ValueError("mine")

        def on_failed(self, event: TaskEvent) -> None:
            seen.append("failed")

        def on_error(self, error: FlameError) -> None:
            seen.append((type(error), error.message, type(error.__cause__)))

    told = Told(Mine())
    told.event(event(TaskState.FAILED))
    assert seen == [(InformerError, "Mine.on_update raised ValueError: mine", ValueError), "failed"]
    assert told.handling.failures == len(told.failures) == 1


def test_an_on_error_that_raises_ends_there() -> None:
    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            raise SystemExit(3)

        def on_error(self, error: FlameError) -> None:
            raise error

    told = Told(Mine())
    told.event(event(TaskState.RUNNING))
    assert told.handling.failures == 2


def test_something_else_is_no_informer() -> None:
    class Mine(TaskInformer):
        pass

    with pytest.raises(InvalidArgumentError, match="make an instance of it"):
        Callbacks(Mine)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="is not an informer"):
        Callbacks(object())  # type: ignore[arg-type]
