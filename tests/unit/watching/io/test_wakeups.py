"""A wakeup cuts a rest short, and none is lost."""

from __future__ import annotations

import asyncio

from flamepy.testing import FakeClock
from flamepy.watching.io.wakeups import FASTEST_GATHER, LONG_REST, Wakeups


def test_a_rest_lasts_its_time_and_a_wakeup_ends_it() -> None:
    clock = FakeClock()

    async def act() -> None:
        pulse = Wakeups().poll
        began = clock.now
        await pulse.rest(5.0)
        assert clock.now - began >= 5.0
        asyncio.get_running_loop().call_later(1.0, pulse.wake)
        began = clock.now
        await pulse.rest(5.0)
        assert clock.now - began < 2.0

    clock.run(act())


def test_a_wakeup_during_a_round_leads_to_the_next_one_at_once() -> None:
    clock = FakeClock()

    async def act() -> None:
        pulse = Wakeups().poll
        pulse.wake()
        pulse.round_begins()  # this round does for what was asked before
        began = clock.now
        await pulse.rest(5.0)
        assert clock.now - began >= 5.0
        pulse.round_begins()
        pulse.wake()
        began = clock.now
        await pulse.rest(5.0)
        assert clock.now == began

    clock.run(act())


def test_a_poll_now_begins_again_with_the_shortest_interval() -> None:
    clock = FakeClock()

    async def act() -> None:
        wakeups = Wakeups()
        wakeups.poll.shortest, wakeups.poll.interval = 0.1, 1.0
        wakeups.poll_now()
        assert wakeups.poll.interval == 0.1

    clock.run(act())


def test_the_gatherer_is_woken_out_of_long_rests_only() -> None:
    clock = FakeClock()

    async def act() -> None:
        wakeups = Wakeups()
        for interval, woken in ((FASTEST_GATHER * LONG_REST, False), (1.0, True)):
            wakeups.gather.interval = interval
            wakeups.gather_now()
            assert (wakeups.gather.interval == FASTEST_GATHER) is woken

    clock.run(act())
