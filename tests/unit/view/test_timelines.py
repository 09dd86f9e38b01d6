"""The feed folds bursts and keeps their number; a timeline is of the newest session of an id."""

from __future__ import annotations

from support.made import made_session, made_task

from flamepy.types import SessionState, TaskState
from flamepy.view.timelines import Feed, Timelines
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent


def ended(number: int, session: str = "s1", epoch: int = 0) -> TaskEvent:
    task = made_task(number, TaskState.SUCCEED, session=session)
    return TaskEvent(kind=EventKind.UPDATED, task=task, epoch=epoch)


def test_a_burst_is_one_line_with_its_number() -> None:
    feed = Feed(10)
    for number in range(1, 51):
        feed.task_event(ended(number), 100.0 + number / 100)
        feed.task_event(ended(number, "s2"), 100.0 + number / 100)
    assert [(one.session, one.count, one.task) for one in feed.latest(10)] == [
        ("s2", 50, "50"),
        ("s1", 50, "50"),
    ]
    feed.task_event(ended(51), 200.0)
    latest = feed.latest(1)[0]
    assert (latest.count, latest.id) == (1, 3)


def test_old_lines_go_and_what_pointed_to_them_too() -> None:
    feed = Feed(3)
    for number in range(200):
        feed.task_event(ended(1, f"s{number}"), 100.0)
    assert [one.session for one in feed.latest(9)] == ["s199", "s198", "s197"]
    assert len(feed._last) <= 13
    feed.task_event(ended(2, "s198"), 100.5)
    assert [one.count for one in feed.latest(9)] == [1, 2, 1]


def test_counters_that_move_are_no_line() -> None:
    feed = Feed(5)
    for kind in SessionEventKind:
        feed.session_event(SessionEvent(kind=kind, session=made_session()), 1.0)
    assert "progress" not in {one.what for one in feed.latest(9)}
    closed = made_session(state=SessionState.CLOSED)
    before = len(feed.latest(9))
    feed.session_event(SessionEvent(kind=SessionEventKind.OPENED, session=closed), 100.0)
    assert len(feed.latest(9)) == before


def test_a_requeue_says_so() -> None:
    feed = Feed(5)
    event = TaskEvent(
        kind=EventKind.UPDATED, task=made_task(1), old=made_task(1, TaskState.RUNNING)
    )
    feed.task_event(event, 1.0)
    assert feed.latest(1)[0].what == "requeued"


def test_a_timeline_is_of_the_newest_session_of_the_id() -> None:
    lines = Timelines(10)
    lines.add(ended(1, epoch=0), 1.0, None)
    lines.add(ended(1, epoch=3), 2.0, 0.25)
    (found,) = lines.of("s1", "1")
    assert (found.at, found.late, found.state) == (2.0, 0.25, "succeed")
    assert lines.of("s1", "2") == []
