"""``flamepy cache``: what it lists, shows, writes and removes, as tables and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.objects import client_of, serving

from flamepy.local.object_cache.server import ObjectCache
from flamepy.objects.client import ObjectClient
from flamepy.wire.objects import ObjectRef


@pytest.fixture
def cache() -> Iterator[ObjectCache]:
    with serving() as running:
        yield running


@pytest.fixture
def client(cache: ObjectCache) -> Iterator[ObjectClient]:
    with client_of(cache.endpoint) as made:
        yield made


Run = Callable[..., str]


@pytest.fixture
def run(cache: ObjectCache) -> Run:
    def call(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "flamepy", "cache", "--endpoint", cache.endpoint]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return call


def test_list_as_a_table_and_as_json(run: Run, client: ObjectClient) -> None:
    assert json.loads(run("list")) == []
    for key in ("a/s/one", "a/t/two", "b/s/three"):
        client.update(ObjectRef("", key), bytes(100))
    listed = json.loads(run("list"))
    assert [one["key"] for one in listed] == ["a/s/one", "a/t/two", "b/s/three"]
    assert all(100 < one["bytes"] < 200 for one in listed)
    assert [one["key"] for one in json.loads(run("list", "a/"))] == ["a/s/one", "a/t/two"]
    table = run("list", "--table", "a/").splitlines()
    assert table[0].split() == ["KEY", "BYTES"]
    assert [line.split()[0] for line in table[1:]] == ["a/s/one", "a/t/two"]


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (b"bytes", "bytes", "b'bytes'"),
        ({"a": 1}, "dict", "{'a': 1}"),
        (np.arange(3), "ndarray", "array([0, 1, 2])"),
        (Path("x"), "pickle", None),
        (b"x" * 1000, "bytes", f"b'{'x' * 198}..."),
    ],
    ids=lambda one: type(one).__name__,
)
def test_get_shows_what_an_object_is(
    run: Run, client: ObjectClient, value: Any, kind: str, shown: str | None
) -> None:
    ref = client.patch(client.put("a/s", value), 1)
    (found,) = json.loads(run("get", ref.key))
    assert (found["version"], found["patches"], found["kind"]) == (2, 1, kind)
    assert found["value"] == shown


def test_files_go_in_and_out(run: Run, client: ObjectClient, tmp_path: Path) -> None:
    path, copy = tmp_path / "in", tmp_path / "out"
    path.write_bytes(b"a file's bytes")
    (made,) = json.loads(run("put", "a/pkg/file", str(path)))
    assert (made["key"], made["version"]) == ("a/pkg/file", 1)
    (made,) = json.loads(run("put", "a/pkg", str(path)))
    assert run("get", made["key"], "--output", str(copy)) == ""
    assert copy.read_bytes() == b"a file's bytes"
    assert json.loads(run("get", "a/pkg/file"))[0]["kind"] == "file"


def test_rm_removes_what_is_named(run: Run, client: ObjectClient) -> None:
    for key in ("a/s/1", "a/s/2", "a/t/1", "b/s/1"):
        client.update(ObjectRef("", key), 1)
    run("rm", "a/s", "b/s/1")
    assert [one["key"] for one in json.loads(run("list"))] == ["a/t/1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get", "a/s/nothing"), "flamepy cache get: object <a/s/nothing> not found"),
        (("get", "a/s"), "flamepy cache get: Invalid key 'a/s': expected"),
        (("put", "a", "x"), "flamepy cache put: Invalid path 'a'"),
        (("put", "a/s", "nothing"), "flamepy cache put: File not found: nothing"),
        (("rm", "a"), "flamepy cache rm: Invalid path 'a'"),
    ],
)
def test_an_error_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    err = run(*arguments, status=1)
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


def test_a_cache_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "flamepy", "cache", "--endpoint", "grpc://127.0.0.1:1", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "flamepy cache list: cannot reach the object cache at grpc://127.0.0.1:1"
    )
