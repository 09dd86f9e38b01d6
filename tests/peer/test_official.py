"""Beside the official SDK 0.6.0: the same surface, and either end of our cluster."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flamepy import core
from flamepy.core import ApplicationAttributes, connect
from flamepy.errors import TaskFailedError
from flamepy.local import LocalCluster

HERE = Path(__file__).parent
RECORDED = str(HERE.parent / "support" / "recorded_service.py")

# What the official SDK has and this library does not, with the reason.
LEFT_OUT = {
    **dict.fromkeys(
        ("ConnectionInstance", "FlameInstanceServer", "FlameInstanceServicer"),
        "its inner workings",
    ),
}
# The same of every module, also of those that are no packages.
INNER = "its inner workings"
LEFT_OUT_OF_MODULES = {
    "flamepy.core": dict.fromkeys(LEFT_OUT, INNER),
    "flamepy.core.cache": {
        **dict.fromkeys(
            (
                *("CACHE_FORMAT_ARROW_TABLE", "CACHE_FORMAT_METADATA_KEY", "CACHE_FORMAT_OPAQUE"),
                *("CACHE_LOGICAL_TYPE_METADATA_KEY", "CACHE_VERSION_METADATA_KEY"),
                *("LOGICAL_TYPE_DATASET", "LOGICAL_TYPE_PANDAS_DATAFRAME"),
                *("LOGICAL_TYPE_POLARS_DATAFRAME", "LOGICAL_TYPE_PYARROW_RECORD_BATCH"),
                *("LOGICAL_TYPE_PYARROW_TABLE", "OBJECT_FIELD_DATA", "OBJECT_FIELD_VERSION"),
                *("OBJECT_RESPONSE_FIELD_KIND", "GRPC_OPTIONS"),
            ),
            "what its messages are made of; docs/objects.md has the formats",
        ),
        **dict.fromkeys(
            ("CachePayload", "FetchMode", "FetchResult", "Object", "ObjectResponseKind", "Patch"),
            INNER,
        ),
    },
    "flamepy.core.client": dict.fromkeys(
        ("ConnectionInstance", "FrontendStub", "TaskIterator"), INNER
    ),
    "flamepy.core.service": dict.fromkeys(
        (
            *("FlameInstanceServer", "FlameInstanceServicer", "InstanceServicer", "TraceFn"),
            "add_InstanceServicer_to_server",
        ),
        INNER,
    ),
    "flamepy.proto": dict.fromkeys(
        ("frontend_pb2_grpc", "shim_pb2_grpc"), "generated stubs: this library calls without them"
    ),
    "flamepy.runner.e2e": {"flamepy": "an import"},
    "flamepy.runner.runpy": {"put_object": "an import"},
    "flamepy.runner.storage": {"TYPE_CHECKING": "an import"},
    "flamepy.service.instance": dict.fromkeys(
        ("debug_service", "entrypoint_local_api", "run_debug_service"),
        "a web server that unpickles what anybody sends",
    ),
}
# Parameters that are called differently here.
RENAMED = {("Connection", "create_session"): "attrs or an application's name with its attributes"}


def run(python: str, script: str, *arguments: str, **environment: str) -> Any:
    done = subprocess.run(
        [python, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def surface(official: str) -> dict[str, Any]:
    described: dict[str, Any] = run(official, "describe.py")
    return described


def positional(function: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = inspect.signature(function).parameters.values()
    return [one.name for one in given if one.kind in kinds]


@pytest.mark.timeout(700)
class TestSurface:
    def test_every_name_is_here_or_left_out_for_a_reason(self, surface: dict[str, Any]) -> None:
        absent = {name for name in surface if not hasattr(core, name)}
        assert absent == set(LEFT_OUT)

    def test_every_name_of_every_module_is_here_or_left_out_for_a_reason(
        self, official: str
    ) -> None:
        absent: dict[str, set[str]] = {}
        for module, names in run(official, "names.py").items():
            ours = importlib.import_module(module)
            missing = {name for name in names if not hasattr(ours, name)}
            if missing:
                absent[module] = missing
        assert absent == {name: set(left) for name, left in LEFT_OUT_OF_MODULES.items()}

    def test_the_messages_are_under_the_official_paths(self) -> None:
        from flamepy._proto import types_pb2

        assert importlib.import_module("flamepy.proto.types_pb2") is types_pb2
        assert importlib.import_module("flamepy.proto").frontend_pb2.CreateTaskRequest

    def test_parameters_keep_their_names_and_order(self, surface: dict[str, Any]) -> None:
        for name, described in surface.items():
            if name in LEFT_OUT:
                continue
            ours = getattr(core, name)
            if "parameters" in described:
                wanted = described["parameters"]
                assert positional(ours)[: len(wanted)] == wanted, name
            for method, wanted in described.get("methods", {}).items():
                if (name, method) not in RENAMED:
                    assert positional(getattr(ours, method))[: len(wanted)] == wanted, (
                        f"{name}.{method}"
                    )

    def test_fields_keep_their_order_and_numbers_their_meaning(
        self, surface: dict[str, Any]
    ) -> None:
        for name, described in surface.items():
            ours = getattr(core, name, None)
            if name not in LEFT_OUT and "fields" in described:
                fields = [one.name for one in dataclasses.fields(ours)]
                assert fields[: len(described["fields"])] == described["fields"], name
            for member, number in described.get("members", {}).items():
                assert ours[member] == number, f"{name}.{member}"


# What engines after 0.6 have besides (docs/protocol.md#dialects); "workspace" apart.
NEWER = {
    "ExecutorAttributes": {"attr"},
    "ExecutorSpec": {"application"},
    "Frontend": {"ListApplications", "ListExecutors", "ListSessions", "ListTasks", "WatchTasks"},
    "ListApplicationRequest": {"state"},
    "ListSessionRequest": {"application", "state"},
    "OnSessionEnterResponse": {"attributes", "result"},
    "OnTaskInvokeResponse": {"attributes", "task_result"},
    "Shim": {"Cri"},
    "TaskSpec": {"affinity"},
}


@pytest.mark.timeout(700)
def test_the_messages_are_the_same(official: str) -> None:
    theirs = run(official, "descriptors.py", "flamepy.proto")
    ours = run(sys.executable, "descriptors.py", "flamepy._proto")
    assert len(theirs) > 40
    # The one difference; ours has both numbers (docs/protocol.md#services).
    assert theirs["flame.v1.TaskContext"].pop("input") == ours["flame.v1.TaskContext"].pop(
        "input_sdk"
    )
    del ours["flame.v1.TaskContext"]["input"]
    for name, fields in list(ours.items()):
        newer = NEWER.get(name.removeprefix("flame.v1."), set())
        assert newer <= fields.keys(), name
        for field in {*newer, "workspace"} & (fields.keys() - theirs.get(name, {}).keys()):
            del fields[field]
        if not fields and name not in theirs:
            del ours[name]
    assert ours == theirs


@pytest.mark.timeout(700)
def test_it_is_a_client_of_our_cluster(official: str) -> None:
    with LocalCluster(executors=2) as cluster:
        seen = run(official, "client.py", RECORDED, sys.executable, FLAME_ENDPOINT=cluster.endpoint)
    assert seen == {
        "application": "peer",
        "state": "OPEN",
        "invoke": "hi",
        "common": "cd",
        "runs": ["x"] * 5,
        "watched": "SUCCEED",
        "output": "slept 300",
        "listed": 8,
        "failed": "no way",
        "sessions": [True],
    }


# What engine 0.6 was recorded to say of each mistake (the SDK puts its own words before).
SAID = {
    "register twice": "Application 'peer' already exists",
    "register a bad name": ("application name contains invalid characters (path traversal): a/b"),
    "create without application": (
        "Application nothing not found: No such file or directory (os error 2)"
    ),
    "get a session that is not there": "nothing",
    "open a session that is not there": "Session nothing not found",
    "close a session that is not there": "session <nothing>",
    "unregister what is not there": (
        "Failed to delete application 'nothing': No such file or directory (os error 2)"
    ),
    "create twice": "Session 'p1' already exists",
    "open with another specification": (
        "session <p1> spec mismatch: min_instances differs (expected 0, got 1)"
    ),
    "unregister with an open session": "Cannot unregister application 'peer': has open sessions",
    "a task that fails": "Task failed without error message",  # a watch has no event of the end
    "get a task that is not there": "99",
    "get a task without a number": "invalid task id",
    "close while a task runs": "Cannot close session with running tasks",
    "a task for a closed session": "Cannot create task in closed session",
    "open a closed session": "Session p1 is not open",
    "get a dropped session": "p1",
}


@pytest.mark.timeout(700)
def test_its_mistakes_are_answered_as_an_engine_answers(official: str) -> None:
    with LocalCluster(executors=2) as cluster:
        seen = run(
            official, "mistakes.py", RECORDED, sys.executable, FLAME_ENDPOINT=cluster.endpoint
        )
    for mistake, text in SAID.items():
        kind, code, message = seen.pop(mistake)
        assert kind == "FlameError", mistake
        assert message == text or message.endswith(f": {text}"), mistake
        certain = "open a" in mistake or mistake == "open with another specification"
        assert (code != "INTERNAL") is certain, (mistake, code)
    assert seen == {
        "application that is not there": None,
        "application": "peer",
        "applications": True,
        "opened": "p1",
        "executors": 1,
        "nodes": 1,
        "ended": "SUCCEED",
        "closed": "CLOSED",
        "sessions": ["p1"],
    }


@pytest.mark.timeout(700)
def test_its_services_run_under_our_cluster(official: str) -> None:
    spec = ApplicationAttributes(command=official, arguments=[str(HERE / "service.py")])
    with (
        LocalCluster(executors=1, apps=[("theirs", spec)]) as cluster,
        connect(cluster.endpoint) as connection,
        connection.create_session("theirs", b"cd ") as session,
    ):
        assert session.invoke(b"x", timeout=60) == b"cd x"
        with pytest.raises(TaskFailedError, match="no way"):
            session.invoke(b"fail", timeout=60)
        assert session.invoke(b"y", timeout=60) == b"cd y"
