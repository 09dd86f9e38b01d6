"""What a look at a task's end takes for that end."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from flamepy.rpc.requests.frontend import _end_of
from flamepy.types import Task, TaskState
from flamepy.wire.services import FRONTEND

BORN = 1_700_000_000_000  # milliseconds


def shown(state: TaskState, born: int = BORN) -> Any:
    return FRONTEND["WatchTask"].response(
        metadata={"id": "1"},
        spec={"session_id": "s", "output": b"out"},
        status={"state": int(state), "creation_time": born, "completion_time": born + 5},
    )


MADE = Task("1", "s", TaskState.PENDING, datetime.fromtimestamp(BORN / 1000, timezone.utc))


def test_the_end_of_the_task_with_its_output() -> None:
    ended = _end_of(MADE, shown(TaskState.SUCCEED))
    assert ended is not None
    assert ended.output == b"out"
    assert _end_of(MADE, shown(TaskState.CANCELLED)) is not None


@pytest.mark.parametrize("state", [TaskState.PENDING, TaskState.RUNNING])
def test_no_state_before(state: TaskState) -> None:
    assert _end_of(MADE, shown(state)) is None


def test_no_failure_whose_text_is_read_by_another_call() -> None:
    assert _end_of(MADE, shown(TaskState.FAILED)) is None


def test_no_end_of_a_later_task_of_the_number() -> None:
    """An engine that lost its state numbers anew."""
    assert _end_of(MADE, shown(TaskState.SUCCEED, BORN + 60_000)) is None
