"""``flamepy submit``: tasks from a shell, their outputs, and a status that says how they ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.waiting import eventually

from flamepy.cli.commands import flamepy
from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.local import LocalCluster
from flamepy.types import SessionState, TaskState


class Shout(FlameService):
    gate = threading.Event()

    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"wait":
            self.gate.wait(60)
        if not context.input:
            raise ValueError("nothing to shout")
        return context.input.upper()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    with LocalCluster(executors=2, cache_port=None) as cluster:
        cluster.register_service("shout", Shout)
        monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
        with connect(cluster.endpoint) as made:
            yield made


def run(*words: str, status: int = 0, given: bytes | None = None) -> Result:
    done = CliRunner().invoke(flamepy, ["submit", *words], input=given, prog_name="flamepy")
    assert done.exit_code == status, (done.output, done.exception)
    return done


def the_session(
    connection: Connection,
) -> tuple[SessionState, list[tuple[bytes | None, TaskState]]]:
    (session,) = connection.list_sessions()
    tasks = [session.get_task(one.id) for one in session.list_tasks()]
    return session.state, [(one.input, one.state) for one in tasks]


def test_without_wait_it_prints_the_session_which_stays_open(connection: Connection) -> None:
    name = run("shout", "hello", "--count", "3").stdout.strip()
    session = connection.open_session(name)
    assert [one.id for one in session.list_tasks()] == ["1", "2", "3"]


def test_one_output_is_printed_as_it_is(connection: Connection) -> None:
    assert run("shout", "hello\n", "--wait").stdout == "HELLO\n"
    assert the_session(connection) == (SessionState.CLOSED, [(b"hello\n", TaskState.SUCCEED)])


def test_several_are_lines_and_a_failure_is_the_status(connection: Connection) -> None:
    assert run("shout", "a\tb", "--count", "2", "--wait").stdout == (
        "1\tsucceed\tA\\tB\n2\tsucceed\tA\\tB\n"
    )
    failed = run("shout", "--count", "2", "--wait", status=1)
    assert failed.stdout.splitlines()[0] == "1\tfailed\tnothing to shout"
    single = run("shout", "--wait", status=1)
    assert single.stdout == ""
    assert single.stderr.endswith("flamepy submit: task 1 failed: nothing to shout\n")


def test_data_comes_from_a_file_or_from_standard_input(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"of a \xff file")
    assert run("shout", f"@{path}", "--wait").stdout_bytes == b"OF A \xff FILE"
    assert run("shout", "-", "--wait", given=b"of a pipe").stdout == "OF A PIPE"
    missing = run("shout", "@/no/such/file", status=2)
    assert "/no/such/file cannot be read" in missing.output


def test_a_given_session_is_used_and_stays_open(connection: Connection) -> None:
    connection.create_session("shout", session_id="mine")
    assert run("shout", "x", "--session", "mine", "--wait").stdout == "X"
    assert the_session(connection) == (SessionState.OPEN, [(b"x", TaskState.SUCCEED)])
    other = run("flmping", "x", "--session", "mine", status=1)
    assert "session 'mine' is of application 'shout', not 'flmping'" in other.output


def test_watch_prints_what_happens(connection: Connection) -> None:
    done = run("shout", "x", "--count", "2", "--watch")
    assert "X" not in done.stdout.split()
    assert {"opened", "succeed", "closed"} <= set(done.stdout.split())


def test_an_unknown_application_names_those_there_are(connection: Connection) -> None:
    said = run("shuot", "x", status=1).output
    assert "application 'shuot' is not registered; there are: " in said
    assert "shout" in said


def test_an_interrupt_leaves_the_tasks_and_says_how_to_end_them(connection: Connection) -> None:
    Shout.gate = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "flamepy", "submit", "shout", "wait", "--count", "2", "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: [one.running for one in connection.list_sessions()] == [2], "both run")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    finally:
        process.kill()
        Shout.gate.set()
    assert (process.returncode, out) == (130, "")
    (session,) = connection.list_sessions()
    assert session.state == SessionState.OPEN
    assert f"flamepy sessions close {session.id} --cancel-pending ends it" in said
