"""Reading says when it knows everything, and asks the engine as long as it does not."""

from __future__ import annotations

import threading

import pytest
from support.waiting import eventually

from flamepy.errors import DeadlineExceededError, InvalidArgumentError, InvalidStateError
from flamepy.informers import Reactor
from flamepy.testing import ScriptedConnection
from flamepy.types import SessionState, TaskState


@pytest.fixture
def connection():
    with ScriptedConnection() as made:
        made.do(lambda source: source.add_session("s"))
        made.do(lambda source: source.add_tasks("s", 3, state=TaskState.SUCCEED))
        yield made


@pytest.fixture
def scripted(connection: ScriptedConnection):
    with Reactor(connection=connection, plugins=(), poll_interval=0.01) as made:
        yield made


def test_the_first_use_reads_and_until_then_the_engine_is_asked(
    connection: ScriptedConnection, scripted: Reactor
) -> None:
    scripted.stream(replay="none")
    connection.do(lambda source: source.add_task("s"))
    eventually(lambda: connection.source.calls["list_sessions"] > 2, "polls before the first use")
    hold = connection.do(lambda source: source.hold("list_tasks"))
    connection.do(lambda source: source.add_session("t"))
    connection.do(lambda source: source.add_task("t"))
    tasks = scripted.tasks
    assert tasks.freshness() == float("inf")
    found = tasks.get("t", "1", max_age=1000.0)
    assert found is not None
    assert found.state is TaskState.PENDING
    with pytest.raises(DeadlineExceededError, match=r"not everything was read within 0\.01 s"):
        tasks.wait_synced(0.01)
    connection.do(lambda source: hold.release())
    tasks.wait_synced(10)
    assert tasks.freshness() < 10
    assert len(tasks) == 5
    assert scripted.tasks is tasks


def test_sessions_are_synced_without_a_task_call(
    connection: ScriptedConnection, scripted: Reactor
) -> None:
    scripted.sessions.wait_synced(10)
    assert [one.id for one in scripted.sessions.by_index("state", SessionState.OPEN)] == ["s"]
    assert [one.id for one in scripted.sessions.by_index("state", "open")] == ["s"]
    assert list(scripted.sessions) == ["s"]
    assert "1 known" in repr(scripted.sessions)
    with pytest.raises(InvalidArgumentError, match="no state 'ajar'; there are: OPEN, CLOSED"):
        scripted.sessions.by_index("state", "ajar")
    assert connection.source.calls["list_tasks"] == connection.source.calls["get_task"] == 0


def test_who_waits_when_the_reactor_stops_is_told(
    connection: ScriptedConnection, scripted: Reactor
) -> None:
    connection.do(lambda source: source.hold("list_sessions"))
    tasks = scripted.tasks
    told: list[str] = []

    def wait() -> None:
        try:
            tasks.wait_synced(30)
        except InvalidStateError as error:
            told.append(error.message)

    waiting = threading.Thread(target=wait)
    waiting.start()
    scripted.stop(0.0)
    waiting.join(10)
    assert told == ["the reactor stopped before everything was read"]


def test_indexes_of_tasks_find_what_they_say(
    connection: ScriptedConnection, scripted: Reactor
) -> None:
    connection.do(lambda source: source.add_session("t", "other"))
    connection.do(lambda source: source.add_tasks("t", 2, state=TaskState.RUNNING))
    tasks = scripted.tasks
    tasks.wait_synced(10)
    tasks.index("parity", lambda task: int(task.id) % 2)

    def keys(name: str, value: object) -> list[str]:
        return sorted(f"{one.session_id}/{one.id}" for one in tasks.by_index(name, value))

    assert keys("session", "t") == keys("application", "other") == ["t/1", "t/2"]
    assert keys("session", 3) == keys("application", ["app"]) == keys("session", "u") == []
    assert keys("state", "succeed") == keys("application", "app") == ["s/1", "s/2", "s/3"]
    assert keys("parity", 0) == ["s/2", "t/2"]
    connection.do(lambda source: source.succeed("t", "1"))
    eventually(lambda: keys("state", TaskState.RUNNING) == ["t/2"])
    assert keys("state", 2) == ["s/1", "s/2", "s/3", "t/1"]
    totals = scripted.applications.get("other")
    assert (totals.name, totals.sessions) == ("other", 1)
    assert scripted.applications.get("none").sessions == 0
    scripted.applications.index("size", lambda one: one.sessions)
    assert [one.name for one in scripted.applications.by_index("size", 1)] == ["app", "other"]
