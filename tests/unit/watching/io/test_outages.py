"""An outage is reported once; waits end when it lasts longer than the patience."""

from __future__ import annotations

import asyncio
from typing import Any

from support.hearing import Heard

from flamepy.errors import FlameError, UnavailableError
from flamepy.testing import FakeClock
from flamepy.types import Task
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.wakeups import Wakeups
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Scope, Subscribers, Subscription
from flamepy.watching.state.waiters import Waiters

GONE = UnavailableError("connection refused")


class Noted:
    """A listener that notes why its task is lost."""

    def __init__(self) -> None:
        self.errors: list[FlameError] = []

    def changed(self, task: Task) -> None:
        raise AssertionError(task)

    def lost(self, error: FlameError) -> None:
        self.errors.append(error)


def made(clock: FakeClock) -> tuple[Outages, WatchContext]:
    nothing: Any = None
    context = WatchContext(
        engine=nothing,
        store=Store(),
        subscribers=Subscribers(),
        waiters=Waiters(),
        wakeups=Wakeups(),
        clock=lambda: clock.now,
        spawn=nothing,
        endpoint="http://nowhere",
    )
    return Outages(context, patience=120.0), context


def test_it_is_reported_once_and_ends_with_the_first_answer() -> None:
    clock = FakeClock()

    async def act() -> None:
        outages, context = made(clock)
        heard = Heard()
        context.subscribers.add(Subscription(Scope(), heard))
        assert not outages.poll_worked()
        began = clock.now
        outages.poll_failed(GONE, began)
        await asyncio.sleep(10.0)
        outages.poll_failed(GONE, clock.now)
        assert heard.failures == [GONE]
        assert (outages.health.outages, outages.health.down_since) == (1, began)
        assert outages.is_away
        waiting = asyncio.ensure_future(outages.wait_until_over(60.0))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        assert outages.poll_worked()
        await asyncio.sleep(0.01)
        assert waiting.done()
        assert not outages.is_away

    clock.run(act())


def test_waits_end_after_the_patience_and_not_before() -> None:
    clock = FakeClock()

    async def act() -> None:
        outages, context = made(clock)
        listener = Noted()
        context.waiters.add("s", 1, listener)
        began = clock.now
        outages.poll_failed(GONE, began)
        await asyncio.sleep(119.0)
        outages.poll_failed(GONE, clock.now)
        assert listener.errors == []
        await asyncio.sleep(1.5)
        outages.poll_failed(GONE, clock.now)
        (error,) = listener.errors
        assert isinstance(error, UnavailableError)
        assert error.__cause__ is GONE
        assert "task 1 of session 's'" in str(error)

    clock.run(act())
