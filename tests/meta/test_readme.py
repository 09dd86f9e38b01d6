"""docs/official-sdk.md: each row of its table is checked here, on our side; the README is short."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flamepy import core, errors
from flamepy.core import cache, client
from flamepy.errors import FlameErrorCode
from flamepy.types import Executor, Node, TaskState

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "official-sdk.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE)


def takes(function: Callable[..., object], *names: str) -> bool:
    """Return True if these are the first positional parameters, in that order."""
    given = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    return tuple(given[: len(names)]) == names


def same_session_calls() -> bool:
    order = "application common_data session_id min_instances max_instances batch_size resreq"
    calls = (client.open_session, client.get_session, client.close_session)
    return (
        takes(client.connect, "addr", "tls_config")
        and takes(client.create_session, *order.split())
        and takes(client.open_session, "session_id", "spec")
        and all(takes(call, "session_id") for call in calls)
        and all(
            "timeout" in inspect.signature(call).parameters
            for call in (*calls, client.create_session, client.list_sessions)
        )
    )


def callbacks() -> set[str]:
    return {name for name in dir(core.TaskInformer) if name.startswith("on_")}


def more(*names: str) -> Callable[[], bool]:
    return lambda: all(hasattr(client, name) for name in names)


def same_object_calls() -> bool:
    more = {"copy", "allow_pickle", "progress", "timeout", "retry"}
    return (
        takes(cache.put_object, "key_prefix", "obj")
        and takes(cache.get_object, "ref", "deserializer")
        and takes(cache.put_objects, "key_prefix", "objs")
        and takes(cache.get_objects, "refs", "deserializer")
        and takes(cache.update_object, "ref", "new_obj")
        and takes(cache.patch_object, "ref", "delta")
        and takes(cache.upload_object, "key_or_prefix", "file_path")
        and takes(cache.download_object, "ref", "dest_path")
        and takes(cache.delete_objects, "key_prefix")
        and more < set(inspect.signature(cache.get_object).parameters)
    )


def packages() -> bool:
    names = ("informers", "aio", "local", "testing")
    return all(importlib.import_module(f"flamepy.{name}") for name in names)


def official_layers() -> bool:
    found = [importlib.import_module(f"flamepy.{name}") for name in ("runner", "service", "tools")]
    return all(hasattr(package, name) for package in found for name in package.__all__)


def newer_names() -> bool:
    return (
        core.Session.submit is core.Session.run
        and core.aio.connect is importlib.import_module("flamepy.aio").connect
        and core.TaskOptions(affinity={b"a"}).affinity == {b"a"}
        and int(core.Shim.CRI) == 3
    )


CHECKS: dict[str, Callable[[], bool]] = {
    "connect": same_session_calls,
    "register_application": lambda: takes(client.register_application, "name", "app_attrs"),
    "FlameService": lambda: takes(core.run, "service"),
    "TaskInformer": lambda: {"on_update", "on_error", "on_succeeded", "on_failed"} < callbacks(),
    "FlameErrorCode": lambda: [int(code) for code in FlameErrorCode] == list(range(13)),
    "FlameError.code": lambda: errors.SessionNotFoundError("x").code is FlameErrorCode.NOT_FOUND,
    "errors": lambda: issubclass(errors.DeadlineExceededError, TimeoutError),
    "a failed task": lambda: issubclass(errors.TaskFailedError, errors.FlameError),
    "TaskState": lambda: TaskState.CANCELLED == 4 and int(TaskState(17)) == 17,
    "list_executors": lambda: all(map(dataclasses.is_dataclass, (Executor, Node))),
    "futures": lambda: issubclass(errors.TaskLostError, errors.FlameError),  # tests/unit/core
    "watch_task(timeout=)": lambda: takes(core.Session.watch_task, "self", "task_id", "timeout"),
    "update_application": more("update_application", "delete_session", "get_node"),
    "flamepy.informers": packages,
    "put_object": same_object_calls,
    "pickles": lambda: core.Task.__module__ == "flamepy.core.types",  # tests/peer/test_pickles.py
    "flamepy.service": official_layers,
    "flamepy.runner": official_layers,
    "flamepy.core.cache": lambda: importlib.import_module("flamepy.proto.types_pb2").Task,  # peer
    "names of the SDK after 0.6": newer_names,
    "flamepy.tools": official_layers,
}


def key(label: str) -> str:
    return label.split(",")[0].strip("` ")


def test_every_row_has_a_check_and_every_check_a_row() -> None:
    assert [key(label) for label, _ in ROWS] == list(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_row_says_the_truth(name: str) -> None:
    assert CHECKS[name]()


def test_the_numbers_in_the_table_are_right() -> None:
    text = dict((key(label), said) for label, said in ROWS)
    assert "five others" in text["FlameErrorCode"]
    assert len(FlameErrorCode) - 6 - 2 == 5


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    for path in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{path.name})" in text, path.name
    table = (ROOT / "examples" / "README.md").read_text()
    for path in (ROOT / "examples").glob("*/README.md"):
        assert f"]({path.parent.name})" in table, path.parent.name
