"""When waiting has become pointless."""

from __future__ import annotations

from support.made import made_session, made_task

from flamepy.errors import SessionClosedError, SessionRetryLimitError
from flamepy.types import Event, SessionState, TaskCounts, TaskState
from flamepy.watching.policy.stall_detector import stalled_tasks, stuck_session
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.store import Store

PENDING, RUNNING, SUCCEED = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED

LIMIT = (Event(1001, "no such command"), Event(1002, "retry limit reached"))


def test_the_retry_limit_ends_a_wait_with_the_events_texts() -> None:
    error = stuck_session(made_session(counts=TaskCounts(1), events=LIMIT), quiet=5.0)
    assert isinstance(error, SessionRetryLimitError)
    assert "no such command" in error.message
    assert "retry limit reached" in error.message


def test_a_reason_is_reported_once_however_many_executors_met_it() -> None:
    failed = [Event(1001, f"Executor <e{n}> on node <n> failed: no {n // 4}") for n in range(6)]
    events = (*failed, Event(1002, "retry limit reached"))
    error = stuck_session(made_session(counts=TaskCounts(1), events=events), quiet=5.0)
    assert error is not None
    assert [error.message.count(text) for text in ("no 0", "no 1", "limit")] == [1, 1, 1]


def test_executors_bound_before_the_limit_keep_working() -> None:
    assert stuck_session(made_session(counts=TaskCounts(1, 1), events=LIMIT), 60.0) is None
    assert stuck_session(made_session(counts=TaskCounts(1), events=LIMIT), 0.1) is None


def test_a_closed_session_that_leaves_tasks_pending_ends_the_wait() -> None:
    closed = made_session(counts=TaskCounts(2), state=SessionState.CLOSED)
    assert isinstance(stuck_session(closed, 60.0), SessionClosedError)
    assert stuck_session(closed, 0.0) is None


def test_a_session_that_waits_for_executors_is_not_stuck() -> None:
    assert stuck_session(made_session(counts=TaskCounts(5)), 3600.0) is None


class TestStalled:
    """A pending task that sees later ones finish does not start any more."""

    def play(self, *steps: tuple[float, int, TaskState]) -> tuple[Store, SessionRecord]:
        store = Store()
        store.observe_session(made_session(counts=TaskCounts(3)), Window(0, 0))
        for at, number, state in steps:
            task = made_task(number, state)
            store.observe_task(task, Window(at, at), EventSource.PROBE)
        return store, store.session("s1")

    def test_it_is_reported_once_after_a_while(self) -> None:
        _, record = self.play((1, 1, PENDING), (1, 2, PENDING), (2, 2, SUCCEED))
        assert stalled_tasks(record, 3.0, 60.0) == []
        assert stalled_tasks(record, 62.9, 60.0) == []
        assert [known.number for known in stalled_tasks(record, 63.0, 60.0)] == [1]
        assert stalled_tasks(record, 1000.0, 60.0) == []

    def test_a_task_that_starts_in_time_is_not(self) -> None:
        store, record = self.play((1, 1, PENDING), (1, 2, PENDING), (2, 2, SUCCEED))
        stalled_tasks(record, 3.0, 60.0)
        store.observe_task(made_task(1, RUNNING), Window(4, 4), EventSource.PROBE)
        assert stalled_tasks(record, 100.0, 60.0) == []
        assert not record.overtaken

    def test_running_tasks_and_later_ones_are_not(self) -> None:
        _, record = self.play((1, 1, RUNNING), (1, 3, PENDING), (2, 2, SUCCEED))
        stalled_tasks(record, 3.0, 60.0)
        assert stalled_tasks(record, 100.0, 60.0) == []
