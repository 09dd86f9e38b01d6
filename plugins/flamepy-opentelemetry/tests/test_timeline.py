"""Which spans follow from which events, with which edges from where."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flamepy_opentelemetry.timeline import SECOND, Edge, Timeline, nanoseconds, refined

from flamepy.types import Event, Task, TaskState

BORN = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
START = nanoseconds(BORN)
ENDED = BORN + timedelta(seconds=10)
END = nanoseconds(ENDED)
Edges = dict[str, tuple[Edge, Edge]]


def task(state: TaskState = TaskState.SUCCEED, **changes: Any) -> Task:
    given: dict[str, Any] = {"creation_time": BORN, "completion_time": ENDED, **changes}
    return Task(id="1", session_id="s", state=state, **given)


def saw(line: Timeline, state: TaskState, seconds: float, **how: bool) -> list[Any]:
    options = {"inferred": False, "live": True, **how}
    return line.saw(state, START + int(seconds * SECOND), **options)


def edges(line: Timeline, ended: Task, seconds: float = 10.1) -> Edges:
    pieces = line.ended(ended, START + int(seconds * SECOND))
    return {one.identity: (one.start, one.end) for one in pieces}


def at(seconds: float, source: Any) -> Edge:
    return Edge(START + int(seconds * SECOND), source)


def test_what_was_seen_is_observed_and_creation_and_end_are_the_engines() -> None:
    line = Timeline()
    saw(line, TaskState.PENDING, 0.1)
    saw(line, TaskState.RUNNING, 4)
    assert edges(line, task()) == {
        "task": (at(0, "engine"), at(10, "engine")),
        "queued": (at(0, "engine"), at(4, "observed")),
        "running": (at(4, "observed"), at(10, "engine")),
    }


def test_a_start_that_nobody_saw_is_inferred_from_when_it_last_waited() -> None:
    line = Timeline()
    saw(line, TaskState.PENDING, 3)
    found = edges(line, task())
    assert found["running"] == (at(3, "inferred"), at(10, "engine"))
    assert found["queued"] == (at(0, "engine"), at(3, "inferred"))
    assert edges(Timeline(), task())["running"][0] == at(0, "inferred"), "or from the creation"


def test_a_state_that_the_reactor_inferred_is_no_observation() -> None:
    line = Timeline()
    saw(line, TaskState.PENDING, 3)
    saw(line, TaskState.RUNNING, 10, inferred=True)
    assert edges(line, task())["running"][0] == at(3, "inferred")


def test_the_engines_own_record_goes_before_what_was_seen() -> None:
    line = Timeline()
    saw(line, TaskState.RUNNING, 4)
    recorded = Event(TaskState.RUNNING, "", BORN + timedelta(seconds=2))
    found = edges(line, task(TaskState.FAILED, events=[recorded]))
    assert found["running"][0] == at(2, "engine")


def test_a_cancelled_one_never_ran() -> None:
    assert set(edges(Timeline(), task(TaskState.CANCELLED))) == {"task", "queued"}


def test_one_that_the_engine_lost_ends_when_that_was_seen() -> None:
    line = Timeline()
    saw(line, TaskState.RUNNING, 4)
    found = edges(line, task(TaskState.RUNNING, completion_time=None), 7)
    assert found["task"] == (at(0, "engine"), at(7, "observed"))
    assert found["running"] == (at(4, "observed"), at(7, "observed"))
    never_ran = edges(Timeline(), task(TaskState.PENDING, completion_time=None), 7)
    assert set(never_ran) == {"task", "queued"}


def test_an_attempt_that_was_given_up_has_spans_with_ids_of_their_own() -> None:
    line = Timeline()
    saw(line, TaskState.PENDING, 0.1)
    saw(line, TaskState.RUNNING, 2)
    first, second = saw(line, TaskState.PENDING, 5)
    assert (first.identity, second.identity) == ("queued#1", "running#1")
    assert second.requeued
    assert (second.start, second.end) == (at(2, "observed"), at(5, "observed"))
    saw(line, TaskState.RUNNING, 6)
    again = saw(line, TaskState.PENDING, 7)
    assert [one.identity for one in again] == ["queued#2", "running#2"]
    assert again[0].start == at(5, "observed")
    saw(line, TaskState.RUNNING, 8)
    found = edges(line, task())
    assert found["queued"] == (at(7, "observed"), at(8, "observed"))
    assert found["running"] == (at(8, "observed"), at(10, "engine"))
    assert found["task"][0] == at(0, "engine")


@pytest.mark.parametrize("seconds", [-5, 30])
def test_edges_stay_within_the_task_whatever_the_clocks_say(seconds: float) -> None:
    line = Timeline()
    saw(line, TaskState.RUNNING, seconds)
    found = edges(line, task())
    assert found["running"][0].at == (START if seconds < 0 else END)
    backwards = edges(Timeline(), task(completion_time=BORN - timedelta(seconds=1)))
    assert all(start.at <= end.at for start, end in backwards.values())


def test_a_time_of_whole_seconds_is_refined_by_what_was_seen_within_it() -> None:
    whole = BORN.replace(microsecond=0)
    start = nanoseconds(whole)
    within, late = Edge(start + SECOND // 3, "observed"), Edge(start + SECOND, "observed")
    assert refined(whole, [late, within]) == within
    assert refined(whole, [late]) == Edge(start, "engine")
    assert refined(BORN, [Edge(START + 1, "observed")]) == Edge(START, "engine")
