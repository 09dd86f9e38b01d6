"""Tasks: docs/protocol.md#tasks, #watch, #list, #limits."""

from __future__ import annotations

import concurrent.futures

import pytest
from contract.conftest import Target

from flamepy.core import TaskState
from flamepy.errors import (
    InvalidArgumentError,
    SessionClosedError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (b"echo hi", b"hi"),
        (b"anything else", b"anything else"),
        (b"", None),
        (b"none", None),
        (b"empty", None),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"echo b"), b"b"),
    ],
)
def test_bytes_in_bytes_out(target: Target, application: str, given: bytes, output) -> None:
    """An empty payload and an absent one are the same: unset (docs/protocol.md#tasks)."""
    with target.connection.create_session(application) as session:
        assert session.invoke(given, timeout=60) == output


def test_ids_count_from_one_within_a_session(target: Target, application: str) -> None:
    with target.connection.create_session(application, max_instances=0) as session:
        assert [session.create_task(b"echo x").id for _ in range(3)] == ["1", "2", "3"]


def test_a_finished_task_shows_its_life(target: Target, application: str) -> None:
    """Events are in GetTask (docs/protocol.md#events)."""
    with target.connection.create_session(application) as session:
        task = session.create_task(b"echo x")
        assert (task.state, list(task.events)) == (TaskState.PENDING, [])
        list(session.watch_task(task.id, timeout=60))
        done = session.get_task(task.id)
    assert (done.state, done.input, done.output) == (TaskState.SUCCEED, b"echo x", b"x")
    assert done.completion_time is not None
    assert [(event.code, event.message) for event in done.events] == [
        (0, "Task was created with state <Pending>"),
        (1, "Task state was updated to <Running>"),
        (2, "Task was completed with state <Succeed>"),
    ]


@pytest.mark.parametrize("text", ["boom", "", "zwei\nZeilen ü"])
def test_a_failure_carries_the_services_text(target: Target, application: str, text: str) -> None:
    with target.connection.create_session(application) as session:
        with pytest.raises(TaskFailedError) as caught:
            session.invoke(b"fail " + text.encode(), timeout=60)
        assert session.invoke(b"echo after", timeout=60) == b"after", "the service goes on"
    assert caught.value.task.error == text
    assert caught.value.message == text if text else "bare assert" in caught.value.message


def test_a_watch_shows_each_state_and_ends(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        task = session.create_task(b"sleep 500")
        states = [update.state.name for update in session.watch_task(task.id, timeout=60)]
    assert states[-1] == "SUCCEED"
    assert states == sorted(set(states), key=["PENDING", "RUNNING", "SUCCEED"].index)


def test_a_list_has_every_task_by_number(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        futures = [session.run(f"echo {n}".encode()) for n in range(20)]
        concurrent.futures.wait(futures, timeout=60)
        tasks = list(session.list_tasks())
    assert [task.id for task in tasks] == [str(n) for n in range(1, 21)]
    assert [task.output for task in tasks] == [str(n).encode() for n in range(20)]


def test_unknown_tasks_are_said(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        with pytest.raises(TaskNotFoundError):
            session.get_task("1")
        with pytest.raises(TaskNotFoundError):
            list(session.watch_task("99", timeout=20))
        with pytest.raises(InvalidArgumentError):
            session.get_task("abc")


def test_a_close_cancels_what_waits(target: Target, application: str) -> None:
    session = target.connection.create_session(application, max_instances=0)
    future = session.run(b"echo never")
    session.close()
    with pytest.raises(TaskCancelledError):
        future.result(60)
    with pytest.raises(SessionClosedError):
        session.create_task(b"echo x")
    assert session.get_task("1").state is TaskState.CANCELLED


def test_large_payloads_travel_and_too_large_ones_are_refused(
    target: Target, application: str
) -> None:
    """docs/protocol.md#limits: 4 MiB a message, 64 KiB of it kept for the rest."""
    limit = 4 * 1024 * 1024 - 64 * 1024
    with target.connection.create_session(application) as session:
        data = b"len " + b"y" * (limit - 4)
        assert session.invoke(data, timeout=60) == str(limit).encode()
        result = session.invoke(f"size {limit}".encode(), timeout=60)
        assert len(result or b"") == limit
        with pytest.raises(InvalidArgumentError, match="object cache"):
            session.run(data + b"y")
        with pytest.raises(TaskFailedError, match=r"message length too large.*put_object"):
            session.invoke(f"size {4 * 1024 * 1024 + 1}".encode(), timeout=60)
