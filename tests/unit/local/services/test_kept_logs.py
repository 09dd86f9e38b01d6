"""The kept output of services: any session id is a folder of its own, and the oldest go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flamepy.local.services.kept_logs import KeptLogs, folder_of

IDS = ["s", "a/b", "..", ".", "x" * 5000, "x" * 5001, "ä\n", "%2F", "a%2Fb"]


def test_every_id_has_a_folder_of_its_own_inside(tmp_path: Path) -> None:
    folders = [folder_of(tmp_path, one) for one in IDS]
    assert len(set(folders)) == len(IDS)
    for folder in folders:
        folder.mkdir()  # the file system takes the name
        assert folder.resolve().parent == tmp_path


def test_the_oldest_files_go_when_there_is_too_much(tmp_path: Path) -> None:
    logs = KeptLogs(tmp_path / "logs", limit=25)
    paths = []
    for number in range(4):
        path, _ = logs.paths(f"s{number}", "e")
        logs.prepare(path)
        path.write_bytes(b"x" * 10)
        os.utime(path, (number, number))
        paths.append(path)
    logs.prepare(logs.paths("new", "e")[0])
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert not paths[0].parent.exists(), "an empty folder is left"
    assert (tmp_path / "logs" / "new").is_dir()


def test_the_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    logs = KeptLogs(tmp_path / "logs")
    logs.prepare(logs.paths("s", "e")[0])
    assert logs.folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_an_error_of_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    logs = KeptLogs(tmp_path / "logs")
    with pytest.raises(OSError, match="logs"):
        logs.prepare(logs.paths("s", "e")[0])
