"""``flamepy watch``: lines as they happen, in a pipe and in a terminal, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.cluster_process import ClusterProcess
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.errors import TaskFailedError
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
WATCH = [sys.executable, "-m", "flamepy", "watch"]


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as made:
        register(made)
        yield made


def register(connection: Connection, *names: str) -> None:
    spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
    for name in names or ("recorded", "other"):
        connection.register_application(name, spec)


class Watching:
    """A started ``flamepy watch`` whose standard output is a pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def until(
        self, state: str, *, session: str | None = None, limit: float = 30.0
    ) -> dict[str, Any]:
        """Read lines until one has that state; each must arrive without waiting for the next."""
        assert self.process.stdout is not None
        while True:
            for line in self.lines:
                if line["state"] == state and session in (None, line["session"]):
                    return line
            ready, _, _ = select.select([self.process.stdout], [], [], limit)
            assert ready, f"no line within {limit} s; {self.lines[-3:]}"
            self.lines.append(json.loads(self.process.stdout.readline()))

    def told(self, *, limit: float = 60.0) -> str:
        """Return the next line of standard error."""
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], limit)
        assert ready, f"nothing was told within {limit} s"
        return self.process.stderr.readline().decode()

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return exit status and standard error."""
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=20)
        self.lines += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, errors.decode()


@contextmanager
def watching(endpoint: str, *arguments: str) -> Iterator[Watching]:
    """Start it; nothing is buffered on our side, so that ``select`` tells the truth."""
    with subprocess.Popen(
        [*WATCH, "--endpoint", endpoint, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"flamepy watch: watching {endpoint}\n".encode()
            yield Watching(process)
        finally:
            if process.poll() is None:
                process.kill()


def work(connection: Connection, session_id: str, application: str = "recorded") -> None:
    with connection.create_session(application, session_id=session_id) as session:
        session.invoke(b"echo hi", timeout=30)
        with pytest.raises(TaskFailedError):
            session.invoke(b"fail it \x1b[31mbroke", timeout=30)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_pipe_gets_each_change_as_a_line_at_once(
    connection: Connection, number: int, status: int
) -> None:
    with watching(connection.endpoint) as watch:
        work(connection, "s")
        watch.until("failed")
        watch.until("closed")
        code, errors = watch.stop(number)
    assert (code, errors) == (status, "")
    tasks = [line for line in watch.lines if line["type"] == "task"]
    ended = [(one["task"], one["state"]) for one in tasks if one["state"] in ("succeed", "failed")]
    assert sorted(ended) == [("1", "succeed"), ("2", "failed")]
    assert tasks[-1]["error"] == "it \x1b[31mbroke"
    numbers = [line["sequence"] for line in watch.lines if not line["initial"]]
    assert numbers == sorted(numbers)


def test_only_what_is_asked_for(connection: Connection) -> None:
    options = ("--application", "recorded", "--session", "yes", "--state", "failed")
    with watching(connection.endpoint, *options, "--state", "succeed") as watch:
        work(connection, "no")
        work(connection, "never", "other")
        work(connection, "yes")
        watch.until("failed")
        assert watch.stop()[0] == 130
    assert [(one["session"], one["state"]) for one in watch.lines] == [
        ("yes", "succeed"),
        ("yes", "failed"),
    ]


def test_what_was_there_is_replayed_as_asked(connection: Connection) -> None:
    work(connection, "before")
    with watching(connection.endpoint, "--replay", "all", "--state", "failed") as watch:
        assert watch.until("failed")["initial"] is True
        watch.stop()
    with watching(connection.endpoint, "--replay", "none") as watch:
        work(connection, "after")
        watch.until("failed", session="after")
        watch.stop()
    assert {line["session"] for line in watch.lines} == {"after"}


def test_nobody_who_reads_any_more_ends_it_quietly(connection: Connection) -> None:
    with watching(connection.endpoint) as watch:
        with connection.create_session("recorded", session_id="s") as session:
            session.invoke(b"echo hi", timeout=30)
            watch.until("succeed")
            assert watch.process.stdout is not None
            watch.process.stdout.close()
            session.invoke(b"echo hi", timeout=30)
        assert watch.process.wait(timeout=30) == 0
        assert watch.process.stderr is not None
        assert watch.process.stderr.read() == b""


@pytest.mark.timeout(180)
def test_an_outage_is_told_and_survived(tmp_path: Path) -> None:
    with (
        ClusterProcess(tmp_path, data=str(tmp_path / "data")) as cluster,
        connect(cluster.endpoint) as connection,
    ):
        register(connection, "recorded")
        with watching(cluster.endpoint) as watch:
            work(connection, "one")
            watch.until("failed", session="one")
            cluster.kill()
            told = watch.told()  # before the engine is back: a poll may miss a short outage
            cluster.start()
            work(connection, "two")
            # A poll that waited for the engine may be taken for an expensive one: up to 60 s.
            watch.until("failed", session="two", limit=90.0)
            code, errors = watch.stop()
    assert code == 130
    assert told == f"flamepy watch: {cluster.endpoint} is disconnected\n"
    assert all(line.startswith("flamepy watch: http://") for line in errors.splitlines()), errors
    assert errors.splitlines()[-1] == f"flamepy watch: {cluster.endpoint} is connected"
    keys = [line["key"] for line in watch.lines if not line["initial"]]
    assert len(keys) == len(set(keys))


def test_a_terminal_gets_lines_for_people(connection: Connection) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*WATCH, "--endpoint", connection.endpoint],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60"},
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"flamepy watch: watching http://")
        work(connection, "s")
        shown = b""

        def read() -> bool:
            nonlocal shown
            while select.select([ours], [], [], 0)[0]:
                shown += os.read(ours, 65536)
            plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown)
            return b" closed" in plain and b" failed " in plain

        eventually(read, "the session's close and the task's end")
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # the other side is closed
            while chunk := os.read(ours, 65536):
                shown += chunk
        assert process.wait(timeout=20) == 130
        assert process.stderr.read() == b""
    os.close(ours)
    assert b"\x1b[31mbroke" not in shown, "an error text coloured the terminal"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    failed = next(line for line in lines if " failed " in line)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}   (s| ) task 2    failed    it \\x1b", failed)


def test_a_summary_is_one_line_a_second_and_costs_no_call_for_a_task(
    connection: Connection,
) -> None:
    work(connection, "before")
    command = [*WATCH, "--endpoint", connection.endpoint, "--summary"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        work(connection, "after")
        while (last := json.loads(process.stdout.readline()))["tasks"]["failed"] < 2:
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    assert first["type"] == "summary"
    assert first["tasks"] == {
        "pending": 0,
        "running": 0,
        "succeed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert (last["tasks"]["succeed"], last["sessions"]) == (2, 2)


def test_a_list_that_is_watched_gets_a_row_for_each_change(connection: Connection) -> None:
    connection.create_session("recorded", session_id="s")
    both = (["sessions", "-w"], ["tasks", "s", "-w", "-o", "template={id} {state}"])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "flamepy", "--endpoint", connection.endpoint, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in both
    ]
    sessions, tasks = processes
    try:
        assert sessions.stdout is not None
        assert tasks.stdout is not None
        assert json.loads(sessions.stdout.readline())["succeed"] == 0
        with connection.open_session("s") as session:
            session.invoke(b"echo hi", timeout=30)
            while tasks.stdout.readline() != "1 SUCCEED\n":
                pass
        while json.loads(sessions.stdout.readline())["state"] != "CLOSED":
            pass
        for process in processes:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30)[1] == ""
            assert process.returncode == 130
    finally:
        for process in processes:
            process.kill()
            process.wait(30)


def test_no_engine_is_one_line() -> None:
    done = subprocess.run(
        [*WATCH, "--endpoint", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("flamepy watch: ")
