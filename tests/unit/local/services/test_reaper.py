"""What a killed cluster leaves is ended; what a stopped one left is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.frozen import freeze
from support.waiting import eventually

from flamepy.local.folders import Folders
from flamepy.local.services.reaper import Reaper

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
    reaper = Reaper(Folders(folder, folder))
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
    reaper = Reaper(Folders(folder, folder))
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
    reaper = Reaper(Folders(folder, folder))
    reaper.start()
    process = reaper._process
    assert process is not None
    process.kill()
    process.wait()
    reaper.add(1 << 22)
    reaper.close()
    reaper.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_every_process_does_not_end_it_before_the_cluster(
    folder: Path, number: signal.Signals
) -> None:
    reaper = Reaper(Folders(folder, folder))
    reaper.start()
    process = reaper._process
    assert process is not None
    eventually(lambda: ignores(process.pid, number), "its start")
    with started() as living:
        reaper.add(living.pid)
        process.send_signal(number)
        reaper.close()
        assert living.wait(10) == -9
    assert not folder.exists()


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (number - 1) & 1)


def test_one_that_is_stopped_holds_up_nobody(folder: Path) -> None:
    """Its pipe is full some time; nothing of it is lost."""
    reaper = Reaper(Folders(folder, folder))
    reaper.start()
    process = reaper._process
    assert process is not None
    freeze(process.pid)
    with started() as living, started() as stopped:
        reaper.add(living.pid)
        reaper.add(stopped.pid)
        for _ in range(20_000):
            reaper.add(1 << 22)
            reaper.discard(1 << 22)
        assert reaper._unsent, "the pipe took all: this test fills it no more"
        process.send_signal(signal.SIGCONT)

        def sent() -> bool:
            reaper.discard(stopped.pid)
            return not reaper._unsent

        eventually(sent, "what is left to be written")
        reaper.close()
        assert living.wait(10) == -9
        assert stopped.poll() is None
        stopped.communicate()


def test_both_folders_are_removed(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    reaper = Reaper(Folders(work, folder))
    reaper.start()
    reaper.close()
    assert not folder.exists()
    assert not work.exists()
