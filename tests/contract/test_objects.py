"""The object cache, ours in process, ours by ``flamepy up``, and one given: what each must do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.objects import client_of

from flamepy.errors import InvalidArgumentError, ObjectNotFoundError
from flamepy.local import LocalCluster
from flamepy.objects.client import ObjectClient
from flamepy.wire.objects import ObjectKey, ObjectRef


@pytest.fixture(scope="module")
def cache_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "local":
        with LocalCluster(executors=1) as cluster:
            yield cluster.cache_endpoint
    elif request.param == "process":
        command = [sys.executable, "-m", "flamepy", "up", "--port", "0"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            yield process.stdout.readline().split()[3]
            process.terminate()
            assert process.wait(20) == 0
    else:
        yield request.config.getoption("--flame-cache-endpoint")


@pytest.fixture
def client(cache_endpoint: str) -> Iterator[ObjectClient]:
    with client_of(cache_endpoint) as made:
        yield made


@pytest.fixture
def prefix(client: ObjectClient) -> Iterator[str]:
    """Yield a prefix that nobody else uses; what is below it is deleted."""
    key = ObjectKey("contract", "s").with_generated_id()
    named = f"contract/{key.object_id}"
    yield named
    client.delete(named)


def both(base: Any, patches: list[Any]) -> tuple[Any, list[Any]]:
    return base, patches


def test_versions_count_puts_and_patches(client: ObjectClient, prefix: str) -> None:
    ref = client.put(prefix, b"1")
    assert ref.version == 1
    assert ref.key.startswith(f"{prefix}/")
    ref = client.patch(ref, b"2")
    ref = client.patch(ref, b"3")
    assert ref.version == 3
    assert client.get(ref, both) == (b"1", [b"2", b"3"])
    ref = client.update(ref, b"4")
    assert ref.version == 4
    assert client.get(ref, both) == (b"4", [])


def test_another_clients_patches_are_read(client: ObjectClient, prefix: str) -> None:
    ref = client.put(prefix, b"base")
    assert client.get(ref, both) == (b"base", [])
    with client_of(client.routes.configured) as other:
        for number in range(3):
            other.patch(ref, number)
    assert client.get(ref, both) == (b"base", [0, 1, 2])
    assert client.cache_info().increments == 1
    assert client.get(ref, both) == (b"base", [0, 1, 2])
    assert client.cache_info().hits == 1
    with client_of(client.routes.configured) as other:
        other.update(ref, b"other")
    assert client.get(ref, both) == (b"other", [])


def test_what_is_not_there_is_said(client: ObjectClient, prefix: str) -> None:
    ref = ObjectRef("", f"{prefix}/nothing", 1)
    with pytest.raises(ObjectNotFoundError, match=f"object <{ref.key}> not found"):
        client.get(ref)
    with pytest.raises(ObjectNotFoundError, match="not found for patch"):
        client.patch(ref, b"")
    client.delete(ref.key)


def test_a_delete_takes_what_it_names(client: ObjectClient, prefix: str) -> None:
    one, two = client.put(prefix, 1), client.put(prefix, 2)
    other = client.put(f"{prefix}x", 3)
    client.delete(one.key)
    with pytest.raises(ObjectNotFoundError):
        client.get(one)
    assert client.get(two) == 2
    client.delete(prefix)
    with pytest.raises(ObjectNotFoundError):
        client.get(two)
    assert client.get(other) == 3
    client.delete(f"{prefix}x")


VALUES = {
    "bytes": b"x" * 1000,
    "nothing": b"",
    "large": b"y" * (9 << 20),
    "array": np.arange(1000.0).reshape(10, 100),
    "table": pa.table({"x": [1, None], "y": ["a", "b"]}),
    "large table": pa.table({"x": np.arange(1 << 20)}),
    "empty table": pa.table({"x": pa.array([], pa.int64())}),
    "object": {"a": [1, 2]},
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(client: ObjectClient, prefix: str, name: str) -> None:
    value = VALUES[name]
    read = client.get(client.put(prefix, value))
    assert np.array_equal(read, value) if isinstance(value, np.ndarray) else read == value
    ref = client.update(client.put(prefix, 0), value)
    ref.version = 0
    read = client.get(ref)
    assert np.array_equal(read, value) if isinstance(value, np.ndarray) else read == value


def test_files_come_back(client: ObjectClient, prefix: str, tmp_path: Path) -> None:
    for size in (0, 1, 5 << 20):
        path = tmp_path / "file"
        path.write_bytes(b"z" * size)
        ref = client.upload(prefix, path)
        client.download(ref, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == path.read_bytes()
        assert client.upload(ref.key, path).version == 2


@pytest.mark.parametrize("key", ["a", "a//c", "a/../c", "*/b", "a/*/c", "a/b/c/d"])
def test_keys_are_refused_here_as_there(client: ObjectClient, key: str) -> None:
    with pytest.raises(InvalidArgumentError):
        client.delete(key)
