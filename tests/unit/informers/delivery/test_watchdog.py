"""The watchdog looks as often as the shortest timeout asks for, also of who came later."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from flamepy.informers.delivery.invocation import RunningCall
from flamepy.informers.delivery.watchdog import Watchdog
from flamepy.runtime.repeats import RepeatedLog
from flamepy.testing import FakeClock


@dataclass(eq=False)
class Registered:
    """What the watchdog needs of a registration."""

    timeout: float | None
    running: RunningCall | None = None
    name: str = "mine"
    slow: int = 0

    @property
    def options(self) -> Any:
        return SimpleNamespace(timeout=self.timeout)

    @property
    def calls(self) -> list[RunningCall]:
        return [] if self.running is None else [self.running]

    def stack(self, call: RunningCall) -> str:
        return "where it is"

    def expire(self, call: RunningCall) -> None:
        self.slow += 1


def test_what_is_slow_again_and_again_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, told = FakeClock(), list[str]()
    log = RepeatedLog(logging.getLogger("flamepy.tests.watchdog"), clock=clock)
    one: Any = Registered(1.0)
    watchdog = Watchdog(lambda: [one], lambda *seen: told.append(seen[3]), clock=clock, log=log)
    for _ in range(100):
        one.running = RunningCall("on_added", clock.now, None)
        clock.advance(2)
        watchdog.look()
    assert (len(told), one.slow) == (100, 100)
    assert len(caplog.records) == 4, "the first, and one a minute in 200 s"
    one.running = None
    clock.advance(60)
    watchdog.look()
    assert sum("times in" in message for message in caplog.messages) == 4, "the rest, at a look"


def test_a_newcomer_with_a_short_timeout_is_not_kept_waiting() -> None:
    clock, told = FakeClock(), list[tuple[str, float]]()
    there: list[Any] = [Registered(30.0)]

    def report(one: Any, running: RunningCall, age: float, stack: str) -> None:
        told.append((running.callback, age))

    async def play() -> None:
        watchdog = Watchdog(lambda: there, report, clock=clock)
        watchdog.start()
        await asyncio.sleep(0.1)
        there.append(Registered(0.1, RunningCall("on_added", clock.now, None)))
        watchdog.start()
        await asyncio.sleep(0.3)
        assert len(told) == 1, "once"
        assert told[0][0] == "on_added"
        assert told[0][1] < 0.2, "not at the look that was planned before, a second later"
        jumps = clock.jumps
        watchdog.stop()
        await asyncio.sleep(60)
        assert clock.jumps == jumps + 1, "one timer, and it is gone"

    clock.run(play())
    assert there[1].slow == 1
