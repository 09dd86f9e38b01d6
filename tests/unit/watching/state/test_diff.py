"""What differs between two pictures of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from support.made import made_session

from flamepy.types import Event, SessionState, TaskCounts
from flamepy.watching.state.diff import engine_events, is_drained, missing, session_changes
from flamepy.watching.state.events import SessionEventKind, Window


@dataclass
class Seen:
    number: int
    seen_at: float


def test_a_session_first_seen_closed_was_opened_and_closed() -> None:
    kinds = session_changes(None, made_session(state=SessionState.CLOSED))
    assert kinds == [SessionEventKind.OPENED, SessionEventKind.CLOSED]


def test_nothing_new_is_no_change() -> None:
    assert session_changes(made_session(), made_session()) == []
    closed = made_session(state=SessionState.CLOSED)
    assert session_changes(closed, closed) == [], "it was closed before"


def test_progress_is_a_change_of_the_counters() -> None:
    assert session_changes(made_session(), made_session(counts=TaskCounts(1))) == [
        SessionEventKind.PROGRESS
    ]


def test_only_what_was_seen_before_the_list_was_sent_can_be_missing() -> None:
    known = [Seen(1, 0.0), Seen(2, 0.0), Seen(3, 5.0), Seen(4, 4.0)]
    assert missing(known, {1}, Window(4.0, 6.0)) == [2, 4]


def test_each_record_of_the_engine_is_news_once() -> None:
    first, second = Event(1001, "no such command"), Event(1002, "retry limit reached")
    assert engine_events((), (first, first)) == [first, first]
    assert engine_events((first, first), (first, first, second)) == [second]
    assert engine_events((first,), (first, first, second)) == [first, second]
    assert engine_events((first, second), (second, first)) == []


def test_a_session_without_tasks_is_not_drained() -> None:
    assert not is_drained(made_session())
    assert not is_drained(made_session(counts=TaskCounts(0, 1, 5)))
    assert is_drained(made_session(counts=TaskCounts(0, 0, 3, 1, 1)))
