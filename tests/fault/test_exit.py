"""The interpreter's exit: soon, silent, and with the program's own status, whatever is open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster_process import ClusterProcess

from flamepy.core import connect
from flamepy.testing import FakeEngine

LIMIT = 2.0  # seconds that an exit takes at most, whatever hangs
OPEN = """
import os, sys, threading
from flamepy.core import connect, open_session
from flamepy.informers import Reactor, TaskInformer

session = open_session("s")
futures = [session.run(b"") for _ in range(20)]
watching = session.watch_task(futures[0].task_id)

def watch():
    for task in watching:
        pass

threading.Thread(target=watch, daemon=True).start()
reactor = Reactor()
registration = reactor.register(TaskInformer())
reactor.start(wait=True)
reactor.wait_synced(10)
other = connect(os.environ["FLAME_ENDPOINT"])
other.list_sessions()
print("open", flush=True)
"""
ENDS = {
    "end of the script": ("", 0),
    "status": ("sys.exit(7)", 7),
    "in a child": (
        """
if os.fork() == 0:
    sys.exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
""",
        0,
    ),
    "in a child that used it": (
        """
if os.fork() == 0:
    with connect(os.environ["FLAME_ENDPOINT"]) as fresh:
        fresh.list_sessions()
    open_session("s")
    sys.exit(5)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
""",
        5,
    ),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with FakeEngine() as made:
        made.add_session("s")
        yield made.endpoint


def run(code: str, endpoint: str) -> tuple[subprocess.Popen[str], str, str, float]:
    """Run a program until it has ended; return it, what it said, and how long its exit took."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OPEN + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FLAME_ENDPOINT": endpoint},
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        start = time.monotonic()
        rest, error = process.communicate(timeout=50)
    return process, said + rest, error, time.monotonic() - start


@pytest.mark.parametrize("how", ENDS)
def test_fault_23_an_exit_with_everything_open_is_clean(engine: str, how: str) -> None:
    code, status = ENDS[how]
    process, said, error, _ = run(code, engine)
    assert said == "open\n"
    assert error == ""
    assert process.returncode == status


def test_an_exception_keeps_its_traceback_and_status(engine: str) -> None:
    process, _, error, _ = run("raise KeyError('mine')", engine)
    assert error.rstrip().endswith("KeyError: 'mine'")
    assert error.count("Traceback") == 1
    assert process.returncode == 1


def test_an_engine_that_does_not_answer_does_not_hold_it_up(tmp_path: Path) -> None:
    with ClusterProcess(tmp_path, executors=1) as cluster:
        with connect(cluster.endpoint) as connection:
            connection.register_application("idle", {"command": "/bin/false"})
            connection.create_session("idle", session_id="s")
        hang = f"os.kill({cluster.pid}, {int(signal.SIGSTOP)})\n"
        call = "threading.Thread(target=session.create_task, args=(b'',), daemon=True).start()\n"
        try:
            process, _, error, took = run(hang + call, cluster.endpoint)
        finally:
            os.kill(cluster.pid, signal.SIGCONT)
        assert error == ""
        assert process.returncode == 0
        assert took < LIMIT + 8.0  # the promise, and what a busy machine may need
