"""A mistake with an event is answered with the attributes that there are; others are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.made import made_session, made_task

from flamepy.informers.informer import TaskInformer
from flamepy.informers.outcomes.mistakes import attributes
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

EVENT: Any = TaskEvent(kind=EventKind.ADDED, task=made_task(1), application="app")
SESSION: Any = SessionEvent(kind=SessionEventKind.OPENED, session=made_session())


class Unprintable(TypeError):
    def __str__(self) -> str:
        raise ValueError("no text")


def raised(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    ("act", "item", "kind", "has"),
    [
        (lambda: EVENT.no_such, EVENT, "TaskEvent", ["application", "task", "kind", "is_requeue"]),
        (lambda: EVENT.task.status, EVENT, "Task", ["state", "session_id", "is_failed"]),
        (lambda: EVENT["task"], EVENT, "TaskEvent", ["task"]),
        (lambda: EVENT.task["id"], EVENT, "Task", ["id"]),
        (lambda: SESSION.task, SESSION, "SessionEvent", ["session", "counts"]),
        (lambda: SESSION.session.tasks, SESSION, "SessionInfo", ["counts", "application"]),
        (lambda: EVENT.task.status, [EVENT], "Task", ["state"]),
    ],
)
def test_the_attributes_of_what_was_meant_are_named(
    act: Callable[[], object], item: object, kind: str, has: list[str]
) -> None:
    said = attributes(raised(act), item)
    assert said.startswith(f"; a {kind} has ")
    names = said.partition(" has ")[2].split(", ")
    assert set(has) <= set(names)
    assert not [name for name in names if name.startswith("_")]


def test_a_batch_that_is_taken_for_an_event() -> None:
    events: Any = [EVENT, EVENT]
    said = attributes(raised(lambda: events.task), events)
    assert said == "; it got a list of 2 events: take them one by one"


@pytest.mark.parametrize(
    ("error", "item"),
    [
        (raised(lambda: object().no_such), EVENT),  # type: ignore[attr-defined]  # that is it
        (raised(lambda: 1 + "1"), EVENT),  # type: ignore[operator]  # that is it
        (raised(lambda: {}["task"]), EVENT),
        (Unprintable(), EVENT),
        (raised(lambda: None.task), None),  # type: ignore[attr-defined]  # that is it
    ],
)
def test_mistakes_with_other_objects_say_nothing(error: BaseException, item: object) -> None:
    assert attributes(error, item) == ""


def test_an_informers_own_attributes_are_its_writers() -> None:
    class Mine(TaskInformer):
        pass

    informer: Any = Mine()
    assert attributes(raised(lambda: informer.no_such), EVENT) == ""
