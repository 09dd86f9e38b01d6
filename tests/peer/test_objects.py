"""The official SDK reads what we write and writes what we read, in every format, on our server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peer import objects

from flamepy.local import LocalCluster
from flamepy.rpc.implicit import reset_implicit_link

SCRIPT = str(Path(__file__).parent / "objects.py")
pytestmark = pytest.mark.timeout(700)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(executors=1) as running:
        yield running


@pytest.fixture(autouse=True)
def configured(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cluster.cache_endpoint)
    reset_implicit_link()


def theirs(python: str, *arguments: str) -> Any:
    done = subprocess.run(
        [python, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def expected(name: str) -> list[Any]:
    if name == "dataset":
        return objects.described(objects.VALUES[name].to_arrow())
    return objects.described(objects.VALUES[name])


PATCHED = [
    objects.described({"base": 1}),
    *map(objects.described, objects.DELTAS),
    2 + len(objects.DELTAS),
]


def test_it_reads_what_we_write(official: str) -> None:
    refs = objects.write([name for name in objects.VALUES if name != "dataset"])
    found = theirs(official, "read", json.dumps(refs))
    assert found.pop("patched") == PATCHED
    assert len(found) == len(objects.VALUES) - 1
    for name, described in found.items():
        assert described == expected(name), name


def test_we_read_what_it_writes(official: str) -> None:
    names = [name for name in objects.VALUES if name not in objects.TOO_MUCH]
    found = objects.read(theirs(official, "write", *names))
    assert found.pop("patched") == PATCHED
    for name, described in found.items():
        if name == "booleans":
            # Its form for them is Arrow's, which has no booleans there.
            assert described[1:3] == ["uint8", [2]]
            continue
        assert described == expected(name), name
