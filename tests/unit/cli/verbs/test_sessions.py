"""``flamepy sessions close`` and ``delete``: what the engine allows, and why it does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from support.waiting import eventually

from flamepy.cli.commands import flamepy
from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.local import LocalCluster
from flamepy.types import SessionState


class Gated(FlameService):
    """A task waits for the gate, unless its input says that it need not."""

    gate = threading.Event()

    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input != b"free":
            self.gate.wait(30)
        return (context.input or b"").upper()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    Gated.gate = threading.Event()
    with LocalCluster(executors=2, cache_port=None) as cluster:
        cluster.register_service("gated", Gated)
        monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
        with connect(cluster.endpoint) as made:
            yield made
        Gated.gate.set()


def run(*words: str, status: int = 0) -> Result:
    done = CliRunner().invoke(flamepy, ["sessions", *words], prog_name="flamepy")
    assert done.exit_code == status, (done.output, done.exception)
    return done


def state_of(connection: Connection, name: str) -> SessionState:
    return connection.get_session(name).state


def test_idle_sessions_are_closed_and_deleted(connection: Connection) -> None:
    for name in ("a", "b"):
        connection.create_session("gated", session_id=name).invoke(b"free", timeout=30)
    assert run("close", "a", "b").stdout.split() == ["closed", "a", "closed", "b"]
    assert state_of(connection, "a") == SessionState.CLOSED
    assert run("close", "a").stdout == "closed a\n"  # already: that is what is wanted
    assert run("delete", "a", "b").stdout.split() == ["deleted", "a", "deleted", "b"]
    assert connection.list_sessions() == []


def test_tasks_that_run_are_named_and_the_session_stays(connection: Connection) -> None:
    session = connection.create_session("gated", session_id="busy", max_instances=1)
    session.run(b"hold")
    session.run(b"waits")
    eventually(lambda: session.refresh().running, "a running task")
    done = run("close", "busy", "--wait", "0", status=1)
    assert done.stderr == (
        "flamepy sessions close: session 'busy' is still open: 1 task runs (task 1), 1 wait; "
        "--cancel-pending cancels those that wait, --wait waits longer\n"
    )
    assert run("close", "busy", "--wait", "0", "--cancel-pending", status=1).stderr.endswith(
        "1 task runs (task 1), 1 wait; --wait waits longer\n"
    )
    assert state_of(connection, "busy") == SessionState.OPEN


def test_a_close_waits_for_what_runs_and_what_waits(connection: Connection) -> None:
    session = connection.create_session("gated", session_id="busy", max_instances=1)
    futures = [session.run(b"hold"), session.run(b"waits")]
    eventually(lambda: session.refresh().running, "a running task")
    timer = threading.Timer(0.5, Gated.gate.set)
    timer.start()
    assert run("close", "busy").stdout == "closed busy\n"
    timer.join()
    assert [one.result(30) for one in futures] == [b"HOLD", b"WAITS"]
    assert session.refresh().cancelled == 0


def test_what_waits_is_cancelled_only_where_that_is_asked_for(connection: Connection) -> None:
    session = connection.create_session("gated", session_id="busy", max_instances=1)
    session.run(b"hold")
    eventually(lambda: session.refresh().running, "a running task")
    for _ in range(2000):
        session.create_task(b"waits")
    assert session.refresh().pending
    run("close", "busy", "--wait", "0.2", status=1)
    Gated.gate.set()
    run("close", "busy", "--cancel-pending")
    counts = session.refresh().info.counts
    assert counts.running == counts.pending == 0
    assert counts.succeed + counts.cancelled == 2001


def test_an_open_session_is_deleted_only_where_its_close_is_asked_for(
    connection: Connection,
) -> None:
    connection.create_session("gated", session_id="open")
    done = run("delete", "open", status=1)
    assert "is open: close it first (flamepy sessions close open), or add --close" in done.stderr
    assert run("delete", "--close", "open").stdout.splitlines() == ["closed open", "deleted open"]
    assert connection.list_sessions() == []


def test_one_that_is_not_there_keeps_no_other(connection: Connection) -> None:
    connection.create_session("gated", session_id="there")
    done = run("close", "nowhere", "there", status=1)
    assert done.stdout == "closed there\n"
    assert "there is no session 'nowhere'; `flamepy sessions` lists those that are" in done.stderr
    done = run("delete", "nowhere", "there", status=1)
    assert done.stdout == "deleted there\n"
    assert "there is no session 'nowhere'" in done.stderr


def test_the_endpoint_may_be_given_anywhere(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLAME_ENDPOINT")
    option = ["--endpoint", connection.endpoint]
    connection.create_session("gated", session_id="there")
    places = (
        [*option, "sessions", "close", "there"],
        ["sessions", *option, "close", "there"],
        ["sessions", "close", *option, "there"],
        ["sessions", "close", "there", *option],
    )
    for words in places:
        done = CliRunner().invoke(flamepy, words, prog_name="flamepy")
        assert done.stdout == "closed there\n", (words, done.output)


def test_the_endpoint_before_a_command_that_asks_no_engine_is_refused() -> None:
    for words, says in (
        (["up"], "flamepy up asks no engine: leave --endpoint out"),
        (["cache", "list"], "--endpoint of cache is no engine's: give it after cache"),
    ):
        done = CliRunner().invoke(flamepy, ["--endpoint", "127.0.0.1:1", *words])
        assert done.exit_code == 2
        assert says in done.output
