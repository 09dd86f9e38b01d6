"""A full disk fails calls with a reason, loses nothing, and is over when there is room again."""

from __future__ import annotations

import resource
import sqlite3
import sys
import threading
from pathlib import Path

import grpc
import pytest
from support.cluster_process import SERVICE, ClusterProcess
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.types import TaskState

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only"
)
SPEC = {"command": sys.executable, "arguments": [SERVICE], "delay_release": 1}


def limit(cluster: ClusterProcess, size: int) -> None:
    """Let no file of the cluster grow over a size: for SQLite the same as a full disk."""
    _, hard = resource.prlimit(cluster.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(cluster.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.timeout(120)
def test_calls_fail_with_a_reason_until_there_is_room(tmp_path: Path) -> None:
    data = tmp_path / "data"
    cluster = ClusterProcess(tmp_path, executors=1, data=str(data), apps=[("app", SPEC)])
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        stubs.OpenSession(session_id="s", session={"application": "app"})
        stubs.CreateTask(task={"session_id": "s", "input": b"sleep 1500"})
        eventually(lambda: stubs.GetSession(session_id="s").status.running, "a running task")
        limit(cluster, max(one.stat().st_size for one in data.iterdir()))
        with pytest.raises(grpc.RpcError) as caught:
            stubs.CreateTask(task={"session_id": "s", "input": b"echo " + b"x" * 1_000_000})
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        text = caught.value.details()
        assert text.startswith(f"storage {data}: ")
        assert "nothing was changed: make room" in text
        result = stubs.UnregisterApplication(name="flmping")
        assert result.return_code == -1
        assert "nothing was changed" in result.message
        counts = stubs.GetSession(session_id="s").status
        assert (counts.pending, counts.running) == (0, 1)
        eventually(lambda: "waits to record" in cluster.log.read_text(), "the task to end")
        assert stubs.GetTask(session_id="s", task_id="1").status.state == TaskState.RUNNING
        limit(cluster, resource.RLIM_INFINITY)
        ended = eventually(lambda: succeeded(stubs, "1"), "the end of the task to be recorded")
        assert ended.spec.output == b"slept 1500"
        assert stubs.CreateTask(task={"session_id": "s", "input": b"echo y"}).metadata.id == "2"
        cluster.kill()
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        assert stubs.GetTask(session_id="s", task_id="1").spec.output == b"slept 1500"
        assert eventually(lambda: succeeded(stubs, "2"), "the other task").spec.output == b"y"


def succeeded(stubs: Stubs, task_id: str):
    task = stubs.GetTask(session_id="s", task_id=task_id)
    return task if task.status.state == TaskState.SUCCEED else None


@pytest.mark.timeout(60)
def test_a_service_of_a_killed_cluster_is_ended_and_the_folder_removed(tmp_path: Path) -> None:
    cluster = ClusterProcess(tmp_path, executors=1, apps=[("app", SPEC)])
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        stubs.OpenSession(session_id="s", session={"application": "app"})
        stubs.CreateTask(task={"session_id": "s", "input": b"pid"})
        pid = eventually(lambda: succeeded(stubs, "1"), "the pid").spec.output.decode()
        assert list(tmp_path.glob("flame-*"))
        cluster.kill()
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the service to end")
        eventually(lambda: not list(tmp_path.glob("flame-*")), "the folder to go")


@pytest.mark.timeout(120)
def test_while_another_program_has_the_lock_who_reads_is_answered(tmp_path: Path) -> None:
    """Whoever changes something waits; all of it goes on when the lock is gone."""
    data = tmp_path / "data"
    cluster = ClusterProcess(tmp_path, executors=1, data=str(data), apps=[("app", SPEC)])
    with cluster.start(), Stubs(cluster.endpoint, timeout=20.0) as stubs:
        stubs.OpenSession(session_id="s", session={"application": "app"})
        stubs.CreateTask(task={"session_id": "s", "input": b"echo a"})
        eventually(lambda: succeeded(stubs, "1"), "the first task")
        other = sqlite3.connect(data / "flame.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        changes = {
            "create": lambda: stubs.CreateTask(task={"session_id": "s", "input": b"echo b"}),
            "open": lambda: stubs.OpenSession(session_id="t", session={"application": "app"}),
            "register": lambda: stubs.RegisterApplication(name="b", application={"command": "x"}),
        }
        answered: list[str] = []

        def change(name: str) -> None:
            changes[name]()
            answered.append(name)

        writers = [threading.Thread(target=change, args=(name,)) for name in changes]
        try:
            for one in writers:
                one.start()
            for _ in range(100):
                assert len(stubs.ListSession().sessions) == 1
                assert stubs.GetTask(session_id="s", task_id="1").spec.output == b"a"
                assert stubs.OpenSession(session_id="s").metadata.id == "s"
            assert not answered
        finally:
            other.close()
            for one in writers:
                one.join(30.0)
        assert sorted(answered) == sorted(changes)
        assert eventually(lambda: succeeded(stubs, "2"), "the other task").spec.output == b"b"
        cluster.kill()
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        assert [one.metadata.id for one in stubs.ListSession().sessions] == ["s", "t"]
        assert stubs.GetTask(session_id="s", task_id="2").spec.output == b"b"
