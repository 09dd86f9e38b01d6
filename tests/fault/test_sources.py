"""Outages, limits and what watching keeps: a hub on a scripted engine, in fake time."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tracemalloc
from collections import Counter

import pytest
from support.hearing import Heard, World, run

from flamepy.errors import UnavailableError
from flamepy.types import TaskState
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.events import EventSource, SessionEventKind
from flamepy.watching.state.subscriptions import Scope

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState


class TestOutages:
    def test_what_an_outage_hid_is_found_at_once(self) -> None:
        """Two tasks swap while nobody answers: the counters are as before (contract G5)."""

        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s")
            source.add_task("s", state=RUNNING)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.fail_calls(UnavailableError("away"))
            await world.until(lambda: heard.failures)
            source.start("s", "1")
            source.requeue("s", "2")
            await asyncio.sleep(30)
            source.answer_calls()
            await world.until(lambda: len(heard.tasks) == 4, 10)
            assert heard.states("1") == [PENDING, RUNNING]
            assert heard.states("2") == [RUNNING, PENDING]
            assert len(heard.failures) == 1, "an outage is told once"

        run(act)

    def test_a_list_that_breaks_off_deletes_nothing_and_is_repeated(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 1000, state=SUCCEED)
            hold = source.hold("list_tasks")
            heard, _ = world.subscribe()
            await world.until(lambda: hold.waiting)
            source.fail_calls(UnavailableError("cut"), "list_tasks")
            hold.release()
            await asyncio.sleep(5)
            assert not heard.syncs
            source.answer_calls()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(5)
            assert Counter(heard.ends()) == Counter(("s", str(n), SUCCEED) for n in range(1, 1001))
            assert len(heard.tasks) == 1000

        run(act)

    def test_a_long_outage_is_followed_by_no_burst_of_audits(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            for number in range(50):
                source.add_session(f"s{number}")
                source.add_task(f"s{number}", state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.fail_calls(UnavailableError("away"))
            await asyncio.sleep(3 * 600)
            lists = source.calls["list_tasks"]
            source.answer_calls()
            await asyncio.sleep(60)
            assert source.calls["list_tasks"] - lists <= 12

        run(act)


class TestLimits:
    def test_calls_per_second_hold_and_everything_is_told(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 500)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            began, before = world.clock.now, source.calls["get_task"]
            for number in range(1, 301):
                source.fail("s", str(number), "boom")  # a text each
            await world.until(lambda: len(heard.ends()) == 300, 120)
            asked = source.calls["get_task"] - before
            assert asked >= 300
            assert asked <= 20 * (world.clock.now - began) + 64

        run(act, WatchSettings(calls_per_second=20.0))

    def test_sessions_get_their_turn_in_order(self) -> None:
        async def act(world: World) -> None:
            names = [f"s{number:03}" for number in range(100)]
            for name in names:
                world.source.add_session(name)
                world.source.add_task(name)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs, 120)
            first = [event.task.session_id for event in heard.tasks]
            assert first == names

        run(act, WatchSettings(calls_per_second=5.0))

    def test_bytes_per_second_hold_for_lists_and_spare_single_tasks(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            for number in range(30):
                source.add_session(f"s{number}")
                source.add_tasks(f"s{number}", 10, b"x" * 10_000, state=SUCCEED)
            source.add_task("s0")
            began = world.clock.now
            heard, _ = world.subscribe()
            await world.until(lambda: heard.states("11", "s0"))
            source.succeed("s0", "11", b"y" * 10_000)
            await world.until(lambda: SUCCEED in heard.states("11", "s0"), 1.0)
            assert not heard.syncs
            await world.until(lambda: heard.syncs, 120)
            took = world.clock.now - began
            # Half of the rate is for lists. The first eight start at once, the last is not paid.
            assert (30 - 9) * 1.0 <= took <= 30 * 1.0 + 2

        run(act, WatchSettings(bytes_per_second=200_000.0))

    def test_tasks_that_somebody_waits_for_do_not_wait_for_the_limits(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s")
            task = await source.get_task("s", "1")
            await world.until(lambda: world.hub._reader.limits.call(world.clock.now, lists=False))
            future = world.hub.wait(task)
            await asyncio.sleep(1)
            source.fail("s", "1", "boom")  # the text needs a call
            assert (await asyncio.wait_for(future, 1.0)).error == "boom"

        run(act, WatchSettings(calls_per_second=0.01))

    def test_other_limits_hold_at_once(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 2, state=RUNNING)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs, 1000)
            world.hub.configure(WatchSettings())
            source.succeed("s", "1")
            source.succeed("s", "2")
            await world.until(lambda: len(heard.ends()) == 2, 5)

        run(act, WatchSettings(calls_per_second=0.01))


class TestWhatIsKept:
    def test_an_unchanged_list_costs_no_event_and_no_memory(self) -> None:
        """No window, no verdict, no set of ids per task: 20,000 tasks, listed ten times."""

        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 10_000, state=SUCCEED)
            world.source.add_tasks("s", 10_000)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(30)
            told, lists = len(heard.story), world.source.calls["list_tasks"]
            gc.collect()
            blocks = sys.getallocatedblocks()
            tracemalloc.start()
            try:
                await world.until(lambda: world.source.calls["list_tasks"] >= lists + 5, 200)
                await asyncio.sleep(0.1)
                gc.collect()
                kept, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert len(heard.story) == told
            assert sys.getallocatedblocks() - blocks < 2000
            assert kept < 100_000
            assert peak < 20_000 * 24, "the list's own pointers are the most of it"

        run(act, WatchSettings(audit=20.0))

    def test_payloads_are_carried_when_asked_for(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s", b"first", state=SUCCEED, output=b"done")
            source.add_task("s", b"second")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.succeed("s", "2", b"out")
            await world.until(lambda: len(heard.ends()) == 2)
            assert all(event.task.payloads_loaded for event in heard.tasks)
            told = {event.task.id: (event.task.input, event.task.output) for event in heard.tasks}
            assert told == {"1": (b"first", b"done"), "2": (b"second", b"out")}

        run(act, WatchSettings(payloads=True))

    def test_payloads_asked_for_later_are_fetched(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s", b"in", state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            assert not heard.tasks[0].task.payloads_loaded
            world.hub.configure(WatchSettings(payloads=True))
            await asyncio.sleep(5)
            late, _ = world.subscribe()
            assert late.tasks[0].task.input == b"in"
            assert len(heard.tasks) == 1, "that is no change"

        run(act)

    def test_finished_tasks_over_the_limit_leave_and_are_told_once(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 1000, state=SUCCEED)
            heard, subscription = world.subscribe()
            await world.until(lambda: heard.syncs)
            record = world.hub.store.session("s")
            assert len(record.tasks) == 100
            await asyncio.sleep(100)  # audits
            assert source.calls["list_tasks"] > 3
            assert len(heard.ends()) == 1000, "told again"
            lists = source.calls["list_tasks"]
            subscription.needed_since = heard.tasks[-1].sequence
            for _ in range(200):
                number = source.add_task("s")
                source.succeed("s", number)
            await world.until(lambda: len(heard.ends()) == 1200)
            assert len(record.tasks) >= 200, "somebody needs them"
            subscription.needed_since = None
            world.hub.reader_moved()
            assert len(record.tasks) == 100
            assert record.info is not None
            assert record.counts == record.info.counts
            assert source.calls["list_tasks"] - lists < 6
            future = world.hub.wait(await source.get_task("s", "1"))
            assert (await asyncio.wait_for(future, 5)).state is SUCCEED
            assert heard.drifts == []

        run(act, WatchSettings(retain_terminal=100, audit=20.0))

    def test_a_wait_for_a_retired_task_ends(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s")
            pending = await source.get_task("s", "1")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.fail("s", "1", "boom")
            await world.until(heard.ends)
            assert world.hub.store.session("s").tasks == {}
            ended = await asyncio.wait_for(world.hub.wait(pending), 10)
            assert ended.error == "boom"
            assert heard.drifts == []

        run(act, WatchSettings(retain_terminal=0))

    def test_nothing_is_kept_when_nobody_listens_any_more(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 10, state=SUCCEED)
            first, one = world.subscribe(Scope(session="s"))
            await world.until(lambda: first.syncs)
            world.hub.unsubscribe(one)
            again, _ = world.subscribe()
            await world.until(lambda: again.syncs)
            assert len(again.ends()) == 10, "retired ones are present to a newcomer"

        run(act, WatchSettings(retain_terminal=3))

    def test_a_subscriber_that_leaves_in_the_middle_of_a_list_holds_up_no_later_one(self) -> None:
        """To close a watch is no failure: a later subscriber waits for no back-off."""

        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 10, state=SUCCEED)
            for _ in range(10):
                hold = source.hold("list_tasks")
                _, one = world.subscribe(Scope(session="s"))
                await world.until(lambda hold=hold: hold.waiting)
                world.hub.unsubscribe(one)
                hold.release()
            heard, _ = world.subscribe(Scope(session="s"))
            await world.until(lambda: heard.syncs, 1.0)
            assert len(heard.ends()) == 10

        run(act)


class TestHurry:
    def test_a_hurry_during_a_poll_makes_the_next_one_come_at_once(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(30)  # nothing moves: polls are far apart
            hold = source.hold("list_sessions")
            await world.until(lambda: hold.waiting)
            polls = world.hub.health.polls
            world.hub.configure(world.hub.settings)  # hurries, while the poll is on its way
            hold.release()
            await world.until(lambda: world.hub.health.polls > polls, 0.5)

        run(act, WatchSettings(poll_interval=(2.0, 30.0)))


class TestStalled:
    def test_a_task_that_does_not_start_is_told_once(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 3)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.take("s", "1")  # and never arrives
            source.start("s", "2")
            source.succeed("s", "2")
            await world.until(heard.ends)
            await asyncio.sleep(25)
            assert heard.stalls == []
            await asyncio.sleep(60)
            assert [(event.task.id, event.task.state) for event in heard.stalls] == [("1", PENDING)]

        run(act, WatchSettings(stall_after=30.0))

    def test_a_thousand_of_them_are_a_line_a_minute(self, caplog: pytest.LogCaptureFixture) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 1001)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            for number in range(1, 1001):
                source.take("s", str(number))
            source.start("s", "1001")
            source.succeed("s", "1001")
            await asyncio.sleep(200)
            assert len(heard.stalls) == 1000

        run(act, WatchSettings(stall_after=30.0))
        lines = [one for one in caplog.messages if "stays pending" in one]
        assert len(lines) == 2
        assert "(999 times" in lines[1]


@pytest.mark.timeout(120)
def test_a_day_of_watching_in_seconds_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Polls, audits, outages and work for a day; after the first hour nothing grows."""
    caplog.set_level(logging.ERROR)  # captured records would be what grows

    async def work(world: World, heard: Heard, hours: int) -> None:
        source = world.source
        for hour in range(hours):
            name = f"job{world.clock.now:.0f}"
            source.add_session(name)
            source.add_tasks(name, 20)
            for number in range(1, 21):
                source.start(name, str(number))
                await asyncio.sleep(30)
                source.succeed(name, str(number))
            source.close(name)
            await asyncio.sleep(1000)
            source.fail_calls(UnavailableError("away"))
            await asyncio.sleep(300)
            source.answer_calls()
            await asyncio.sleep(600)
            source.drop_session(name)
            await asyncio.sleep(1100)
            ends = [end for end in heard.ends() if end[0] == name]
            assert len(ends) == len(set(ends)) == 20, hour
            heard.__init__()  # type: ignore[misc]  # it keeps nothing

    async def act(world: World) -> None:
        world.source.add_session("steady")
        world.source.add_tasks("steady", 50, state=SUCCEED)
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        await work(world, heard, 2)
        gc.collect()
        blocks, jobs = sys.getallocatedblocks(), len(asyncio.all_tasks())
        await work(world, heard, 22)
        gc.collect()
        assert len(asyncio.all_tasks()) == jobs
        assert set(world.hub._sync._progress) == set(world.hub.store.sessions) == {"steady"}
        assert sys.getallocatedblocks() - blocks < 3000
        assert [event.source for event in heard.tasks if event.source is EventSource.AUDIT] == []
        assert SessionEventKind.DELETED not in heard.kinds("steady")

    run(act)
