"""``flamepy record``, ``replay``, ``report``: what happened, in a file, at informers, on a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.local import LocalCluster
from flamepy.recording.file import Recording
from flamepy.watching.state.events import TaskEvent

FLAMEPY = [sys.executable, "-m", "flamepy"]
INFORMER = """
from flamepy.core import TaskInformer

class Show(TaskInformer):
    def on_transition(self, event):
        print(event.key, event.initial, event.to_dict()["observed_at"], flush=True)

class Broken(TaskInformer):
    def on_failed(self, event):
        raise LookupError("no account")
"""


class Shout(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if not context.input:
            raise ValueError("nothing to shout")
        return context.input.upper()


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=2, cache_port=None) as cluster:
        cluster.register_service("shout", Shout)
        with connect(cluster.endpoint) as made:
            yield made


@contextmanager
def recording(connection: Connection, path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run it; whatever the block raises, the process is gone after it."""
    words = ("record", str(path), "--endpoint", connection.endpoint, *options)
    process = subprocess.Popen(
        [*FLAMEPY, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == f"flamepy record: watching {connection.endpoint}\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def run(*words: str, folder: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FLAMEPY, *words], capture_output=True, text=True, timeout=90, cwd=folder, check=False
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr.replace("Traceback (most recent call last):\n  File", "")
    return done


def ends(path: Path) -> Counter[str]:
    found = [one for one in Recording(path) if isinstance(one, TaskEvent)]
    return Counter(one.key for one in found if one.task.state.is_terminal)


def lines(path: Path) -> list[dict[str, Any]]:
    return list(Recording(path).fields())


def test_a_recording_survives_a_kill_and_has_what_happened_meanwhile(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "day.flr"
    session = connection.create_session("shout", session_id="s")
    session.invoke(b"before", timeout=30)
    with recording(connection, path):  # killed at the end
        session.invoke(b"first", timeout=30)
        eventually(lambda: len(ends(path)) == 2, "both ends in the file")
    session.run(b"").exception(30)  # nothing records
    with recording(connection, path) as second:
        session.invoke(b"last", timeout=30)
        eventually(lambda: len(ends(path)) == 4, "all ends in the file")
        second.send_signal(signal.SIGINT)
        _, said = second.communicate(timeout=30)
        assert second.returncode == 0
    assert said.endswith(": stopped\n")
    assert set(ends(path).values()) == {1}, "an end is there twice"
    found = lines(path)
    assert [one["resumed"] for one in found if one["type"] == "header"] == [False, True]
    assert found[-1]["type"] == "end"
    assert [one["n"] for one in found] == sorted({one["n"] for one in found})
    if os.path.exists("/bin/zcat"):
        shown = subprocess.run(["zcat", str(path)], capture_output=True, check=True).stdout
        assert [json.loads(one) for one in shown.splitlines()] == found


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--for", "0.2s"), "the time of --for is over"),
        (("--max-size", "1K"), "the file has reached --max-size"),
    ],
)
def test_it_ends_by_itself(
    options: tuple[str, str], reason: str, connection: Connection, tmp_path: Path
) -> None:
    session = connection.create_session("shout")
    with recording(connection, tmp_path / "r", *options) as process:
        for _ in range(5):
            session.invoke(b"x", timeout=30)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
    assert said.endswith(f": {reason}\n"), said


@pytest.fixture
def recorded(connection: Connection, tmp_path: Path) -> Path:
    path = tmp_path / "day.flr"
    with recording(connection, path) as process:
        with connection.create_session("shout", session_id="the-one") as session:
            session.invoke(b"a", timeout=30)
            session.run(b"").exception(30)
        eventually(lambda: len(ends(path)) == 2, "both ends in the file")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    (tmp_path / "mine.py").write_text(INFORMER)
    return path


def test_a_replay_is_the_same_at_any_speed(recorded: Path, tmp_path: Path) -> None:
    words = ("replay", str(recorded), "--informer", "mine:Show")
    shown = run(*words, folder=tmp_path).stdout
    assert run(*words, "--speed", "1000", folder=tmp_path).stdout == shown
    written = [
        f"{one['key']} {one['initial']} {one['observed_at']}"
        for one in lines(recorded)
        if one["type"] == "task"
    ]
    assert shown.splitlines() == written


def test_a_callback_that_fails_is_the_status(recorded: Path, tmp_path: Path) -> None:
    done = run("replay", str(recorded), "--informer", "mine:Broken", status=1, folder=tmp_path)
    assert "1 callbacks failed" in done.stderr.splitlines()[-1]
    assert "LookupError: no account" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("day.flr",), "give --plugin NAME, or --informer MODULE:CLASS"),
        (("day.flr", "--informer", "mine:Show", "--speed", "0"), "speed must be a number above 0"),
        (("none.flr", "--informer", "mine:Show"), "none.flr cannot be read"),
        (("mine.py", "--informer", "mine:Show"), "mine.py is no recording"),
        (("day.flr", "--plugin", "nowhere"), "no plugin that was named works"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], says: str, recorded: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*FLAMEPY, "replay", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode in (1, 2), done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_report_of_a_recording_and_of_a_session(
    recorded: Path, connection: Connection, tmp_path: Path
) -> None:
    said = run("report", str(recorded), "-o", "day.html", folder=tmp_path).stdout
    assert said.startswith("wrote day.html (")
    of_session = ("--session", "the-one", "--endpoint", connection.endpoint)
    run("report", *of_session, "-o", "session.html", folder=tmp_path)
    for name in ("day.html", "session.html"):
        html = (tmp_path / name).read_text()
        assert "nothing to shout" in html
        assert "the-one" in html
    done = run("report", status=2, folder=tmp_path)
    assert "give a recording FILE, or --session ID" in done.stderr
    done = run("report", str(recorded), "-o", "/no/such/folder/x.html", status=1, folder=tmp_path)
    assert "/no/such/folder/x.html cannot be written" in done.stderr
