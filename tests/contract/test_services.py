"""How services are run: docs/protocol.md#services, #scheduling, #events."""

from __future__ import annotations

import concurrent.futures
import json

import pytest
from contract.conftest import Target
from support.waiting import eventually

from flamepy.core import TaskFuture
from flamepy.errors import SessionRetryLimitError, TaskFailedError


def test_one_process_serves_a_session_and_its_ids(target: Target, application: str) -> None:
    with target.connection.create_session(application, max_instances=1) as session:
        first, second = (session.invoke(b"pid", timeout=60) for _ in range(2))
        assert first == second
        ids = json.loads(session.invoke(b"ids", timeout=60) or b"")
    assert ids == {"task": "3", "session": session.id}


def test_max_instances_one_runs_one_at_a_time_in_order(target: Target, application: str) -> None:
    """Recorded: six tasks, at most one running at once, finished in order."""
    with target.connection.create_session(application, max_instances=1) as session:
        futures = [session.run(b"sleep 50") for _ in range(6)]
        most = 0
        while not all(one.done() for one in futures):
            most = max(most, session.refresh().running)
        concurrent.futures.wait(futures, timeout=60)
        ended = sorted(session.list_tasks(), key=lambda task: (task.completion_time, int(task.id)))
        assert [task.id for task in ended] == [str(n) for n in range(1, 7)]
    assert most <= 1


def test_two_instances_run_two_at_a_time(target: Target, application: str) -> None:
    with target.connection.create_session(application, max_instances=2) as session:
        futures = []

        def two_run() -> bool:
            if session.refresh().pending < 2:  # the second service may start as slowly as it likes
                futures.extend(session.run(b"sleep 300") for _ in range(2))
            return session.running == 2

        eventually(two_run, "two running tasks", limit=60.0)
        concurrent.futures.wait(futures, timeout=60)


def test_a_service_that_dies_fails_its_task_and_the_next_one_runs(
    target: Target, application: str
) -> None:
    """The engine of the recordings loses the executor for good; ours starts another process."""
    if not target.own:
        pytest.skip("engine 0.6 never replaces a dead service process")
    with target.connection.create_session(application, max_instances=1) as session:
        with pytest.raises(TaskFailedError, match="exited with status 3"):
            session.invoke(b"exit 3", timeout=60)
        assert session.invoke(b"echo again", timeout=60) == b"again"


def test_a_service_that_cannot_start_ends_the_wait_with_the_reason(target: Target) -> None:
    name = target.register(command="/no/such/command", arguments=[])
    session = target.connection.create_session(name)
    with pytest.raises(SessionRetryLimitError, match="No such file or directory"):
        session.invoke(b"echo x", timeout=120)
    codes = [event.code for event in target.connection.get_session(session.id).events]
    assert codes[-1] == 1002
    assert codes.count(1001) == 5
    session.close()


def test_an_enter_that_raises_ends_the_wait_with_its_text(target: Target, application: str) -> None:
    session = target.connection.create_session(application, b"enter-fail no way")
    with pytest.raises(SessionRetryLimitError, match="on_session_enter failed: no way"):
        session.invoke(b"echo x", timeout=120)
    session.close()


def test_the_higher_priority_goes_first(target: Target, application: str) -> None:
    if not target.own:
        pytest.skip("other sessions of a shared cluster would decide")
    low = target.connection.create_session(application, max_instances=2)
    high = target.connection.create_session(application, max_instances=2, priority=9)
    blockers: list[TaskFuture] = []

    def both_are_busy() -> bool:
        # The second executor may start after the first one has ended its task.
        waiting = sum(not one.done() for one in blockers)
        blockers.extend(low.run(b"sleep 400") for _ in range(2 - waiting))
        return low.refresh().running == 2

    eventually(both_are_busy, "both executors busy")
    late = low.run(b"echo low")
    first = high.run(b"echo high")
    assert first.result(60) == b"high"
    concurrent.futures.wait([*blockers, late], timeout=60)
    for session in (low, high):
        session.close()
