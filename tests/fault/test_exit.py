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
from support.waiting import eventually

from flamepy.core import FlameService, TaskContext, connect
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine

LIMIT = 2.0  # seconds that an exit takes at most, whatever hangs
OPEN = """
import os, sys, threading
from flamepy.core import connect, open_session
from flamepy.informers import Reactor, TaskInformer
from support.frozen import freeze

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
        env={
            **os.environ,
            "FLAME_ENDPOINT": endpoint,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
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
        hang = f"freeze({cluster.pid})\n"
        call = "threading.Thread(target=session.create_task, args=(b'',), daemon=True).start()\n"
        try:
            process, _, error, took = run(hang + call, cluster.endpoint)
        finally:
            os.kill(cluster.pid, signal.SIGCONT)
        assert error == ""
        assert process.returncode == 0
        assert took < LIMIT + 8.0  # the promise, and what a busy machine may need


CUT = """
import atexit, concurrent.futures, os, sys, threading
from flamepy.core import FlameService, connect
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster

begun, over = threading.Event(), threading.Event()

class Service(FlameService):
    def on_task_invoke(self, context):
        begun.set()
        {service}
        return context.input

class Says(TaskInformer):
    def on_failed(self, event):
        print("told: FAILED", flush=True)

    def on_succeeded(self, event):
        print("told: SUCCEED", flush=True)

flame = LocalCluster(executors=1, cache_port=None, data=sys.argv[1])
flame.register_service("cut", Service)
flame.start()
connection = connect(flame.endpoint)
reactor = Reactor(connection=connection, plugins=())
reactor.register(Says())
reactor.start(wait=True)
futures = connection.create_session("cut", session_id="s").run_many([b"x"] * 3)
for future in futures:
    future.add_done_callback(lambda future: print("future:", future, flush=True))
begun.wait(20)
{end}
"""
# What a service is doing when the interpreter ends, and how it ends.
SERVICES = {
    "hangs": "threading.Event().wait()",
    "hangs and ends by exit": "threading.Event().wait()",
    "is refused a pool": """threading.main_thread().join()
        concurrent.futures.ThreadPoolExecutor(1).submit(int).result()""",
    "needs what an exit handler closes": """over.wait()
        raise KeyError("closed")""",
}
ENDINGS = {
    "hangs and ends by exit": "sys.exit(0)",
    "is refused a pool": "threading.Thread(target=lambda: threading.Event().wait(1)).start()",
    "needs what an exit handler closes": (
        "atexit.register(lambda: (over.set(), threading.Event().wait(1)))"
    ),
}


@pytest.mark.parametrize("doing", SERVICES)
def test_what_the_exit_cuts_short_is_no_outcome_and_runs_after_the_next_start(
    doing: str, tmp_path: Path
) -> None:
    code = CUT.format(service=SERVICES[doing], end=ENDINGS.get(doing, ""))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    class Echo(FlameService):
        def on_task_invoke(self, context: TaskContext) -> bytes | None:
            return context.input

    again = LocalCluster(executors=1, cache_port=None, data=tmp_path / "data")
    again.register_service("cut", Echo)
    with again, connect(again.endpoint) as connection:
        session = connection.get_session("s")
        eventually(lambda: session.refresh().succeed == 3, "the three tasks")


def test_services_that_hang_keep_no_process_after_a_stop() -> None:
    code = CUT.replace("{service}", "threading.Event().wait()").replace("data=sys.argv[1]", "")
    done = subprocess.run(
        [sys.executable, "-c", code.replace("{end}", "flame.stop()\nsys.exit(7)")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "")
