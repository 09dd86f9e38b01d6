"""A waiter receives the states of its task, and not of another one under its id."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from flamepy.errors import FlameError, SessionLostError
from flamepy.types import Task, TaskState
from flamepy.watching.state.waiters import Waiters

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Waiting:
    def __init__(self) -> None:
        self.received: list[Task | FlameError] = []

    def changed(self, task: Task) -> None:
        self.received.append(task)

    def lost(self, error: FlameError) -> None:
        self.received.append(error)


@pytest.fixture
def waiters() -> Waiters:
    return Waiters()


@pytest.mark.parametrize(("later", "lost"), [(0.0, False), (1.0, False), (9.0, True), (-9.0, True)])
def test_another_task_of_the_id_loses_it(waiters: Waiters, later: float, lost: bool) -> None:
    waiting = Waiting()
    waiters.add("s", 1, waiting).born = NOW
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=later))
    waiters.deliver(task)
    assert isinstance(waiting.received[0], SessionLostError) is lost
    assert len(waiting.received) == 1
    assert not waiters


@pytest.mark.parametrize(("later", "lost"), [(-60.0, False), (1.0, False), (9.0, True)])
def test_a_session_that_is_younger_than_a_task_is_another(
    waiters: Waiters, later: float, lost: bool
) -> None:
    waiting, unknown = Waiting(), Waiting()
    waiters.add("s", 1, waiting).born = NOW
    waiters.add("s", 2, unknown)
    for _ in range(2):
        waiters.lose_older("s", NOW + timedelta(seconds=later))
    assert [type(one) for one in waiting.received] == [SessionLostError] * lost
    assert unknown.received == []


@pytest.mark.parametrize("newer_first", [False, True])
def test_of_two_tasks_of_one_id_the_older_is_lost(waiters: Waiters, newer_first: bool) -> None:
    older, newer = Waiting(), Waiting()
    both = [(older, NOW), (newer, NOW + timedelta(seconds=9))]
    for waiting, born in reversed(both) if newer_first else both:
        waiters.add("s", 1, waiting, born)
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=9))
    waiters.deliver(task)
    assert [type(one) for one in older.received] == [SessionLostError]
    assert newer.received == [task]


def test_callers_that_block_are_counted_until_the_end_of_their_task(waiters: Waiters) -> None:
    both = [waiters.add("s", number, Waiting()) for number in (1, 2)]
    for interest in (*both, both[0]):
        waiters.block(interest)
    assert (waiters.blocking_in("s"), waiters.blocking_in("another")) == (2, 0)
    waiters.deliver(Task("1", "s", TaskState.SUCCEED, NOW))
    assert waiters.blocking_in("s") == 1
