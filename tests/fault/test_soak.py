"""A day in a minute: polls, audits, outages, resets and broken handlers for 24 hours.

In a soak a fortnight. The clock is a fake one; at the end threads, files and objects are what they
were after an hour.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import random
from collections import Counter

import pytest
from support.leaks import grown, things
from support.soak import scaled
from support.waiting import eventually

from flamepy.errors import UnavailableError
from flamepy.informers import Reactor, SessionInformer, TaskEvent, TaskInformer, signals
from flamepy.runtime.repeats import RepeatedLog
from flamepy.testing import FakeClock, RecordingInformer, ScriptedConnection, ScriptedSource
from flamepy.types import Task

HOURS, SESSIONS, TASKS = scaled(24, 14 * 24), 12, 40


class Day:
    """The script: each hour sessions come, work, fail, are lost and go; engines restart."""

    def __init__(self, source: ScriptedSource) -> None:
        self.source = source
        self.chance = random.Random(11)
        self.expected: Counter[tuple[str, str, str]] = Counter()

    async def hour(self, number: int) -> None:
        now = asyncio.get_running_loop().time
        end = now() + 3600
        names = [f"h{number}-{one}" for one in range(SESSIONS)]
        for name in names:
            self.source.add_session(name)
            await self.work(name)
        if number % 3 == 0:
            self.source.fail_calls(UnavailableError("away"))
            await asyncio.sleep(self.chance.choice((5, 300)))
            self.source.answer_calls()
        await asyncio.sleep(600)
        if number % 6 == 5:
            self.source.lose_state()  # an engine without storage restarts
        else:
            for name in names:
                self.source.close(name)
            await asyncio.sleep(60)
            for name in names:
                self.source.drop_session(name)
        await asyncio.sleep(end - now())

    async def work(self, name: str) -> None:
        source = self.source
        for first in range(1, TASKS + 1, 10):
            some = [str(one) for one in range(first, first + 10)]
            for one in some:
                source.add_task(name, b"x" * 1000)
                source.start(name, one)
            await asyncio.sleep(1)
            for one in some:
                if self.chance.random() < 0.1:
                    source.requeue(name, one)
            await asyncio.sleep(1)
            for one in some:
                self.end(name, one)

    def end(self, name: str, one: str) -> None:
        if self.chance.random() < 0.2:
            self.source.fail(name, one, "no")
            self.expected[name, one, "FAILED"] += 1
        else:
            self.source.succeed(name, one, b"y" * 1000)
            self.expected[name, one, "SUCCEED"] += 1


class Broken(TaskInformer):
    """Raises now and then, in a coroutine."""

    def __init__(self) -> None:
        self.count = 0

    async def on_update(self, task: Task) -> None:
        self.count += 1
        if self.count % 7 == 0:
            raise ValueError("mine")


class Counting(TaskInformer, SessionInformer):
    """Counts ends and drained sessions."""

    def __init__(self) -> None:
        self.ends: Counter[tuple[str, str, str]] = Counter()
        self.drained = 0

    def on_terminal(self, event: TaskEvent) -> None:
        task = event.task
        self.ends[task.session_id, task.id, task.state.name] += 1

    def on_drained(self, event: object) -> None:
        self.drained += 1


@pytest.mark.timeout(scaled(300, 1200))
def test_a_day_leaves_what_the_first_hour_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="flamepy")  # thousands of failures as asked
    told: list[str] = []
    with (
        ScriptedConnection(FakeClock()) as connection,
        Reactor(connection=connection, retain_terminal=100) as reactor,
        signals.task_failed.connected_to(lambda sender, **_: told.append(sender)),
    ):
        counting, broken = Counting(), Broken()
        reactor.register(counting)
        reactor.register(broken)
        reactor.register(RecordingInformer(), name="narrow", queue_size=5).remove()
        day = Day(connection.source)
        after: dict[int, Counter[str]] = {}
        for number in range(HOURS):
            connection.run(day.hour(number))
            passing = reactor.register(TaskInformer(), uid=f"hour {number}")
            eventually(
                lambda: sum(counting.ends.values()) >= sum(day.expected.values()),
                f"the ends of hour {number}",
            )
            eventually(lambda: not len(reactor.tasks), "the sessions to be gone")
            passing.remove(wait=True)
            if number in (0, HOURS - 1):
                idle = lambda: not any(one.stats.queued for one in reactor.registrations)  # noqa: E731
                eventually(idle, "a quiet moment")
                after[number] = at_rest(connection)
        failed = sum(one for key, one in day.expected.items() if key[2] == "FAILED")
        assert counting.ends == day.expected, "an end was lost or told twice"
        assert counting.drained >= HOURS * SESSIONS
        eventually(lambda: len(told) == failed, "a signal for each failure")
        assert broken.count > len(day.expected)
        polls, clock = connection.source.calls["list_sessions"], connection.source._clock()
    more = grown(after[0], after[HOURS - 1])
    print(f"{polls} polls in {clock / 3600:.1f} h, {sum(day.expected.values())} ends; {more}")
    assert polls > 10_000
    assert not more, f"more than after the first hour: {more}"


def at_rest(connection: ScriptedConnection) -> Counter[str]:
    """Return the least of each that is there, from some looks between two polls."""

    def look(source: ScriptedSource) -> Counter[str]:
        # asyncio keeps up to a hundred cancelled timers, and what they hold, until it is their
        # time: they are no leak, and how many there are is chance.
        timers = asyncio.get_running_loop()._scheduled
        timers[:] = [one for one in timers if not one.cancelled()]
        heapq.heapify(timers)
        # A log keeps the last record of each kind, with its exception, for a minute.
        for one in [one for one in gc.get_objects() if isinstance(one, RepeatedLog)]:
            one.flush(everything=True)
        return things()

    looks = [connection.do(look) for _ in range(30)]
    return Counter({name: min(look[name] for look in looks) for look in looks for name in look})
