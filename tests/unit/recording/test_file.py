"""The file of a recording: what was written is read, after a kill at any moment, and once."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flamepy.errors import ConfigError
from flamepy.recording import file as module
from flamepy.recording.file import Recording, RecordingFile


def write(path: Path, first: int, last: int, *, close: bool = True) -> RecordingFile:
    recording = RecordingFile(path)
    for number in range(first, last):
        recording.write({"type": "later", "value": number, "key": f"k{number}"})
    if close:
        recording.close()
    return recording


def values(path: Path) -> list[int]:
    with path.open("rb") as file:
        return [one["value"] for one in module._Blocks(file, path).fields()]


def test_it_is_one_gzip_file_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write(path, 0, 5000)
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert [json.loads(one)["n"] for one in lines] == list(range(1, 5001))
    assert path.stat().st_size < sum(map(len, lines)) / 3
    assert path.stat().st_mode & 0o077 == 0


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r"
    open_one = write(path, 0, 3, close=False)
    assert values(path) == [0, 1, 2]
    open_one.close()
    assert values(path) == [0, 1, 2]


def test_another_process_continues_it(tmp_path: Path) -> None:
    path = tmp_path / "r"
    assert not write(path, 0, 10).resumed
    second = write(path, 10, 20)
    assert second.resumed
    assert "k9" in second.last_keys
    assert values(path) == list(range(20))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_kill_at_any_byte_loses_at_most_the_end_and_repeats_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "r"
    written = data.draw(st.integers(1, 60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 1000)
        write(path, 0, written, close=False)._file.close()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        before = values(path) if cut else []
        assert before == list(range(len(before)))
        write(path, 1000, 1010)
        assert values(path) == [*before, *range(1000, 1010)]


def test_a_kill_in_the_middle_of_compressing_repeats_nothing(tmp_path: Path) -> None:
    """The member is written, the lines that it replaces are not cut off yet."""
    path = tmp_path / "r"
    recording = write(path, 0, 50, close=False)
    plain = path.read_bytes()
    recording._file.close()
    member = gzip.compress(plain, mtime=0)
    assert len(member) < len(plain)
    path.write_bytes(member + plain[len(member) :])
    assert values(path) == list(range(50))
    write(path, 50, 60)
    assert values(path) == list(range(60))


@pytest.mark.parametrize(
    "content",
    [b"hello\n", gzip.compress(b"hello\n", mtime=0), b"\x00" * 9],
    ids=["text", "gzip", "zeros"],
)
def test_another_file_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no recording"):
        RecordingFile(path)
    assert path.read_bytes() == content
    with pytest.raises(ConfigError, match="is no recording"):
        Recording(path)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        RecordingFile(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Recording(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(ConfigError, match="has no header"):
        Recording(empty)


def test_another_format_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "r"
    recording = RecordingFile(path)
    recording.write({"type": "header", "format": 99})
    recording.close()
    with pytest.raises(ConfigError, match="format 99 was written by another release"):
        Recording(path)


def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        return
    recording = RecordingFile(tmp_path / "r")
    recording._file.close()
    recording._file = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115  # closed below
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        recording.write({"type": "x"})
    recording._block.clear()
    recording.close()
