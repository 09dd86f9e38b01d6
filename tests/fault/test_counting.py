"""What watching costs, counted by the engine, and that nothing is lost or told twice.

Fifty sessions, two thousand tasks, one kill and restart of the engine in the middle.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.informers import Reactor
from flamepy.testing import FakeEngine, RecordingInformer

SESSIONS = 50
TASKS = 2000
BUDGET = 64


def work(engine: FakeEngine, names: list[str], count: int, chance: random.Random) -> set[tuple]:
    """Create tasks in those sessions and end them, one way or the other; return the ends."""
    ends = set()
    for number in range(count):
        name = names[number % len(names)]
        task = engine.add_task(name)
        engine.start(name, task)
        if chance.random() < 0.1:
            engine.fail(name, task, f"no {task}")
            ends.add((name, task, "FAILED"))
        else:
            engine.succeed(name, task)
            ends.add((name, task, "SUCCEED"))
    return ends


@pytest.mark.timeout(180)
def test_every_end_is_told_once_and_what_stands_still_costs_nothing(
    fake_engine: FakeEngine,
) -> None:
    chance = random.Random(7)
    names = [f"s{number}" for number in range(SESSIONS)]
    busy, quiet = names[:40], names[40:]
    for name in names:
        fake_engine.add_session(name)
    ends = work(fake_engine, names, TASKS // 4, chance)
    informers = [RecordingInformer() for _ in range(2)]
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection) as reactor:
        for informer in informers:
            reactor.register(informer)
        reactor.wait_synced(60)
        before = Counter({name: fake_engine.task_calls[name] for name in quiet})

        ends |= work(fake_engine, busy, TASKS // 4, chance)
        fake_engine.kill()
        ends |= work(fake_engine, busy, TASKS // 4, chance)  # nobody is told of these
        fake_engine.restart()
        ends |= work(fake_engine, busy, TASKS - 3 * (TASKS // 4), chance)

        for informer in informers:
            informer.wait_for(lambda seen: len(seen.terminal()) >= TASKS, 120)
        polls = fake_engine.calls["ListSession"]
        eventually(lambda: fake_engine.calls["ListSession"] >= polls + 3, "a few more polls")
        asked = {name: fake_engine.task_calls[name] - before[name] for name in quiet}

    assert len(ends) == TASKS
    for informer in informers:
        told = informer.terminal()
        assert len(told) == len(set(told)), "an end was told twice"
        assert set(told) == ends
    assert fake_engine.most_streams <= BUDGET
    assert asked == dict.fromkeys(quiet, 0), "a session whose counters stand still was asked"
    failed = [event for event in informers[0].events if event.task.state.name == "FAILED"]
    assert all(event.task.error == f"no {event.task.id}" for event in failed)


@pytest.mark.timeout(120)
def test_pending_futures_share_few_streams_and_threads(fake_engine: FakeEngine) -> None:
    """Two thousand futures: 48 streams, a handful of threads, and every one ends.

    A quarter of the streams is kept for tasks that somebody waits for alone.
    """
    import threading

    fake_engine.add_session("s")
    before = threading.active_count()
    with connect(fake_engine.endpoint) as connection:
        session = connection.get_session("s")
        futures = [session.run(b"x") for _ in range(TASKS)]
        eventually(lambda: fake_engine.open_streams == BUDGET * 3 // 4, "the streams")
        with session.watch_task(futures[-1].task_id) as alone:
            next(alone)
            eventually(lambda: fake_engine.open_streams == BUDGET * 3 // 4 + 1, "one more")
        assert threading.active_count() - before <= 4
        for future in futures:
            fake_engine.start("s", future.task_id)
            if int(future.task_id) % 10:
                fake_engine.succeed("s", future.task_id, future.task_id.encode())
            else:
                fake_engine.fail("s", future.task_id, f"no {future.task_id}")
        for future in futures:
            if int(future.task_id) % 10:
                assert future.result(60) == future.task_id.encode()
            else:
                assert getattr(future.exception(60), "message", "") == f"no {future.task_id}"
        assert fake_engine.most_streams <= BUDGET
        eventually(lambda: fake_engine.open_streams == 0, "the streams' end")
