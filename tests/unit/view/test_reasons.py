"""A session's reason names what keeps it, in the words of the engine where it has some."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.made import START, made_session

from flamepy.types import Event, SessionState, TaskCounts
from flamepy.view.reasons import Level, Situation, duration, reason_of

LIMIT = Event(1002, "bind limit 5/5", START)
FAILED = Event(1001, "exit code 3", START)


@pytest.mark.parametrize(
    ("counts", "events", "situation", "level", "text"),
    [
        ((2,), (FAILED, LIMIT), {}, "attention", "no executor: exit code 3 (bind limit 5/5)"),
        ((2,), (FAILED,), {}, "attention", "no executor: exit code 3"),
        ((2,), (), {}, "waiting", "waiting for an executor"),
        ((2,), (), {"idle": 65.0}, "waiting", "waiting for an executor for 1 min"),
        (
            (2,),
            (),
            {"executors": 0, "free": 0},
            "waiting",
            "waiting for an executor; every executor serves another session",
        ),
        (
            (2,),
            (),
            {"idle": None, "executors": 0, "free": 0, "starting": True},
            "waiting",
            "waiting for an executor; one starts its service",
        ),
        ((0, 0, 4), (), {"idle": None}, "idle", "open, idle"),
        ((), (), {"idle": None}, "idle", "open, no task yet"),
        ((2,), (), {"executors": 1}, "running", "2 tasks going to executors"),
        ((2, 1), (FAILED,), {"executors": 3}, "running", "1 running on 3 executors, 2 waiting"),
        ((0, 1), (), {}, "running", "the last 1 task running"),
        ((0, 1), (), {"overdue": "end within 5"}, "attention", "overdue: end within 5"),
        ((1, 0), (), {"overdue": "start"}, "attention", "overdue: start"),
        (
            (0, 2),
            (),
            {"idle": 720.0},
            "attention",
            "nothing has ended for 12 min; 2 running",
        ),
        ((0, 0, 4), (), {"idle": 3 * 3600.0}, "idle", "open, idle 3 h"),
        ((), (), {"idle": 5.0}, "idle", "open, no task yet for 5 s"),
    ],
)
def test_an_open_session(
    counts: tuple[int, ...],
    events: tuple[Event, ...],
    situation: dict[str, float],
    level: str,
    text: str,
) -> None:
    info = made_session(counts=TaskCounts(*counts), events=events)
    found = reason_of(info, Situation(**situation))  # type: ignore[arg-type]
    assert (found.level, found.text) == (level, text)


def test_all_executors_that_it_may_have() -> None:
    info = replace(made_session(counts=TaskCounts(2, 1)), max_instances=1)
    text = "1 running on 1 executor, 2 waiting"
    assert reason_of(info, Situation(executors=1)).text == f"{text} (max_instances is 1)"
    assert reason_of(info, Situation(executors=None)).text == "1 running, 2 waiting"


def test_no_instance_allowed() -> None:
    info = replace(made_session(counts=TaskCounts(pending=1)), max_instances=0)
    assert reason_of(info, Situation()).text == "no executor: max_instances is 0"


def test_a_closed_session() -> None:
    closed = made_session(state=SessionState.CLOSED, counts=TaskCounts(running=2))
    assert reason_of(closed, Situation()).text == "closed; 2 tasks still running"
    done = reason_of(made_session(state=SessionState.CLOSED), Situation(closed_for=90_000.0))
    assert (done.level, done.text) == (Level.DONE, "closed 1 d ago")


def test_a_text_of_the_engine_is_cut() -> None:
    event = Event(1001, "failed: " + "x" * 10_000 + " No module named y", START)
    info = made_session(counts=TaskCounts(pending=1), events=(event,))
    text = reason_of(info, Situation()).text
    assert len(text) == 300
    assert text.startswith("no executor: failed: x")
    assert text.endswith(" No module named y"), "the end of a service's stderr says why"


def test_durations_for_people() -> None:
    assert [duration(one) for one in (3.4, 120, 7_200, 200_000)] == ["3 s", "2 min", "2 h", "2 d"]
