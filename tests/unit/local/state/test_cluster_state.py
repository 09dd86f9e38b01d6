"""The rules of the embedded cluster that recordings do not show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.written import Written

from flamepy.local.state.cluster_state import (
    BIND_FAILED,
    RETRY_LIMIT_REACHED,
    ClusterState,
    task_number,
)
from flamepy.local.state.refusal import Refusal
from flamepy.types import (
    ApplicationAttributes,
    Node,
    NodeState,
    ResourceRequirement,
    SessionAttributes,
    SessionState,
    TaskState,
)

NODE = Node("n", NodeState.READY, ResourceRequirement(2), ResourceRequirement(2))


@pytest.fixture
def state() -> Written:
    made = Written(ClusterState(NODE, now=lambda: 1_700_000_000_123))
    made.register_application("app", ApplicationAttributes(command="x"))
    made.create_session("s", SessionAttributes("app"))
    return made


def run(state: Written, code: int = 0, output: bytes | None = None, text: str | None = None):
    executor = state.add_executor("e", "s")
    task = state.launch(executor)
    assert task is not None
    state.complete(executor, code, output, text)
    return state.get_task("s", task.id)


def test_tasks_start_lowest_number_first(state: Written) -> None:
    for _ in range(3):
        state.create_task("s", b"x")
    executor = state.add_executor("e", "s")
    started = []
    while (task := state.launch(executor)) is not None:
        started.append(task.id)
        state.complete(executor, 0, None, None)
    assert started == ["1", "2", "3"]


def test_a_task_that_fails_keeps_the_services_text(state: Written) -> None:
    state.create_task("s", b"x")
    task = run(state, -1, text="boom")
    assert (task.state, task.error) == (TaskState.FAILED, "boom")
    assert [event.code for event in task.events] == [0, 1, 3]


def test_an_empty_output_is_an_unset_output(state: Written) -> None:
    state.create_task("s", b"x")
    assert run(state, 0, b"").output is None


def test_times_are_whole_seconds(state: Written) -> None:
    assert state.get_session("s").creation_time.microsecond == 0


def test_a_session_gets_no_executors_after_five_failed_binds(state: Written) -> None:
    for number in range(7):
        state.bind_failed(state.add_executor(f"e{number}", "s"), 11, "no such command")
    codes = [event.code for event in state.get_session("s").events]
    assert codes.count(RETRY_LIMIT_REACHED) == 1
    assert codes.count(BIND_FAILED) == 7
    assert codes.index(RETRY_LIMIT_REACHED) == 5
    assert state.exhausted(state.sessions["s"])


def test_a_closed_session_with_a_task_on_its_way_cannot_be_deleted(state: Written) -> None:
    state.create_task("s", b"x")
    state.close_session("s")
    state.sessions["s"].move(state.sessions["s"].tasks[1], TaskState.PENDING)
    with pytest.raises(Refusal, match="non-terminal"):
        state.delete_session("s")


def test_sessions_go_with_their_application(state: Written) -> None:
    state.close_session("s")
    assert state.unregister_application("app") == ["s"]
    assert state.list_sessions() == []


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("-1", -1), ("+2", 2), ("007", 7)])
def test_task_ids_as_the_engine_reads_them(text: str, number: int) -> None:
    assert task_number(text) == number


@pytest.mark.parametrize("text", ["", "abc", " 1", "1.5", "٣", "9" * 30])
def test_other_texts_are_no_task_ids(text: str) -> None:
    with pytest.raises(Refusal, match="invalid task id"):
        task_number(text)


STEPS = st.lists(st.sampled_from(["create", "start", "succeed", "fail", "close"]), max_size=40)


@given(STEPS)
def test_the_counters_are_the_tasks(steps: list[str]) -> None:
    """After any sequence of steps: counters equal a count, and an end is for ever."""
    state = Written(ClusterState(NODE, now=lambda: 0))
    state.register_application("app", ApplicationAttributes())
    state.create_session("s", SessionAttributes("app"))
    executor = state.add_executor("e", "s")
    ended: dict[str, TaskState] = {}
    for step in steps:
        try:
            if step == "create":
                state.create_task("s", None)
            elif step == "start" and executor.task is None:
                state.launch(executor)
            elif step in ("succeed", "fail") and executor.task is not None:
                state.complete(executor, 0 if step == "succeed" else -1, None, "t")
            elif step == "close":
                state.close_session("s")
        except Refusal:
            continue
        tasks = state.list_tasks("s")
        info = state.get_session("s")
        assert info.counts.total == len(tasks)
        for task in tasks:
            assert (
                ended.setdefault(task.id, task.state) == task.state
                or not ended[task.id].is_terminal
            )
            if task.state.is_terminal:
                ended[task.id] = task.state
            else:
                ended.pop(task.id, None)
        if info.state == SessionState.CLOSED:
            assert not info.counts.pending
