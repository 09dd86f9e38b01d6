"""What an observation leads to: events, delivered states, and as data the read that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.hearing import Heard
from support.made import made_session, made_task

from flamepy.errors import FlameError
from flamepy.types import Task, TaskCounts, TaskState
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.observer import FollowUp, Observer
from flamepy.watching.io.wakeups import Wakeups
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Scope, Subscribers, Subscription
from flamepy.watching.state.waiters import Waiters

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState


class Noted:
    """A listener that notes the states of its task."""

    def __init__(self) -> None:
        self.states: list[TaskState] = []

    def changed(self, task: Task) -> None:
        self.states.append(task.state)

    def lost(self, error: FlameError) -> None:
        raise error


class Case:
    """An observer without an engine, which it never calls; the session "s1" was seen."""

    def __init__(self) -> None:
        nothing: Any = None
        self.context = WatchContext(
            engine=nothing,
            store=Store(),
            subscribers=Subscribers(),
            waiters=Waiters(),
            wakeups=Wakeups(),
            clock=lambda: 0.0,
            spawn=nothing,
            endpoint="http://nowhere",
        )
        self.observer = Observer(self.context)
        self.heard = Heard()
        self.context.store.observe_session(made_session(counts=TaskCounts(1)), Window(0, 0))

    def subscribe(self) -> None:
        self.context.subscribers.add(Subscription(Scope(), self.heard))

    def see(self, task: Task, at: float, end: float | None = None) -> FollowUp | None:
        """Show a task as a list does, which lacks payloads and texts."""
        window = Window(at, at if end is None else end)
        bare = replace(task, payloads_loaded=False)
        return self.observer.observe(bare, window, EventSource.LIST, False)


@pytest.fixture
def case() -> Case:
    return Case()


def test_what_no_caller_needs_is_dropped(case: Case) -> None:
    assert case.see(made_task(1, FAILED, text=None), 1) is None
    assert case.context.store.session("s1").tasks == {}


def test_a_failure_without_its_text_is_held_until_that_is_read(case: Case) -> None:
    case.subscribe()
    assert case.see(made_task(1, RUNNING), 1) is None
    assert case.see(made_task(1, FAILED, text=None), 2) is FollowUp.READ_TEXT
    assert case.heard.states("1", "s1") == [RUNNING]


def test_a_contradiction_leads_to_a_probe(case: Case) -> None:
    case.subscribe()
    assert case.see(made_task(1, RUNNING), 2, 4) is None
    assert case.see(made_task(1, PENDING), 3, 5) is FollowUp.PROBE
    assert case.heard.states("1", "s1") == [RUNNING]


def test_a_waiter_gets_the_end_with_its_output_which_a_list_lacks(case: Case) -> None:
    listener = Noted()
    case.context.waiters.add("s1", 1, listener)
    assert case.see(made_task(1, RUNNING), 1) is None
    assert case.see(made_task(1, SUCCEED), 2) is FollowUp.PROBE
    assert listener.states == [RUNNING]


def test_before_its_session_was_seen_a_task_asks_for_a_poll(case: Case) -> None:
    case.subscribe()
    pulse = case.context.wakeups.poll
    pulse.interval = 1.0
    assert case.see(made_task(1, RUNNING, session="s2"), 1) is None
    assert pulse.interval == pulse.shortest
    assert case.heard.tasks == []


def test_an_id_that_is_no_number_is_ignored(case: Case) -> None:
    case.subscribe()
    assert case.see(Task("one", "s1", RUNNING, made_task(1).creation_time), 1) is None
    assert case.heard.tasks == []
