"""A database that is not ours, or broken, is named and left as it is to the byte."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from flamepy.errors import ConfigError
from flamepy.local.storage.database import NAME, open_database


def made(folder: Path) -> Path:
    database, fresh = open_database(folder)
    assert fresh
    database.execute("INSERT INTO applications VALUES ('a', x'00')")
    database.close()
    return folder / NAME


def refused(path: Path, says: str) -> None:
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    with pytest.raises(ConfigError, match=says) as caught:
        open_database(path.parent)
    assert str(path) in caught.value.message
    assert "left as it is" in caught.value.message
    assert {name: (path.parent / name).read_bytes() for name in before} == before


def test_it_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    database, fresh = open_database(tmp_path)
    assert not fresh
    assert database.execute("SELECT name FROM applications").fetchall() == [("a",)]
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_what_a_crash_left_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.new").write_bytes(b"half")
    made(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_text_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text("dear diary " * 100)
    refused(path, "no SQLite database")


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.touch()
    refused(path, "no SQLite database")


def test_somebody_elses_database(tmp_path: Path) -> None:
    path = tmp_path / NAME
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (id)")
    other.close()
    refused(path, "database of another program")


def test_a_newer_format(tmp_path: Path) -> None:
    path = made(tmp_path)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 7")
    newer.close()
    refused(path, r"newer flamepy \(format 7; this one knows 1\).*upgrade")


def test_pages_of_noise(tmp_path: Path) -> None:
    path = made(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[4096 : 4096 * 3] = b"\xa5" * 8192
    path.write_bytes(raw)
    refused(path, "cannot be read")


def test_a_file_that_lost_its_end(tmp_path: Path) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    refused(path, "cannot be read")


def test_a_folder_that_is_read_only_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        open_database(tmp_path)


def test_a_new_one_that_cannot_be_made_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.new").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be made: .*; make room, or give a folder"):
        open_database(tmp_path)
    assert not (tmp_path / NAME).exists()


def test_a_log_that_lost_its_end_counts_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    database, _ = open_database(tmp_path / "whole")
    for name in ("a", "b"):
        database.execute("INSERT INTO applications VALUES (?, x'00')", (name,))
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    database.close()
    log = tmp_path / "cut" / f"{NAME}-wal"
    log.write_bytes(log.read_bytes()[:-100] + b"\xaa" * 100)
    left, fresh = open_database(tmp_path / "cut")
    assert not fresh
    assert left.execute("SELECT name FROM applications").fetchall() == [("a",)]
    left.close()
