"""One event becomes callbacks, in a fixed order; what they raise stays with the informer (G10)."""

from __future__ import annotations

import pytest
from support.made import made_task

from flamepy.errors import FlameError, InformerError, InvalidArgumentError
from flamepy.informers.informer import Callbacks, TaskInformer, callbacks_for
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
    assert callbacks_for(given) == names.split()


def direct(method, arguments) -> None:
    method(*arguments)


def test_every_callback_is_optional_and_only_overridden_ones_are_called() -> None:
    seen: list[object] = []

    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            seen.append(task.id)

    callbacks = Callbacks(Mine(), direct)
    assert callbacks.wants("on_update")
    assert not callbacks.wants("on_failed")
    callbacks.event(event(TaskState.FAILED))
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

    callbacks = Callbacks(Mine(), direct)
    callbacks.event(event(TaskState.FAILED))
    assert seen == [(InformerError, "Mine.on_update raised ValueError: mine", ValueError), "failed"]
    assert callbacks.failures == 1


def test_an_on_error_that_raises_ends_there() -> None:
    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            raise SystemExit(3)

        def on_error(self, error: FlameError) -> None:
            raise error

    callbacks = Callbacks(Mine(), direct)
    callbacks.event(event(TaskState.RUNNING))
    assert callbacks.failures == 2


def test_something_else_is_no_informer() -> None:
    class Mine(TaskInformer):
        pass

    with pytest.raises(InvalidArgumentError, match="make an instance of it"):
        Callbacks(Mine, direct)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="is not an informer"):
        Callbacks(object(), direct)  # type: ignore[arg-type]
