"""What differs between two pictures of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from support.made import made_session

from flamepy.types import SessionState, TaskCounts
from flamepy.watching.diff import missing, session_changes
from flamepy.watching.events import SessionEventKind, Window


@dataclass
class Seen:
    seen_at: float


def test_a_session_first_seen_closed_was_opened_and_closed() -> None:
    kinds = session_changes(None, made_session(state=SessionState.CLOSED))
    assert kinds == [SessionEventKind.OPENED, SessionEventKind.CLOSED]


def test_nothing_new_is_no_change() -> None:
    assert session_changes(made_session(), made_session()) == []


def test_progress_is_a_change_of_the_counters() -> None:
    assert session_changes(made_session(), made_session(counts=TaskCounts(1))) == [
        SessionEventKind.PROGRESS
    ]


def test_only_what_was_seen_before_the_list_was_sent_can_be_missing() -> None:
    known = {1: Seen(0.0), 2: Seen(0.0), 3: Seen(5.0)}
    assert list(missing(known, {1}, Window(4.0, 6.0))) == [2]
