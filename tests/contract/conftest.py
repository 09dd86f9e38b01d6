"""Where the contract tests run: a cluster in this process, one as a process, and a given one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from support.invariants import Ends, check_executors, check_order, check_session
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.core import Connection, connect, short_name
from flamepy.local import LocalCluster
from flamepy.types import ApplicationAttributes, SessionInfo, Task
from flamepy.wire.cluster import decode_executor
from flamepy.wire.sessions import decode_session
from flamepy.wire.tasks import decode_task

BOTH_DIALECTS = ("test_sessions", "test_tasks")  # these also run on an engine after 0.6
SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")


@dataclass
class Target:
    """An engine under test."""

    endpoint: str
    connection: Connection
    own: bool  # ours: nobody else uses it

    @property
    def is_newer(self) -> bool:
        """True for an engine after 0.6."""
        self.connection.list_applications()  # which shows it
        return self.connection.dialect == "next"

    def register(self, **changes: object) -> str:
        """Register an application of the recorded service; return its name."""
        name = short_name("contract")
        spec = ApplicationAttributes(
            **{"command": sys.executable, "arguments": [SERVICE], "delay_release": 1, **changes}
        )
        self.connection.register_application(name, spec)
        return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "endpoint" in metafunc.fixturenames:
        given = metafunc.config.getoption("--flame-endpoint")
        targets = ("local", "process", "given") if given else ("local", "process")
        if metafunc.module.__name__.rpartition(".")[2] in BOTH_DIALECTS:
            targets = ("local-next", *targets)
        metafunc.parametrize("endpoint", targets, indirect=True, scope="module")
    if "cache_endpoint" in metafunc.fixturenames:
        given = metafunc.config.getoption("--flame-cache-endpoint")
        targets = ("local", "process", "given") if given else ("local", "process")
        metafunc.parametrize("cache_endpoint", targets, indirect=True, scope="module")
    if "whole_cluster" in metafunc.fixturenames:
        options = "--flame-endpoint", "--flame-cache-endpoint"
        given = all(metafunc.config.getoption(one) for one in options)
        targets = ("local", "process", "given") if given else ("local", "process")
        metafunc.parametrize("whole_cluster", targets, indirect=True, scope="module")


@pytest.fixture(scope="module")
def endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """Yield an endpoint and whether it is ours alone."""
    if request.param in ("local", "local-next"):
        with LocalCluster(executors=2, dialect=dialect_of(request)) as cluster:
            yield cluster.endpoint, True
    elif request.param == "process":
        command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--executors", "2"]
        command += ["--dialect", dialect_of(request)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1], True
            process.terminate()
            assert process.wait(20) == 0
    else:
        yield request.config.getoption("--flame-endpoint"), False


def dialect_of(request: pytest.FixtureRequest) -> str:
    """Return what a target that is ours speaks."""
    chosen: str = request.config.getoption("--flame-dialect")
    return "next" if request.param == "local-next" else chosen


@dataclass
class WholeCluster:
    """An engine and its object cache."""

    endpoint: str
    cache_endpoint: str
    own: bool  # ours: it runs services by this Python


@pytest.fixture(scope="module")
def whole_cluster(request: pytest.FixtureRequest) -> Iterator[WholeCluster]:
    """Yield an engine with its cache."""
    if request.param == "local":
        with LocalCluster(executors=4) as cluster:
            assert cluster.cache_endpoint is not None
            yield WholeCluster(cluster.endpoint, cluster.cache_endpoint, True)
    elif request.param == "process":
        command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--cache-port", "0"]
        command += ["--dialect", dialect_of(request)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            _, endpoint, _, cache = process.stdout.readline().split()
            yield WholeCluster(endpoint, cache, True)
            process.terminate()
            assert process.wait(20) == 0
    else:
        endpoint = request.config.getoption("--flame-endpoint")
        yield WholeCluster(endpoint, request.config.getoption("--flame-cache-endpoint"), False)


@pytest.fixture(scope="module")
def ends() -> Ends:
    """Remember how tasks ended, from one test of a module to the next."""
    return Ends()


@pytest.fixture
def target(
    request: pytest.FixtureRequest, endpoint: tuple[str, bool], ends: Ends
) -> Iterator[Target]:
    """Yield the engine; afterwards, what must be true of any engine of ours is checked."""
    url, own = endpoint
    with connect(url) as connection:
        yield Target(url, connection, own)
    if own:
        newer = request.node.callspec.params["endpoint"] == "local-next"
        newer = newer or request.config.getoption("--flame-dialect") == "next"
        with Stubs(url, newer=newer) as stubs:
            check_cluster(stubs, ends)


def check_cluster(stubs: Stubs, ends: Ends) -> None:
    """Check every session and all executors against ``support.invariants``."""
    sessions = [decode_session(one) for one in stubs.ListSession().sessions]
    check_executors(sessions, [decode_executor(one) for one in stubs.ListExecutor().executors])
    for session in sessions:
        try:
            check_one(stubs, session.id, ends)
        except grpc.RpcError as error:
            # After 0.6 the closed sessions of a disabled application are deleted at any moment.
            if not stubs.newer or error.code() is not grpc.StatusCode.NOT_FOUND:
                raise


def check_one(stubs: Stubs, session_id: str, ends: Ends) -> None:
    """Check a session and its tasks."""
    now, tasks = eventually(lambda: snapshot(stubs, session_id), "a quiet moment")
    check_session(now, tasks)
    ends.check(now, tasks)
    if len(tasks) <= 50:
        asked = [stubs.GetTask(session_id=now.id, task_id=task.id) for task in tasks]
        check_order([decode_task(one) for one in asked])


def snapshot(stubs: Stubs, session_id: str) -> tuple[SessionInfo, list[Task]] | None:
    """Return a session and its tasks if nothing moved while they were read."""
    before = decode_session(stubs.GetSession(session_id=session_id))
    tasks = [decode_task(one) for one in stubs.ListTask(session_id=session_id)]
    after = decode_session(stubs.GetSession(session_id=session_id))
    return (after, tasks) if before.counts == after.counts else None


@pytest.fixture
def application(target: Target) -> Iterator[str]:
    """Yield an application of the recorded service; its sessions are closed afterwards."""
    name = target.register()
    yield name
    for session in target.connection.list_sessions():
        if session.application == name and session.state.name == "OPEN":
            session.close()
    target.connection.unregister_application(name)
