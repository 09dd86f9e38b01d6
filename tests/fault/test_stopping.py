"""Who stops a cluster and its services at one moment, as a service manager does, fails no task."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from support.cluster_process import ClusterProcess
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.types import TaskState

TASKS = 3
SERVICE = """
import ctypes, os, signal, threading
from pathlib import Path
from flamepy.core.service import FlameService, run

class Service(FlameService):
    def on_task_invoke(self, context):
        if {default}:
            for number in (1, 2, 15):
                ctypes.CDLL(None).signal(number, None)  # the default action: it dies at once
        runs = Path({folder!r})
        (runs / f"{{context.task_id}}-{{os.getpid()}}").touch()
        if len(list(runs.glob(f"{{context.task_id}}-*"))) == 1:
            threading.Event().wait(20)
        return b"done"

run(Service())
"""
WAYS = [
    ("TERM", "TERM", True, "cluster"),
    ("TERM", "TERM", True, "services"),
    ("TERM", "TERM", False, "services"),
    ("TERM", "KILL", True, "services"),
    ("INT", "INT", True, "services"),
    ("HUP", "HUP", True, "services"),
    ("KILL", "KILL", True, "services"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="signal actions by the C library")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("cluster_gets", "services_get", "default", "first"), WAYS)
def test_tasks_run_again_after_a_stop_of_all_processes(
    tmp_path: Path, cluster_gets: str, services_get: str, default: bool, first: str
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    script = tmp_path / "service.py"
    script.write_text(SERVICE.format(default=default, folder=str(runs)))
    spec = {"command": sys.executable, "arguments": [str(script)]}
    cluster = ClusterProcess(
        tmp_path, executors=TASKS, data=str(tmp_path / "data"), apps=[("app", spec)], signals=True
    )
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        stubs.OpenSession(session_id="s", session={"application": "app"})
        for _ in range(TASKS):
            stubs.CreateTask(task={"session_id": "s", "input": b"x"})
        eventually(lambda: len(list(runs.iterdir())) == TASKS, "every task to run")
        services = [int(one.name.partition("-")[2]) for one in runs.iterdir()]
        send = [(cluster.pid, cluster_gets), *((one, services_get) for one in services)]
        for pid, name in send if first == "cluster" else reversed(send):
            os.kill(pid, signal.Signals[f"SIG{name}"])
        cluster.end()
    cluster.options["signals"] = False
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        for number in range(1, TASKS + 1):
            ended = eventually(partial(ended_task, stubs, str(number)), "the task to run again")
            assert ended.status.state == TaskState.SUCCEED, ended.status.events
            assert ended.spec.output == b"done"


def ended_task(stubs: Stubs, task_id: str):
    task = stubs.GetTask(session_id="s", task_id=task_id)
    return task if TaskState(task.status.state).is_terminal else None
