"""Files: they come back, whole or not at all, and what goes wrong is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flamepy.errors import InvalidArgumentError, InvalidStateError, ObjectNotFoundError
from flamepy.objects.client import ObjectClient
from flamepy.wire.objects import ObjectRef


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(os.urandom(9 << 20))
    return made


def test_a_file_comes_back_with_progress(client: ObjectClient, path: Path, tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    ref = client.upload("a/pkg", path, progress=lambda *step: sent.append(step))
    assert len(sent) == 3
    assert sent[-1] == (9 << 20, 9 << 20)
    written: list[tuple[int, int]] = []
    client.download(ref, tmp_path / "copy", progress=lambda *step: written.append(step))
    assert written[-1] == (9 << 20, 9 << 20)
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_a_full_key_is_kept(client: ObjectClient, path: Path) -> None:
    ref = client.upload("a/pkg/app.tar.gz", path)
    assert (ref.key, ref.version) == ("a/pkg/app.tar.gz", 1)
    assert client.upload("a/pkg/app.tar.gz", path).version == 2


def test_a_download_that_fails_leaves_what_was_there(
    client: ObjectClient, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "copy").write_text("before")
    ref = client.upload("a/pkg", path)

    def fail(done: int, total: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        client.download(ref, tmp_path / "copy", progress=fail)
    with pytest.raises(ObjectNotFoundError):
        client.download(ObjectRef("", "a/b/c"), tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "file"]


def test_what_is_no_file_is_said(client: ObjectClient, tmp_path: Path) -> None:
    import pyarrow as pa

    with pytest.raises(InvalidStateError, match="is a table"):
        client.download(client.put("a/s", pa.table({"x": [1]})), tmp_path / "copy")
    with pytest.raises(InvalidStateError, match="was patched"):
        client.download(client.patch(client.put("a/s", 1), 2), tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match="File not found"):
        client.upload("a/pkg", tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        client.download(client.put("a/s", 1), tmp_path)


@pytest.mark.parametrize("key", ["a", "a/*", "a/b/c/d", "a/b:c"])
def test_a_bad_key_is_refused(client: ObjectClient, path: Path, key: str) -> None:
    with pytest.raises(InvalidArgumentError):
        client.upload(key, path)


@pytest.mark.parametrize(("size", "said"), [(100, "became shorter"), (10 << 20, "grew")])
def test_a_file_that_changes_meanwhile_is_not_stored(
    client: ObjectClient, path: Path, size: int, said: str
) -> None:
    changed: list[Any] = []

    def change(done: int, total: int) -> None:
        if not changed:
            changed.append(os.truncate(path, size))

    with pytest.raises(InvalidStateError, match=f"{said} .*nothing was stored"):
        client.upload("a/pkg/o", path, progress=change)
    with pytest.raises(ObjectNotFoundError):
        client.get(ObjectRef("", "a/pkg/o"))
