"""What a cluster with ``data=`` acknowledged survives SIGKILL at any moment.

The test keeps its own log of acknowledgements and the service one of its runs; after each kill
the cluster is asked for everything, and compared with both.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.cluster_process import ClusterProcess
from support.soak import scaled
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.types import SessionState, TaskState

SERVICE = str(Path(__file__).parent.parent / "support" / "noting_service.py")
ROUNDS = scaled(30, 100)
LONGEST = 1.2  # seconds of load before a kill


@dataclass
class Ledger:
    """What was acknowledged, and what was asked without an answer."""

    created: dict[tuple[str, str], bytes] = field(default_factory=dict)
    finished: dict[tuple[str, str], int] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    closing: set[str] = field(default_factory=set)  # asked for: may have happened
    deleting: set[str] = field(default_factory=set)


class Load:
    """Clients that create, look, close and delete until stopped; errors are not acknowledged."""

    def __init__(self, endpoint: str, ledger: Ledger, round_number: int, seed: int) -> None:
        self.ledger = ledger
        self.stop = threading.Event()
        self.stubs = Stubs(endpoint, timeout=5.0)
        jobs: list[Callable[[random.Random], None]] = [
            self.create,
            self.create,
            self.look,
            self.end,
        ]
        self.sessions = [f"r{round_number}-{number}" for number in range(3)]
        self.threads = [
            threading.Thread(target=self.work, args=(job, random.Random(f"{seed}-{number}")))
            for number, job in enumerate(jobs)
        ]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)
        self.stubs.channel.close()

    def work(self, job: Callable[[random.Random], None], rng: random.Random) -> None:
        while not self.stop.is_set():
            try:
                job(rng)
            except (grpc.RpcError, ValueError):  # ValueError: the channel was closed
                self.stop.wait(0.01)

    def create(self, rng: random.Random) -> None:
        name = rng.choice(self.sessions)
        if name not in self.ledger.opened:
            self.stubs.OpenSession(session_id=name, session={"application": "note"})
            self.ledger.opened.add(name)
        payload = rng.randbytes(rng.choice((4, 40, 20_000)))
        made = self.stubs.CreateTask(task={"session_id": name, "input": payload})
        self.ledger.created[name, made.metadata.id] = payload

    def look(self, rng: random.Random) -> None:
        key = rng.choice(list(self.ledger.created) or [("", "")])
        if key not in self.ledger.finished and key[0]:
            task = self.stubs.GetTask(session_id=key[0], task_id=key[1])
            if task.status.state == TaskState.SUCCEED:
                self.ledger.finished[key] = time.time_ns()
        self.stop.wait(0.002)

    def end(self, rng: random.Random) -> None:
        self.stop.wait(0.1)
        names = self.ledger.opened - self.ledger.deleting
        name = rng.choice(sorted(names) or [""])
        if name in self.ledger.closed and rng.random() < 0.3:
            self.ledger.deleting.add(name)
            self.stubs.DeleteSession(session_id=name)
            self.ledger.deleted.add(name)
        elif name and rng.random() < 0.3:
            self.ledger.closing.add(name)
            self.stubs.CloseSession(session_id=name)
            self.ledger.closed.add(name)


def runs(notes: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    for line in notes.read_text().splitlines() if notes.exists() else ():
        moment, session, task = line.split()
        yield int(moment), (session, task)


def check(stubs: Stubs, ledger: Ledger, notes: Path) -> None:
    sessions = {one.metadata.id: one for one in stubs.ListSession().sessions}
    assert ledger.opened - ledger.deleting <= set(sessions)
    assert not ledger.deleted & set(sessions)
    for name in ledger.closed & set(sessions):
        assert sessions[name].status.state == SessionState.CLOSED, name
    found: dict[tuple[str, str], Any] = {}
    for name in sessions:
        tasks = {int(one.metadata.id): one for one in stubs.ListTask(session_id=name)}
        assert sorted(tasks) == list(range(1, len(tasks) + 1)), f"gaps in the ids of {name}"
        found |= {(name, str(number)): one for number, one in tasks.items()}
    for key, payload in ledger.created.items():
        if key[0] in ledger.deleting:
            continue
        assert key in found, f"task {key} was acknowledged and is missing"
        assert found[key].spec.input == payload, key
        if found[key].status.state == TaskState.CANCELLED:
            assert key[0] in ledger.closing, f"task {key} was cancelled by nobody"
    for key in ledger.finished:
        if key[0] not in ledger.deleting:
            assert found[key].status.state == TaskState.SUCCEED, f"task {key} was finished"
            assert found[key].spec.output == b"done " + ledger.created[key], key
    for moment, key in runs(notes):
        assert moment <= ledger.finished.get(key, moment), f"task {key} ran after its end was told"


@pytest.mark.timeout(scaled(400, 1500))
def test_nothing_acknowledged_is_lost_in_thirty_kills(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger, notes = Ledger(), tmp_path / "notes"
    spec = {
        "command": sys.executable,
        "arguments": [SERVICE],
        "environments": {"NOTES": str(notes)},
    }
    cluster = ClusterProcess(
        tmp_path,
        executors=2,
        data=str(tmp_path / "data"),
        apps=[("note", spec)],
        restart_pause=0,
    )
    for number in range(ROUNDS):
        cluster.start()
        with Stubs(cluster.endpoint) as stubs:
            eventually(lambda stubs=stubs: is_up(stubs), "the cluster to answer")
            check(stubs, ledger, notes)
        with Load(cluster.endpoint, ledger, number, seed):
            threading.Event().wait(rng.uniform(0.02, LONGEST))
            cluster.kill()
    with cluster, Stubs(cluster.endpoint) as stubs:
        check(stubs, ledger, notes)
        eventually(lambda: not any(waiting(stubs)), "what is left to end", limit=120.0)
        check(stubs, ledger, notes)
    again = len(list(runs(notes))) - len({key for _, key in runs(notes)})
    print(
        f"{ROUNDS} kills: {len(ledger.opened)} sessions ({len(ledger.closed)} closed, "
        f"{len(ledger.deleted)} deleted), {len(ledger.created)} tasks acknowledged, "
        f"{len(ledger.finished)} seen finished before a kill, {again} runs interrupted and repeated"
    )
    assert len(ledger.created) > ROUNDS
    assert ledger.finished


def is_up(stubs: Stubs) -> bool:
    try:
        return bool(stubs.ListNodes().nodes)
    except grpc.RpcError:
        return False


def waiting(stubs: Stubs) -> list[int]:
    sessions = stubs.ListSession().sessions
    return [one.status.pending + one.status.running for one in sessions]
