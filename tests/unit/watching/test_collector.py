"""Who waits for a task is told of that task, and not of another one under its id."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flamepy.errors import FlameError, SessionLostError
from flamepy.types import Task, TaskState
from flamepy.watching.collector import Collector
from flamepy.watching.crowding import FEW

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Waiting:
    def __init__(self) -> None:
        self.told: list[Task | FlameError] = []

    def changed(self, task: Task) -> None:
        self.told.append(task)

    def lost(self, error: FlameError) -> None:
        self.told.append(error)


@pytest.fixture
def collector() -> Collector:
    nothing: Any = None  # without streams nothing is asked
    return Collector(nothing, nothing, observe=nothing, clock=lambda: 0.0, spawn=nothing, budget=0)


@pytest.mark.parametrize(("later", "lost"), [(0.0, False), (1.0, False), (9.0, True), (-9.0, True)])
def test_another_task_of_the_id_loses_it(collector: Collector, later: float, lost: bool) -> None:
    waiting = Waiting()
    collector.add("s", 1, waiting).born = NOW
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=later))
    collector.tell(task)
    assert isinstance(waiting.told[0], SessionLostError) is lost
    assert len(waiting.told) == 1
    assert not collector


@pytest.mark.parametrize(("later", "lost"), [(-60.0, False), (1.0, False), (9.0, True)])
def test_a_session_that_is_younger_than_a_task_is_another(
    collector: Collector, later: float, lost: bool
) -> None:
    waiting, unknown = Waiting(), Waiting()
    collector.add("s", 1, waiting).born = NOW
    collector.add("s", 2, unknown)
    for _ in range(2):
        collector.lose_older("s", NOW + timedelta(seconds=later))
    assert [type(one) for one in waiting.told] == [SessionLostError] * lost
    assert unknown.told == []


@pytest.mark.parametrize("newer_first", [False, True])
def test_of_two_tasks_of_one_id_the_older_is_lost(collector: Collector, newer_first: bool) -> None:
    older, newer = Waiting(), Waiting()
    both = [(older, NOW), (newer, NOW + timedelta(seconds=9))]
    for waiting, born in reversed(both) if newer_first else both:
        collector.add("s", 1, waiting, born)
    task = Task("1", "s", TaskState.SUCCEED, NOW + timedelta(seconds=9))
    collector.tell(task)
    assert [type(one) for one in older.told] == [SessionLostError]
    assert newer.told == [task]


class Streams:
    """A collector of tasks that are awaited together, and how many streams it opens."""

    def __init__(self, awaited: int) -> None:
        nothing: Any = None
        self.opened = self.crowded = 0
        self.collector = Collector(
            nothing, nothing, observe=nothing, clock=lambda: 0.0, spawn=self.spawn
        )
        for number in range(1, awaited + 1):
            self.collector.add("s", number, Waiting(), alone=False)
        self.collector.crowded = self.crowd

    def spawn(self, watch: Coroutine[object, object, None]) -> Any:
        watch.close()
        self.opened += 1
        return self

    def add_done_callback(self, function: object) -> None:
        """Never end."""

    def crowd(self) -> None:
        self.crowded += 1


def test_who_is_awaited_among_others_gets_a_stream_once_a_caller_blocks() -> None:
    streams = Streams(FEW)
    assert streams.opened == 0, "it may have ended before anybody looks"
    for _ in range(2):
        streams.collector.hasten("s", 2)
    assert (streams.opened, streams.crowded) == (1, 0)
    streams.collector.hasten("s", FEW + 1)
    streams.collector.hasten("another", 1)
    assert streams.opened == 1, "nobody waits for those"


def test_who_blocks_gets_no_other_stream_where_streams_were_no_use() -> None:
    streams = Streams(1)
    useless = streams.collector.get("s", 1)
    assert useless is not None
    useless.useless = True
    streams.collector.hasten("s", 1)
    assert streams.opened == 0


def test_in_a_crowd_who_blocks_is_gathered_with_the_others() -> None:
    streams = Streams(FEW + 1)
    streams.collector.hasten("s", 2)
    assert (streams.opened, streams.crowded) == (0, 1)


def test_streams_are_shared_up_to_a_number() -> None:
    streams = Streams(3 * FEW)
    for _ in range(2):
        streams.collector.share("s", FEW)
    assert streams.opened == FEW
    streams.collector.share("s")
    assert streams.opened == 3 * FEW
