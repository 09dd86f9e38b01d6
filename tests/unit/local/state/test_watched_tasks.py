"""One stream of WatchTasks: what it sends, in which state, and what ends it."""

from __future__ import annotations

import pytest

from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import SessionRow, TaskRow
from flamepy.local.state.watched_tasks import WatchedTasks
from flamepy.types import ResourceRequirement, SessionState, TaskState

RUNNING, SUCCEED = TaskState.RUNNING, TaskState.SUCCEED


def session(name: str, tasks: int = 2) -> SessionRow:
    row = SessionRow(name, "app", 0, None, 0, None, 0, ResourceRequirement(), 1)
    for number in range(1, tasks + 1):
        row.add(TaskRow(number, name, None, 0))
    return row


@pytest.fixture
def sessions() -> dict[str, SessionRow]:
    return {"s": session("s"), "other": session("other")}


@pytest.fixture
def tasks(sessions: dict[str, SessionRow]) -> WatchedTasks:
    return WatchedTasks(sessions)


def taken(tasks: WatchedTasks) -> list[tuple[int, TaskState]]:
    rows = iter(tasks.take, None)
    return [(one.number, one.state) for one in rows]


def test_each_registration_is_answered_with_the_present_state(tasks: WatchedTasks) -> None:
    tasks.register("s", "2")
    tasks.register("s", "1")
    assert taken(tasks) == [(2, TaskState.PENDING), (1, TaskState.PENDING)]
    tasks.register("s", "2")
    assert taken(tasks) == [(2, TaskState.PENDING)], "again, when it is asked for again"


def test_changes_of_registered_tasks_alone_are_sent(
    sessions: dict[str, SessionRow], tasks: WatchedTasks
) -> None:
    tasks.register("s", "1")
    assert taken(tasks)
    assert not tasks.changed(2)
    sessions["s"].move(sessions["s"].tasks[1], RUNNING)
    assert tasks.changed(1)
    assert taken(tasks) == [(1, RUNNING)]


def test_a_state_is_read_when_it_is_sent(
    sessions: dict[str, SessionRow], tasks: WatchedTasks
) -> None:
    tasks.register("s", "1")
    for state in (RUNNING, SUCCEED):
        sessions["s"].move(sessions["s"].tasks[1], state)
        tasks.changed(1)
    assert taken(tasks) == [(1, SUCCEED)]


def test_a_terminal_state_is_the_last_of_its_task(
    sessions: dict[str, SessionRow], tasks: WatchedTasks
) -> None:
    tasks.register("s", "1")
    tasks.register("s", "2")
    sessions["s"].move(sessions["s"].tasks[1], SUCCEED)
    assert taken(tasks) == [(1, SUCCEED), (2, TaskState.PENDING)]
    assert not tasks.finished
    assert not tasks.changed(1)
    sessions["s"].move(sessions["s"].tasks[2], SUCCEED)
    assert tasks.changed(2)
    assert taken(tasks) == [(2, SUCCEED)]
    assert tasks.finished


@pytest.mark.parametrize(
    ("session_id", "task_id", "code", "text"),
    [
        ("other", "1", "INVALID_ARGUMENT", "all watched tasks must be in one session"),
        ("s", "one", "INVALID_ARGUMENT", "invalid task id"),
        ("s", "3", "NOT_FOUND", "3"),
    ],
)
def test_a_bad_registration_is_refused(
    tasks: WatchedTasks, session_id: str, task_id: str, code: str, text: str
) -> None:
    tasks.register("s", "1")
    with pytest.raises(Refusal) as caught:
        tasks.register(session_id, task_id)
    assert (caught.value.code, caught.value.message) == (code, text)


def test_unknown_and_closed_sessions_are_refused(
    sessions: dict[str, SessionRow], tasks: WatchedTasks
) -> None:
    with pytest.raises(Refusal) as caught:
        tasks.register("absent", "1")
    assert (caught.value.code, caught.value.message) == ("NOT_FOUND", "absent")
    sessions["s"].move(sessions["s"].tasks[1], SUCCEED)
    sessions["s"].state = SessionState.CLOSED
    with pytest.raises(Refusal) as caught:
        tasks.register("s", "1")
    assert (caught.value.code, caught.value.message) == ("NOT_FOUND", "session is closed")


def test_a_close_sends_each_task_once_more(tasks: WatchedTasks) -> None:
    tasks.register("s", "1")
    tasks.register("s", "2")
    assert len(taken(tasks)) == 2
    tasks.close()
    assert [number for number, _ in taken(tasks)] == [1, 2]
    assert tasks.ending is not None
    assert tasks.ending.message == "session task watch closed"


def test_a_deleted_session_ends_it_at_once(tasks: WatchedTasks) -> None:
    tasks.register("s", "1")
    tasks.forget()
    assert taken(tasks) == []
    assert tasks.ending is not None
    assert (tasks.ending.code, tasks.ending.message) == ("NOT_FOUND", "session task watch closed")
