"""Reading what services wrote: in order, from where it ended, also after a cut."""

from __future__ import annotations

import os
from pathlib import Path

from flamepy.cli.service_logs import Follower, log_files, tail_lines
from flamepy.local.services.kept_logs import KeptLogs


def write(folder: Path, executor: str, text: str, at: int, *, err: bool = False) -> Path:
    path = KeptLogs(folder).paths("s", executor)[err]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def test_files_come_by_their_last_write_and_empty_ones_not(tmp_path: Path) -> None:
    write(tmp_path, "late", "x", 9)
    write(tmp_path, "early", "x", 5, err=True)
    write(tmp_path, "silent", "", 7)
    found = log_files(tmp_path, "s")
    assert [(one.executor, one.stream) for one in found] == [("early", "err"), ("late", "out")]
    assert [one.executor for one in log_files(tmp_path, "s", "out")] == ["late"]
    assert log_files(tmp_path, "other") == []


def test_a_tail_is_the_last_lines(tmp_path: Path) -> None:
    write(tmp_path, "e", "1\n2\n3\n", 1)
    (file,) = log_files(tmp_path, "s")
    assert tail_lines(file, 2) == ["2", "3"]
    assert tail_lines(file, 0) == []
    follower = Follower(tmp_path, "s", None)
    assert [data for _, data in follower.skip_to(1)] == [b"3\n"]


def test_a_follower_reads_on_and_begins_again_after_a_cut(tmp_path: Path) -> None:
    path = write(tmp_path, "e", "one\n", 1)
    follower = Follower(tmp_path, "s", None)
    assert [data for _, data in follower.skip_to(None)] == [b"one\n"]
    assert list(follower.more()) == []
    with path.open("a") as file:
        file.write("two\n")
    assert [data for _, data in follower.more()] == [b"two\n"]
    path.write_text("cut\n")
    assert [data for _, data in follower.more()] == [b"cut\n"]
