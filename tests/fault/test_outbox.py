"""What a sink sends survives SIGKILL of its process: nothing is lost, and little is repeated."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from support import sending
from support.soak import scaled
from support.waiting import eventually

from flamepy.informers.checkpoint.file import SharedFile
from flamepy.informers.outbox.table import totals
from flamepy.testing import FakeEngine

ROUNDS = scaled(15, 60)
LONGEST = 0.8  # seconds from a start to the kill
IN_FLIGHT = 2 * 20  # senders, and entries of a batch
ORDER = {"pending": 0, "running": 1, "succeed": 2}


class Sender:
    """The sending process, one life after another."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.lives = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def notes(self) -> Path:
        return self.folder / f"notes-{self.lives}"

    def start(self) -> None:
        self.lives += 1
        with (self.folder / "sender.err").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, sending.__file__, self.endpoint),
                    *(str(self.folder / "state.db"), str(self.notes)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> None:
        assert self.process is not None
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def sent(self, life: int) -> list[str]:
        """Return the keys that the receiver noted in a life; a line that was cut is none."""
        path = self.folder / f"notes-{life}"
        return path.read_text().split("\n")[:-1] if path.exists() else []


@pytest.mark.timeout(scaled(200, 800))
def test_nothing_is_lost_and_only_what_was_in_flight_is_sent_again(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    fake_engine.add_session("s")
    sender = Sender(tmp_path, fake_engine.endpoint)
    tasks: list[str] = []
    for number in range(ROUNDS):
        sender.start()
        tasks += [fake_engine.add_task("s") for _ in range(20)]
        for task in tasks[-30:-10]:
            fake_engine.succeed("s", task)
        if number % 2:  # however slow the machine is, half of them send something
            eventually(lambda: sender.sent(sender.lives), "the first event of a life")
        threading.Event().wait(dice.uniform(0, LONGEST))
        sender.kill()
    for task in tasks:
        fake_engine.succeed("s", task)
    sender.start()
    expected = {f"s/{task}" for task in tasks}
    eventually(lambda: expected <= ended(everything(sender)), "every end", 60)
    sender.end()
    assert not SharedFile(tmp_path / "state.db").transact(lambda file: totals(file, "noting"))
    check_repeats(sender)
    check_order(everything(sender))


def everything(sender: Sender) -> list[str]:
    return [key for life in range(1, sender.lives + 1) for key in sender.sent(life)]


def ended(keys: list[str]) -> set[str]:
    return {key.partition("@")[0] for key in keys if key.endswith("/succeed")}


def check_repeats(sender: Sender) -> None:
    seen: set[str] = set()
    for life in range(1, sender.lives + 1):
        keys = sender.sent(life)
        assert max(Counter(keys).values(), default=1) == 1, f"life {life} sent something twice"
        again = seen & set(keys)
        assert len(again) <= IN_FLIGHT, f"life {life} sent {len(again)} again"
        seen.update(keys)


def check_order(keys: list[str]) -> None:
    reached: dict[str, int] = {}
    known: set[str] = set()
    for key in keys:
        task, state = key.rpartition("/")[::2]
        if state not in ORDER or key in known:
            continue
        known.add(key)
        assert ORDER[state] > reached.get(task, -1), f"{key} came after a later state"
        reached[task] = ORDER[state]
