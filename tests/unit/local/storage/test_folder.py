"""One process at a time has a data folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from flamepy.errors import ConfigError, InvalidArgumentError, InvalidStateError
from flamepy.local.storage.folder import DataFolder


def test_it_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.acquire()
    assert folder.path.stat().st_mode & 0o077 == 0
    folder.release()
    folder.release()


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.acquire()
    with pytest.raises(
        InvalidStateError, match=rf"in use by the cluster of process {os.getpid()}:"
    ):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_an_empty_path_is_not_the_working_directory() -> None:
    with pytest.raises(InvalidArgumentError, match="give a folder"):
        DataFolder("")


def test_a_file_system_without_locks_is_not_called_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(ConfigError, match="cannot be locked: No locks available"):
        DataFolder(tmp_path).acquire()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file cannot be used: .*; give a folder"):
        DataFolder(tmp_path / "file").acquire()
