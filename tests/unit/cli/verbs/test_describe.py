"""``flamepy describe``: each kind of object, with reasons, as JSON in a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from support.waiting import eventually

from flamepy.cli.commands import flamepy
from flamepy.core import ApplicationAttributes, Connection, FlameService, TaskContext, connect
from flamepy.local import LocalCluster


class Shout(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if not context.input:
            raise ValueError("nothing to shout")
        return context.input.upper()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    with LocalCluster(executors=2, cache_port=None) as cluster:
        cluster.register_service("shout", Shout)
        monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
        with connect(cluster.endpoint) as made:
            session = made.create_session("shout", session_id="s")
            for data in (b"a", b"", b"", b"\xff" * 500):
                session.run(data).exception(30)
            yield made


def describe(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(flamepy, ["describe", *words], prog_name="flamepy")
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_session_has_progress_reasons_and_failures_by_text(connection: Connection) -> None:
    found = describe("session", "s")
    assert found["session"] == "s"
    assert found["progress"] == "4 of 4 tasks ended (100 %)"
    (reason,) = found["reasons"]
    assert reason.startswith("open, idle ")
    assert found["failures"] == [{"times": 2, "first_task": "2", "text": "nothing to shout"}]
    assert len(found["slowest_tasks"]) == 4


def test_a_session_without_an_executor_says_why(connection: Connection) -> None:
    connection.register_application("broken", ApplicationAttributes(command="/no/such/program"))
    session = connection.create_session("broken", session_id="stuck")
    session.create_task(b"x")
    eventually(
        lambda: any(one.code == 1002 for one in session.refresh().events), "the bind limit", 60
    )
    (reason,) = describe("session", "stuck")["reasons"]
    assert reason.startswith("no executor: ")
    assert "/no/such/program" in reason
    task = describe("task", "stuck", "1")
    assert task["reason"].startswith("waiting, it is the next one; session: no executor: ")


def test_a_task_is_found_by_two_words_or_one(connection: Connection) -> None:
    assert describe("task", "s/2") == describe("task", "s", "2")
    found = describe("task", "s/2")
    assert found["reason"] == "failed: nothing to shout"
    assert [one["code"] for one in found["events"]] == [0, 1, 3]
    assert "preview" not in found


def test_a_preview_is_asked_for_and_short(connection: Connection) -> None:
    preview = describe("task", "s", "4", "--preview")["preview"]
    assert preview["input"].endswith("... (500 bytes)")
    assert describe("task", "s", "1", "--preview")["preview"] == {"input": "a", "output": "A"}


def test_an_application_has_its_sessions_and_tasks(connection: Connection) -> None:
    found = describe("app", "shout")
    assert found["tasks"] == {"pending": 0, "running": 0, "succeed": 2, "failed": 2, "cancelled": 0}
    assert [one["id"] for one in found["open_sessions"]] == ["s"]
    assert found["closed_sessions"] == 0


def test_a_node_has_its_executors(connection: Connection) -> None:
    name = connection.list_nodes()[0].name
    found = describe("node", name)
    assert found["node"] == name
    assert {one["session"] for one in found["executors_at_work"]} == {"s"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("session", "no"), "no"),
        (("task", "s", "99"), "99"),
        (("task", "alone"), "describe task SESSION TASK"),
        (("app", "no"), "application 'no' is not registered; `flamepy apps` lists those that are"),
        (("node", "no"), "no"),
        (("handler", "x", "--http", "127.0.0.1:1"), "nothing of flamepy answers"),
    ],
)
def test_what_is_not_there_is_one_line(
    words: tuple[str, ...], says: str, connection: Connection
) -> None:
    done = CliRunner().invoke(flamepy, ["describe", *words], prog_name="flamepy")
    assert done.exit_code in (1, 2)
    assert says in done.output.splitlines()[-1]
    assert "Traceback" not in done.output
