"""Who waits for a task is told of that task, and not of another one under its id."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from flamepy.errors import FlameError, SessionLostError
from flamepy.types import Task, TaskState
from flamepy.watching.state.waiters import Waiters

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Waiting:
    def __init__(self) -> None:
        self.told: list[Task | FlameError] = []

    def changed(self, task: Task) -> None:
        self.told.append(task)

    def lost(self, error: FlameError) -> None:
        self.told.append(error)


@pytest.fixture
def interests() -> Waiters:
    return Waiters()


@pytest.mark.parametrize(("later", "lost"), [(0.0, False), (1.0, False), (9.0, True), (-9.0, True)])
def test_another_task_of_the_id_loses_it(interests: Waiters, later: float, lost: bool) -> None:
    waiting = Waiting()
    interests.add("s", 1, waiting).born = NOW
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=later))
    interests.deliver(task)
    assert isinstance(waiting.told[0], SessionLostError) is lost
    assert len(waiting.told) == 1
    assert not interests


@pytest.mark.parametrize(("later", "lost"), [(-60.0, False), (1.0, False), (9.0, True)])
def test_a_session_that_is_younger_than_a_task_is_another(
    interests: Waiters, later: float, lost: bool
) -> None:
    waiting, unknown = Waiting(), Waiting()
    interests.add("s", 1, waiting).born = NOW
    interests.add("s", 2, unknown)
    for _ in range(2):
        interests.lose_older("s", NOW + timedelta(seconds=later))
    assert [type(one) for one in waiting.told] == [SessionLostError] * lost
    assert unknown.told == []


@pytest.mark.parametrize("newer_first", [False, True])
def test_of_two_tasks_of_one_id_the_older_is_lost(interests: Waiters, newer_first: bool) -> None:
    older, newer = Waiting(), Waiting()
    both = [(older, NOW), (newer, NOW + timedelta(seconds=9))]
    for waiting, born in reversed(both) if newer_first else both:
        interests.add("s", 1, waiting, born)
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=9))
    interests.deliver(task)
    assert [type(one) for one in older.told] == [SessionLostError]
    assert newer.told == [task]


def test_callers_that_block_are_counted_until_the_end_of_their_task(interests: Waiters) -> None:
    both = [interests.add("s", number, Waiting()) for number in (1, 2)]
    for interest in (*both, both[0]):
        interests.block(interest)
    assert (interests.blocking_in("s"), interests.blocking_in("another")) == (2, 0)
    interests.deliver(Task("1", "s", TaskState.SUCCEED, NOW))
    assert interests.blocking_in("s") == 1
