"""When waiting has become pointless."""

from __future__ import annotations

from support.made import made_session

from flamepy.errors import SessionClosedError, SessionRetryLimitError
from flamepy.types import Event, SessionState, TaskCounts
from flamepy.watching.stuck import stuck_session

LIMIT = (Event(1001, "no such command"), Event(1002, "retry limit reached"))


def test_the_retry_limit_ends_a_wait_with_the_events_texts() -> None:
    error = stuck_session(made_session(counts=TaskCounts(1), events=LIMIT), quiet=5.0)
    assert isinstance(error, SessionRetryLimitError)
    assert "no such command" in error.message
    assert "retry limit reached" in error.message


def test_executors_bound_before_the_limit_keep_working() -> None:
    assert stuck_session(made_session(counts=TaskCounts(1, 1), events=LIMIT), 60.0) is None
    assert stuck_session(made_session(counts=TaskCounts(1), events=LIMIT), 0.1) is None


def test_a_closed_session_that_leaves_tasks_pending_ends_the_wait() -> None:
    closed = made_session(counts=TaskCounts(2), state=SessionState.CLOSED)
    assert isinstance(stuck_session(closed, 60.0), SessionClosedError)
    assert stuck_session(closed, 0.0) is None


def test_a_session_that_waits_for_executors_is_not_stuck() -> None:
    assert stuck_session(made_session(counts=TaskCounts(5)), 3600.0) is None
