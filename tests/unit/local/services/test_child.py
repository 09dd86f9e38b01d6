"""Processes: started without fork hooks, their end noticed however the program treats children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.loops import run
from support.waiting import eventually

from flamepy.local.background import in_thread
from flamepy.local.services import child as module
from flamepy.local.services.child import Child, Command
from flamepy.local.services.orphans import Orphans


@pytest.fixture(params=["pidfd", "looks", "looks without waitid"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give Linux's way to notice an end, and those of systems that have less."""
    if request.param != "pidfd":
        monkeypatch.setattr(module, "_open_pidfd", lambda pid: None)
    if request.param == "looks without waitid":
        monkeypatch.delattr(os, "waitid")
    return str(request.param)


def started(folder: Path, text: str) -> Child:
    command = ["sh", "-c", text]
    return Child(Command(command, os.environ, folder, folder / "out", folder / "err"))


def ended(folder: Path, text: str, act: Callable[[Child], object] = lambda child: None) -> Child:
    async def go() -> Child:
        child = await in_thread("flamepy-process-start", lambda: started(folder, text))
        act(child)
        await child.wait()
        return child

    return run(go())


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("way")
class TestTheEnd:
    @pytest.mark.parametrize(("text", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("exit 0", 0)])
    def test_it_has_the_status(self, tmp_path: Path, text: str, code: int) -> None:
        child = ended(tmp_path, text)
        assert (child.over, child.returncode) == (True, code)
        assert not exists(child.pid), "it was not collected"

    def test_what_is_left_in_its_group_is_killed(self, tmp_path: Path) -> None:
        ended(tmp_path, "sleep 600 & echo $!")
        left = int((tmp_path / "out").read_text())
        eventually(lambda: not exists(left) or "Z" in state(left), "its child to end")

    def test_another_part_of_the_program_may_collect_it(self, tmp_path: Path) -> None:
        """As by ``os.waitpid(-1, 0)`` in a thread, or by a SIGCHLD that is ignored."""

        def collect(child: Child) -> None:
            assert os.waitpid(child.pid, 0)[0] == child.pid

        child = ended(tmp_path, "exit 7", collect)
        assert (child.over, child.returncode) == (True, None)

    def test_a_number_that_was_given_away_gets_no_signal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed: list[int] = []

        def collect(child: Child) -> None:
            os.waitpid(child.pid, 0)
            monkeypatch.setattr(os, "killpg", lambda pid, number: killed.append(pid))
            monkeypatch.setattr(module, "_exists", lambda pid: True)

        ended(tmp_path, "exit 7", collect)
        assert not killed

    def test_sigchld_may_be_ignored(self, tmp_path: Path) -> None:
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            assert ended(tmp_path, "exit 7").over
        finally:
            signal.signal(signal.SIGCHLD, before)

    def test_the_programs_handler_of_sigchld_stays_and_is_called(self, tmp_path: Path) -> None:
        calls: list[int] = []

        def note(number: int, frame: object) -> None:
            calls.append(number)

        before = signal.signal(signal.SIGCHLD, note)
        try:
            ended(tmp_path, "exit 7")
            assert signal.getsignal(signal.SIGCHLD) is note
            calls.clear()
            subprocess.run(["true"], check=True)
            eventually(lambda: calls, "the handler to be called for the program's own child")
        finally:
            signal.signal(signal.SIGCHLD, before)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child(Command(["/no/such"], {}, tmp_path, tmp_path / "out", tmp_path / "err"))


def test_no_fork_hook_runs(tmp_path: Path) -> None:
    """The hooks of this package close the connections of a whole program for a moment."""
    text = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "os.register_at_fork(before=lambda: print('a hook ran'))\n"
        "from flamepy.local.services.child import Child, Command\n"
        "folder = Path(sys.argv[1])\n"
        "child = Child(Command(['true'], {}, folder, folder / 'out', folder / 'err'))\n"
        "os.waitpid(child.pid, 0)\n"
        "print('started')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["started", ""]


class TestOrphans:
    @pytest.fixture(autouse=True)
    def subreaper(self) -> Iterator[None]:
        """Make this process the parent of orphans, as process 1 of a container is."""
        import ctypes

        if not sys.platform.startswith("linux"):
            pytest.skip("needs prctl of Linux")
        prctl = ctypes.CDLL(None).prctl
        prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        yield
        prctl(36, 0, 0, 0, 0)

    def test_what_services_left_is_collected(self, tmp_path: Path) -> None:
        orphans = Orphans()
        ended(tmp_path, "for one in 1 2 3; do setsid sh -c 'echo $$' & done; wait")
        for _ in range(3):
            ended(tmp_path, "setsid sh -c 'echo $$; sleep 0.1' & sleep 0.05")
        left = [int(one) for one in (tmp_path / "out").read_text().split()]
        assert len(left) == 6

        def none_left() -> bool:
            orphans.collect()
            return not any(exists(pid) for pid in left)

        eventually(none_left, "the orphans to be collected")

    def test_what_is_killed_with_a_service_is_collected_without_being_asked(
        self, tmp_path: Path
    ) -> None:
        """A program that embeds a cluster may be process 1, and does not know of these."""
        ended(tmp_path, "sleep 600 & sleep 600 & echo $!")
        left = int((tmp_path / "out").read_text())
        assert not exists(left)

    def test_a_service_keeps_its_status(self, tmp_path: Path) -> None:
        def collect(child: Child) -> None:
            eventually(lambda: state(child.pid) == "Z", "its end")
            assert Orphans().collect() == 1

        assert ended(tmp_path, "exit 7", collect).returncode == 7

    def test_a_child_that_the_program_waits_for_keeps_its_status(self) -> None:
        orphans = Orphans()
        with subprocess.Popen(["sh", "-c", "exit 7"]) as process:
            eventually(lambda: state(process.pid) == "Z", "its end")
            assert orphans.collect() == 0
            assert process.wait() == 7

    def test_a_child_for_which_nobody_waits_is_collected_at_the_second_look(self) -> None:
        orphans = Orphans()
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
        eventually(lambda: state(pid) == "Z", "its end")
        orphans.collect()
        orphans.collect()
        assert not exists(pid)


def test_a_function_that_raises_on_its_thread_raises_here() -> None:
    def fail() -> None:
        raise ValueError(threading.current_thread().name)

    async def go() -> None:
        with pytest.raises(ValueError, match="flamepy-test"):
            await in_thread("flamepy-test", fail)

    run(go())


def test_the_loop_goes_on_beside_a_function_that_waits() -> None:
    async def go() -> str:
        release = threading.Event()
        waiting = in_thread("flamepy-test", lambda: release.wait(30))
        await asyncio.sleep(0)
        assert not waiting.done()
        release.set()
        assert await waiting
        return "done"

    assert run(go()) == "done"
