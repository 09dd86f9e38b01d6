"""Which subscriptions receive an event, and when the initial state was delivered (contract G9)."""

from __future__ import annotations

import pytest
from support.made import made_session, made_task

from flamepy.errors import UnavailableError
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    Window,
)
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Scope, Subscribers, Subscription


class Heard:
    def __init__(self) -> None:
        self.items: list[object] = []

    def task_event(self, event: TaskEvent) -> None:
        self.items.append(event.task.session_id)

    def session_event(self, event: SessionEvent) -> None:
        self.items.append(event.kind)

    def synced(self) -> None:
        self.items.append("synced")

    def failed(self, error: Exception) -> None:
        self.items.append("failed")

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        self.items.append(("reset", session_id, epoch))

    def drift(self, event: TaskEvent, delivered: TaskState) -> None:
        self.items.append(("drift", event.task.id, delivered))

    def missed(self, missed: object) -> None:
        self.items.append(missed)

    def stalled(self, event: TaskEvent) -> None:
        self.items.append(("stalled", event.task.id))


@pytest.fixture
def subscribed() -> tuple[Subscribers, Heard, Subscription]:
    subscribers, heard = Subscribers(), Heard()
    one = Subscription(Scope(application="app"), heard)
    subscribers.add(one)
    return subscribers, heard, one


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        (Scope(), True),
        (Scope(application="app"), True),
        (Scope(application="other"), False),
        (Scope(session="s1"), True),
        (Scope(session="s2"), False),
        (Scope(application="app", session="s2"), False),
    ],
)
def test_a_scope_covers_what_it_names(scope: Scope, covers: bool) -> None:
    assert scope.covers("s1", "app") is covers


def test_events_outside_the_scope_are_not_delivered(subscribed) -> None:
    subscribers, heard, _ = subscribed
    for application in ("app", "other"):
        event = TaskEvent(kind=EventKind.ADDED, task=made_task(), application=application)
        subscribers.emit(event)
    assert heard.items == ["s1"]


def test_synced_comes_once_after_every_session_is_current(subscribed) -> None:
    subscribers, heard, one = subscribed
    store = Store()
    for name in ("a", "b"):
        store.observe_session(made_session(name), Window(0, 0))
    store.observe_session(made_session("c", application="other"), Window(0, 0))
    assert subscribers.newcomers() == [one]
    subscribers.polled(one, store.sessions.values(), outdated={"a", "b", "c"})
    assert subscribers.newcomers() == []
    subscribers.session_current("a")
    assert heard.items == []
    subscribers.session_current("b")
    subscribers.session_current("b")
    assert heard.items == ["synced"]


def test_an_empty_engine_is_synced_at_once(subscribed) -> None:
    subscribers, heard, one = subscribed
    subscribers.polled(one, [], ())
    assert heard.items == ["synced"]


def test_a_removed_subscription_receives_nothing(subscribed) -> None:
    subscribers, heard, one = subscribed
    assert subscribers.remove(one)
    assert not subscribers.remove(one)
    kind = SessionEventKind.OPENED
    subscribers.emit_session(SessionEvent(kind=kind, session=made_session()))
    subscribers.failed(UnavailableError("away"))
    assert heard.items == []


def test_what_was_there_before_is_flagged_for_each_on_its_own(subscribed) -> None:
    """Ids are dense: those up to the first poll's count were there, later ones were not."""
    subscribers, _, one = subscribed

    class Flags(Heard):
        def task_event(self, event: TaskEvent) -> None:
            self.items.append((event.task.id, event.initial))

    late = Flags()
    subscribers.add(Subscription(Scope(), late))
    one.awaiting = set()
    store = Store()
    store.observe_session(made_session("s1", TaskCounts(1, 1)), Window(0, 0))
    (newcomer,) = subscribers.newcomers()
    subscribers.polled(newcomer, store.sessions.values(), outdated={"s1"})
    for number in (2, 3):
        event = TaskEvent(kind=EventKind.ADDED, task=made_task(number), application="app")
        subscribers.emit(event)
    event = TaskEvent(kind=EventKind.UPDATED, task=made_task(1), application="app")
    subscribers.emit(event)
    assert late.items == [("2", True), ("3", False), ("1", False)]


def test_each_subscription_gets_its_own_answer_to_what_of_a_list_is_initial() -> None:
    store, subscribers, found = Store("e"), Subscribers(), []

    class Noting(Heard):
        def task_event(self, event: TaskEvent) -> None:
            self.items.append((event.task.id, event.initial))

    store.observe_session(made_session(), Window(0, 0))
    record = store.session("s1")
    for total in (3, 1, 0):
        heard = Noting()
        one = Subscription(Scope(session="s1"), heard)
        one.pictured, one.present = True, {"s1": (record.epoch, TaskCounts(total))}
        subscribers.add(one)
        found.append(heard)
    elsewhere = Noting()
    subscribers.add(Subscription(Scope(session="s2"), elsewhere))
    assert subscribers.initial_up_to(record) == 3
    tasks = [made_task(number, TaskState.PENDING) for number in (1, 2, 4)]
    emit, window = subscribers.adding(record), Window(1, 1)
    store.observe_list(record, tasks, window, EventSource.LIST, initial=3, emit=emit)
    assert [[initial for _, initial in heard.items] for heard in found] == [
        [True, True, False],
        [True, False, False],
        [False, False, False],
    ]
    assert elsewhere.items == []


def test_of_a_session_that_came_again_nothing_is_initial() -> None:
    one = Subscription(Scope(), Heard())
    assert one.initial_up_to("s1", 0) == float("inf"), "no poll was made for it"
    one.pictured, one.present = True, {"s1": (0, TaskCounts(5))}
    assert (one.initial_up_to("s1", 0), one.initial_up_to("s1", 1)) == (5, 0)
    assert one.initial_up_to("s2", 0) == 0
