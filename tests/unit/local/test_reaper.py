"""What a killed cluster leaves is ended; what a stopped one left is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.local.reaper import Reaper

WAIT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "cluster"
    made.mkdir()
    return made


def started(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        WAIT, stdin=subprocess.PIPE, start_new_session=True, env={**os.environ, **environment}
    )


def test_groups_that_live_and_the_folder_are_ended(folder: Path) -> None:
    reaper = Reaper(folder)
    reaper.start()
    with started() as living, started() as stopped:
        reaper.add(living.pid)
        reaper.add(stopped.pid)
        reaper.discard(stopped.pid)
        reaper.close()  # as the end of the cluster does: its end of the pipe closes
        assert living.wait(10) == -9
        assert stopped.poll() is None
        stopped.communicate()
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="found by /proc")
def test_a_service_that_was_not_announced_yet(folder: Path) -> None:
    reaper = Reaper(folder)
    reaper.start()
    with (
        started(FLAME_INSTANCE_ENDPOINT=f"{folder}/x.sock") as mine,
        started(FLAME_INSTANCE_ENDPOINT=f"{folder}-other/x.sock") as other,
    ):
        eventually(lambda: b"FLAME" in Path(f"/proc/{mine.pid}/environ").read_bytes(), "its start")
        reaper.close()
        assert mine.wait(10) == -9
        assert other.poll() is None
        other.communicate()


def test_a_killed_reaper_disturbs_nobody(folder: Path) -> None:
    reaper = Reaper(folder)
    reaper.start()
    process = reaper._process
    assert process is not None
    process.kill()
    process.wait()
    reaper.add(1 << 22)
    reaper.close()
    reaper.close()
