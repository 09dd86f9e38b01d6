"""Filters combine and say what they are."""

from __future__ import annotations

from support.made import made_task

from flamepy.informers import predicates
from flamepy.types import TaskState
from flamepy.watching.events import EventKind, TaskEvent


def event(state: TaskState = TaskState.PENDING, *, initial: bool = False) -> TaskEvent:
    return TaskEvent(
        kind=EventKind.ADDED, task=made_task(state=state), application="app", initial=initial
    )


def test_each_tests_what_it_names() -> None:
    assert predicates.state_in(TaskState.FAILED)(event(TaskState.FAILED))
    assert not predicates.state_in(TaskState.FAILED)(event())
    assert predicates.application("app")(event())
    assert not predicates.application("other")(event())
    assert predicates.session("s1")(event())
    assert not predicates.session("s2")(event())
    assert predicates.live(event())
    assert not predicates.live(event(initial=True))


def test_they_combine() -> None:
    both = predicates.application("app") & ~predicates.live
    assert both(event(initial=True))
    assert not both(event())
    either = predicates.session("s2") | predicates.application("app")
    assert either(event())
    assert repr(both) == "(application('app') & ~live)"
    assert repr(either) == "(session('s2') | application('app'))"
