"""What an informer with a checkpoint is told survives SIGKILL of its process at any moment."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from support import remembering
from support.cluster_process import SERVICE, ClusterProcess
from support.soak import scaled
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.informers.checkpoint.file import SharedFile
from flamepy.informers.dead_letters.box import DeadLetters
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.types import TaskState

ROUNDS = scaled(30, 100)
LONGEST = 0.8  # seconds from a start to the kill
SPEC = {"command": sys.executable, "arguments": [SERVICE], "delay_release": 1}


class Watcher:
    """The watching process, one life after another."""

    def __init__(
        self, folder: Path, endpoint: str, workers: int = 1, *, failing: bool = False
    ) -> None:
        self.folder = folder
        self.arguments = [str(workers), *(["failing"] if failing else [])]
        self.endpoint = endpoint
        self.lives = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "state.db"

    @property
    def notes(self) -> Path:
        return self.folder / f"notes-{self.lives}"

    def start(self) -> None:
        self.lives += 1
        with (self.folder / "watcher.err").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, remembering.__file__, self.endpoint),
                    *(str(self.file), str(self.notes), *self.arguments),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def log(self) -> str:
        return (self.folder / "watcher.err").read_text()

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> None:
        assert self.process is not None
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def told(self) -> list[str]:
        """Return the events of this life; a line that was cut is none."""
        if not self.notes.exists():
            return []
        lines = self.notes.read_text().split("\n")[:-1]
        return [line.partition(" ")[0] for line in lines if line != "synced"]


class Load:
    """A client that makes tasks in three sessions until it is stopped."""

    def __init__(self, endpoint: str, seed: int) -> None:
        self.stop = threading.Event()
        self.stubs = Stubs(endpoint)
        self.random = random.Random(seed)
        self.made: list[tuple[str, str]] = []
        self.thread = threading.Thread(target=self.work)

    def __enter__(self) -> Load:
        for name in "abc":
            self.stubs.OpenSession(session_id=name, session={"application": "app"})
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join(20)
        self.stubs.channel.close()

    def work(self) -> None:
        while not self.stop.wait(self.random.choice((0.0, 0.002, 0.02))):
            name = self.random.choice("abc")
            data = self.random.choice((b"echo x", b"echo y", b"sleep 20", b"fail no"))
            made = self.stubs.CreateTask(task={"session_id": name, "input": data})
            self.made.append((name, made.metadata.id))

    def ends(self) -> dict[tuple[str, str], str]:
        """Return the terminal state of every task that was made."""
        shown = {
            (name, task.metadata.id): TaskState(task.status.state)
            for name in "abc"
            for task in self.stubs.ListTask(session_id=name)
        }
        assert shown.keys() >= set(self.made)
        return {key: state.name.lower() for key, state in shown.items() if state.is_terminal}


@pytest.mark.timeout(scaled(300, 1000))
@pytest.mark.parametrize("workers", [1, 8])
def test_every_end_is_told_and_only_what_was_cut_again(tmp_path: Path, workers: int) -> None:
    """One event in five fails for good: it is a dead letter, unless a kill cut it off before."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    cluster = ClusterProcess(tmp_path, executors=3, apps=[("app", SPEC)])
    with cluster.start(), Load(cluster.endpoint, seed) as load:
        watcher = Watcher(tmp_path, cluster.endpoint, workers, failing=True)
        lives: list[list[str]] = []
        cuts: list[set[str]] = []
        for number in range(ROUNDS):
            watcher.start()
            if number % 2:  # however slow the machine is, half of them are told something
                eventually(watcher.told, "the first event of a life")
            load.stop.wait(dice.uniform(0, LONGEST))
            watcher.kill()
            lives.append(watcher.told())
            cuts.append(in_progress(watcher.notes))
        load.stop.set()
        load.thread.join(20)
        ends = eventually(
            lambda: load.ends() if len(load.ends()) >= len(load.made) else None, "all ends", 60
        )
        watcher.start()
        eventually(lambda: "synced" in watcher.notes.read_text(), "the last life to be synced")
        watcher.end()
        lives.append(watcher.told())
        cuts.append(set())
    told = Counter(key for life in lives for key in life)
    got = {tuple(key.partition("@")[0].split("/")): key for key in told if key_ended(key)}
    assert {key: got[key].rpartition("/")[2] for key in got} == ends
    seen: set[str] = set()
    cut: set[str] = set()  # may have been in progress at a kill; not told again yet
    for number, life in enumerate(lives):
        again = {key for key in life if key in seen}
        assert again <= cut, f"life {number}: {again - cut} again"
        assert number == 0 or len(cuts[number - 1]) <= workers
        assert len(life) == len(set(life)), f"life {number} was told something twice"
        seen.update(life)
        cut = cut - set(life) | cuts[number]
    assert max(told.values()) <= 1 + ROUNDS
    repeated = sum(told.values()) - len(told)
    attempts = {letter.key: letter.attempts for letter in dead_letters(watcher.file)}
    doomed = {key for key in told if remembering.doomed(key)}
    assert attempts.keys() <= doomed
    lost = doomed - attempts.keys()
    assert lost <= cut, f"neither dead letters nor delivered again: {lost - cut}"
    assert not any(map(key_ended, lost)), (
        "a later state takes the place of what was cut, but no end"
    )
    assert all(number <= told[key] for key, number in attempts.items())
    counts = f"{len(told)} events, {len(ends)} ends, {len(attempts)} dead"
    print(f"{counts}, {repeated} again after {ROUNDS} kills")
    assert sum(map(bool, lives)) >= ROUNDS // 2, "half of the lives were told something"


def dead_letters(file: Path) -> list[DeadLetter]:
    """Return the events that failed for good, by the checkpoint's file."""
    return DeadLetters(SharedFile(file)).list()


def in_progress(notes: Path) -> set[str]:
    """Return the events that a kill may have cut off: of each thread the last one."""
    last = {}
    for line in notes.read_text().split("\n")[:-1] if notes.exists() else []:
        key, _, thread = line.partition(" ")
        last[thread] = key
    return set(last.values()) - {"synced"}


def key_ended(key: str) -> bool:
    return key.rpartition("/")[2] in ("succeed", "failed", "cancelled")


@pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits of another process: Linux only"
)
@pytest.mark.timeout(120)
def test_a_full_disk_costs_a_warning_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    cluster = ClusterProcess(tmp_path, executors=1, apps=[("app", SPEC)])
    with cluster.start(), Stubs(cluster.endpoint) as stubs:
        stubs.OpenSession(session_id="s", session={"application": "app"})
        watcher = Watcher(tmp_path, cluster.endpoint)
        watcher.start()
        work(stubs, watcher, 10)
        largest = max(one.stat().st_size for one in tmp_path.glob("state.db*"))
        limit(watcher, largest)  # which is far more than the notes will have
        work(stubs, watcher, 30)
        eventually(lambda: "cannot be used" in watcher.log, "a warning")
        limit(watcher, resource.RLIM_INFINITY)
        eventually(lambda: "works again, after" in watcher.log, "the file to be written again")
        assert watcher.log.count("cannot be used") == 1
        watcher.kill()
        before = watcher.told()
        watcher.start()
        eventually(lambda: "synced" in watcher.notes.read_text(), "the next life to be synced")
        watcher.end()
    assert sum(map(key_ended, before)) == 40
    assert set(watcher.told()) <= set(before[-1:])


def work(stubs: Stubs, watcher: Watcher, count: int) -> None:
    """Have so many tasks done, and their ends told."""
    ends = sum(map(key_ended, watcher.told())) + count
    for _ in range(count):
        stubs.CreateTask(task={"session_id": "s", "input": b"echo x"})
    eventually(lambda: sum(map(key_ended, watcher.told())) == ends, f"{ends} ends")


def limit(watcher: Watcher, size: int) -> None:
    """Let no file of the watcher grow over a size: for SQLite the same as a full disk."""
    assert watcher.process is not None
    _, hard = resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE, (size, hard))
