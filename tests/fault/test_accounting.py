"""Exact accounting: each informer that stayed is told each end exactly once, whatever others do.

Twenty sessions, five thousand tasks (``make soak``: twenty thousand) of which a tenth fails, while
informers come and go, raise, sleep and overflow; on a cluster in this process, and on
``flamepy up`` in a process of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster_process import ClusterProcess
from support.loops import run
from support.soak import scaled
from support.waiting import eventually

from flamepy import FlameService, aio
from flamepy.core import connect
from flamepy.informers import Reactor, Registration, TaskEvent, TaskInformer, signals
from flamepy.local import LocalCluster
from flamepy.types import TaskContext

SESSIONS, TASKS, AT_ONCE = 20, scaled(5_000, 20_000), 64
SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")

Ends = Counter[tuple[str, str, str]]


class Failing(FlameService):
    """Fails what it is told to fail."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        text = context.input or b""
        if text.startswith(b"fail"):
            raise ValueError("as asked")
        return text


class Counting(TaskInformer):
    """Counts ends; ``mood`` says how it behaves."""

    def __init__(self, mood: str, seed: int, ahead: Counting | None = None) -> None:
        self.mood = mood
        self.ahead = ahead
        self.chance = random.Random(seed)
        self.ends: Ends = Counter()

    def on_terminal(self, event: TaskEvent) -> None:
        task = event.task
        self.ends[task.session_id, task.id, task.state.name] += 1
        if self.mood == "raises" and self.chance.random() < 0.05:
            raise ValueError("mine")
        if self.mood == "sleeps" and self.chance.random() < 0.01:
            threading.Event().wait(0.1)
        if self.ahead is not None and self.chance.random() < 0.003:
            ends = self.ahead.ends  # far more comes meanwhile than its queue holds
            wanted = min(TASKS, sum(ends.values()) + 50)
            eventually(lambda: sum(list(ends.values())) >= wanted, limit=600.0)


class Coming(threading.Thread):
    """Registers and removes informers until told to stop."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__(name="coming-and-going")
        self.reactor = reactor
        self.over = threading.Event()
        self.count = 0

    def run(self) -> None:
        chance = random.Random(3)
        while not self.over.wait(0.3):  # each walks all tasks that are there
            one = self.reactor.register(Counting("passing", self.count))
            self.over.wait(chance.random() * 0.1)
            one.remove(wait=chance.random() < 0.5)
            self.count += 1


@pytest.fixture(params=["in this process", "flamepy up"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "in this process":
        with LocalCluster(executors=2) as cluster:
            cluster.register_service("count", Failing)
            yield cluster.endpoint
    else:
        spec = {"command": sys.executable, "arguments": [SERVICE]}
        with ClusterProcess(tmp_path, executors=2, apps=[("count", spec)]) as process:
            yield process.endpoint


async def submit(endpoint: str, names: list[str]) -> dict[tuple[str, str], str]:
    """Create all tasks; return how each must end."""
    chance = random.Random(5)
    expected: dict[tuple[str, str], str] = {}
    gate = asyncio.Semaphore(AT_ONCE)
    async with await aio.connect(endpoint) as connection:
        sessions = [await connection.create_session("count", session_id=one) for one in names]

        async def one(number: int, fails: bool) -> None:
            async with gate:
                text = b"fail as asked" if fails else b"echo x"
                task = await sessions[number % SESSIONS].create_task(text)
                expected[task.session_id, task.id] = "FAILED" if fails else "SUCCEED"

        await asyncio.gather(*(one(number, chance.random() < 0.1) for number in range(TASKS)))
    return expected


@pytest.mark.timeout(1500)
def test_each_end_exactly_once(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="flamepy")  # thousands fail as asked
    names = [f"n{number}" for number in range(SESSIONS)]
    full: list[object] = []  # sizes of the queues that were

    def overflowed(sender: object, queue_size: object, **values: object) -> None:
        full.append(queue_size)

    with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
        signals.queue_overflow.connect(overflowed)
        stayed: dict[str, tuple[Counting, Registration]] = {}
        for number, (mood, size) in enumerate(
            [("calm", 10_000), ("raises", 10_000), ("sleeps", 10_000), ("narrow", 3)]
        ):
            ahead = stayed["calm"][0] if mood == "narrow" else None
            informer = Counting(mood, number, ahead)
            stayed[mood] = informer, reactor.register(informer, queue_size=size)
        coming = Coming(reactor)
        coming.start()
        expected = run(submit(endpoint, names), limit=600.0)
        late = Counting("late", 9)
        stayed["late"] = late, reactor.register(late)
        eventually(
            lambda: all(sum(one.ends.values()) >= TASKS for one, _ in stayed.values()),
            "every end",
            limit=600.0,
        )
        eventually(lambda: 3 in full, "the overflow of a queue of 3 whose informer rests")
        coming.over.set()
        coming.join(30)
        counted = {mood: one.stats for mood, (_, one) in stayed.items()}
    assert len(expected) == TASKS
    wanted = Counter({(*key, state): 1 for key, state in expected.items()})
    for mood, (informer, _) in stayed.items():
        assert informer.ends == wanted, f"{mood} was told something else"
    for mood, stats in counted.items():
        print(
            f"{mood}: {TASKS} ends of {TASKS} once each; {stats.delivered} events, "
            f"{stats.coalesced} left out, {stats.failures} callbacks raised"
        )
    print(f"{coming.count} informers came and went")
    assert coming.count > 10
    assert counted["raises"].failures > 100
