"""Filters combine and say what they are."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from support.made import made_task

from flamepy.errors import InvalidArgumentError, UnavailableError
from flamepy.informers import predicates
from flamepy.informers.options import Options
from flamepy.types import Application, ApplicationState, SessionInfo, SessionState, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent


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


def test_a_function_of_ones_own_combines_as_well() -> None:
    def even(event: TaskEvent) -> object:
        return int(event.task.id) % 2 == 0

    for made in (predicates.live & even, even & predicates.live):
        assert not made(event())
    for made in (predicates.live | even, even | predicates.live):
        assert made(event())
    assert repr(predicates.live & even) == "(live & even)"
    assert repr(even | predicates.live) == "(even | live)"
    for wrong in (lambda: predicates.live & 3, lambda: 3 | predicates.live):
        with pytest.raises(TypeError):
            wrong()  # type: ignore[no-untyped-call]  # that is the test


def test_and_or_not_are_refused_because_they_would_lose_half() -> None:
    for wrong in (
        lambda: predicates.live and predicates.session("s1"),
        lambda: predicates.live or predicates.session("s1"),
        lambda: not predicates.live,
    ):
        with pytest.raises(InvalidArgumentError, match=r"combine with & \| ~"):
            wrong()


@pytest.mark.parametrize("states", [(), ("FAILED",), ([TaskState.FAILED],)])
def test_states_that_are_none_are_refused(states: tuple[object, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"such as TaskState\.FAILED"):
        predicates.state_in(*states)  # type: ignore[arg-type]  # that is the test


def test_changed_is_a_new_state() -> None:
    pending, running = made_task(), made_task(state=TaskState.RUNNING)
    changed = predicates.changed()
    assert changed(TaskEvent(kind=EventKind.ADDED, task=pending))
    assert changed(TaskEvent(kind=EventKind.UPDATED, task=running, old=pending))
    assert not changed(TaskEvent(kind=EventKind.UPDATED, task=running, old=running))
    assert not changed(TaskEvent(kind=EventKind.DELETED, task=running, old=running))
    assert not changed(TaskEvent(kind=EventKind.DELETED, task=running, old=pending))


class Applications:
    """Looks applications up by name and counts how often."""

    def __init__(self, **labels: list[str] | None) -> None:
        self.labels = labels
        self.asked: list[str] = []

    def get(self, name: str) -> Application | None:
        self.asked.append(name)
        if name not in self.labels:
            return None
        made = datetime(2026, 1, 1, tzinfo=timezone.utc)
        return Application(name, name, ApplicationState.ENABLED, made, labels=self.labels[name])


def of(name: str) -> TaskEvent:
    return TaskEvent(kind=EventKind.ADDED, task=made_task(), application=name)


@pytest.mark.parametrize(
    ("wanted", "passing"),
    [
        ("gpu", {"a", "b"}),
        ("team", {"b", "c"}),
        ("team=red", {"b"}),
        (("team", "red"), {"b"}),
        (("gpu", ""), set()),
        ("te", set()),
    ],
)
def test_label_asks_for_each_application_once(
    wanted: str | tuple[str, str], passing: set[str]
) -> None:
    known = Applications(a=["gpu"], b=["gpu", "team=red"], c=["team=blue"], d=None)
    label = predicates.label(wanted, known.get)
    assert {name for name in "abcdx" if label(of(name))} == passing
    assert {name for name in "abcdx" if label(of(name))} == passing
    assert known.asked == list("abcdx")


def test_label_asks_again_after_a_look_up_that_failed() -> None:
    answers: list[object] = [UnavailableError("away"), None]

    def get(name: str) -> Application | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return None

    label = predicates.label("gpu", get)
    with pytest.raises(UnavailableError):
        label(of("a"))
    assert not label(of("a"))
    assert not label(of("a"))


def test_label_says_what_it_needs() -> None:
    with pytest.raises(InvalidArgumentError, match=r"connection\.get_application"):
        predicates.label("gpu", ["gpu"])  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("name", ["application", "changed", "label", "session", "state_in"])
def test_one_that_was_not_called_is_refused_at_registration(name: str) -> None:
    made = getattr(predicates, name)
    with pytest.raises(InvalidArgumentError, match=rf"call it, predicates\.{name}\(\.\.\.\)"):
        Options(where=made)
    assert Options(where=predicates.live).where is predicates.live


def of_session(state: SessionState, kind: SessionEventKind) -> SessionEvent:
    made = datetime(2025, 1, 1, tzinfo=timezone.utc)
    return SessionEvent(kind=kind, session=SessionInfo("s", "a", state, made))


class TestSessions:
    """Events of sessions are judged as well, or the predicate is refused."""

    def test_each_judges_them(self) -> None:
        opened = of_session(SessionState.OPEN, SessionEventKind.OPENED)
        moved = of_session(SessionState.OPEN, SessionEventKind.PROGRESS)
        assert predicates.session("s")(opened)
        assert not predicates.session("t")(opened)
        assert predicates.application("a")(opened)
        assert predicates.changed()(opened)
        assert not predicates.changed()(moved)
        assert predicates.live(opened)
        assert predicates.state_in(SessionState.OPEN)(opened)
        assert not predicates.state_in(SessionState.CLOSED, TaskState(0))(opened)

    def test_states_of_the_other_kind_alone_are_refused(self) -> None:
        failed = predicates.live & ~predicates.state_in(TaskState.FAILED)
        predicates.check_judges(failed, tasks=True, sessions=False)
        with pytest.raises(InvalidArgumentError, match=r"state_in\(FAILED\).*sessions"):
            predicates.check_judges(failed, tasks=True, sessions=True)
        both = predicates.state_in(TaskState.FAILED) | predicates.state_in(SessionState.CLOSED)
        predicates.check_judges(both, tasks=True, sessions=True)
