"""``task.payload()``: what a task got and gave, for informers; nothing is unpickled unasked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import cloudpickle
import pytest

from flamepy.errors import InvalidArgumentError, InvalidStateError, PickleRefusedError
from flamepy.runner import RunnerError, RunnerRequest
from flamepy.types import Task, TaskState

CALL = cloudpickle.dumps(RunnerRequest("add", (1,), {"b": 2}))
TASK = Task("1", "s", TaskState.SUCCEED, datetime.now(timezone.utc), CALL, cloudpickle.dumps(3))


class Trap:
    def __reduce__(self) -> object:
        return pytest.fail, ("it was unpickled",)


def test_nothing_is_unpickled_unless_it_is_allowed() -> None:
    with pytest.raises(PickleRefusedError, match=r"task s/1 .* pass allow_pickle=True"):
        replace(TASK, output=cloudpickle.dumps(Trap())).payload()


def test_the_output_of_a_task_that_has_one_else_its_input() -> None:
    assert TASK.payload(allow_pickle=True) == {"type": "output", "result": 3, "metadata": {}}
    call = {"type": "input", "method": "add", "args": (1,), "kwargs": {"b": 2}, "metadata": {}}
    assert TASK.payload("input", allow_pickle=True) == call
    running = replace(TASK, output=None)
    assert running.payload(allow_pickle=True) == call
    assert running.payload("output", allow_pickle=True) is None


def test_what_is_not_there_or_something_else_is_named() -> None:
    with pytest.raises(InvalidStateError, match="Reactor with payloads=True"):
        replace(TASK, payloads_loaded=False).payload(allow_pickle=True)
    with pytest.raises(InvalidArgumentError, match="'input' or 'output', got 'result'"):
        TASK.payload("result", allow_pickle=True)
    with pytest.raises(RunnerError, match="not valid ObjectRef or pickled data"):
        replace(TASK, output=b"text").payload(allow_pickle=True)
