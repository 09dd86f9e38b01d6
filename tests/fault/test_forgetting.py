"""An engine that keeps few sessions: ends are read in time, or counted as missed; never neither."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.hearing import World, run

from flamepy.errors import UnavailableError
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.missed import Reason

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState


async def _churn(world: World, *, sessions: int, kept: int, pause: float) -> int:
    """Open, run and close sessions of five tasks; the oldest closed ones are dropped."""
    source = world.source
    for number in range(sessions):
        name = f"c{number}"
        source.add_session(name)
        source.add_tasks(name, 5, state=SUCCEED)
        source.close(name)
        if number >= kept:
            source.drop_session(f"c{number - kept}")
        await asyncio.sleep(pause)
    return 5 * sessions


class TestChurn:
    def test_all_are_read_in_time_from_an_engine_that_forgets_within_seconds(self) -> None:
        """Polls that take long would come too late at their usual share of the time."""

        async def act(world: World) -> None:
            world.source.latency["list_sessions"] = 0.06
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            made = await _churn(world, sessions=1000, kept=200, pause=0.02)
            await asyncio.sleep(5)
            missed = sum(one.total for one in heard.missing)
            assert len(heard.ends()) + missed == made
            assert missed < made / 100  # of the first seconds, before the pace was known

        run(act)

    def test_an_end_is_delivered_or_counted_when_reads_are_too_slow(self) -> None:
        async def act(world: World) -> None:
            world.source.latency["list_tasks"] = 2.0
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            made = await _churn(world, sessions=500, kept=100, pause=0.02)
            await asyncio.sleep(120)
            missed = sum(one.total for one in heard.missing)
            assert missed > 0
            assert len(heard.ends()) + missed == made
            assert {one.reason for one in heard.missing} == {Reason.EVICTED}
            assert world.hub.missed == missed

        run(act)

    def test_polls_are_calm_again_when_the_load_has_ended(self) -> None:
        async def act(world: World) -> None:
            world.source.latency["list_sessions"] = 0.06
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await _churn(world, sessions=500, kept=100, pause=0.02)
            await asyncio.sleep(120)
            polls = world.hub.health.polls
            await asyncio.sleep(100)
            assert world.hub.health.polls - polls <= 35  # a fiftieth of the time: every 3 s

        run(act)


class TestReasons:
    def test_a_deleted_session_says_so(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("kept")
            source.close("kept")
            await asyncio.sleep(2)
            hold = source.hold("list_tasks")
            heard, _ = world.subscribe()
            source.add_session("s")
            source.add_tasks("s", 3, state=SUCCEED)
            source.add_task("s", state=FAILED)
            source.close("s")
            await world.until(lambda: hold.waiting)
            source.drop_session("s")
            await world.until(lambda: heard.missing)
            hold.release()
            (missed,) = heard.missing
            assert missed.reason is Reason.DELETED
            assert missed.counts == TaskCounts(succeed=3, failed=1)
            assert (missed.total, missed.unknown) == (4, 0)

        run(act)

    def test_what_an_outage_took_is_lost_with_the_storage(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            hold = source.hold("list_tasks")
            source.add_session("s")
            source.add_tasks("s", 2, state=SUCCEED)
            source.add_task("s", state=RUNNING)
            heard, _ = world.subscribe()
            await world.until(lambda: hold.waiting)
            source.fail_calls(UnavailableError("away"))
            await world.until(lambda: heard.failures)
            source.lose_state()
            source.answer_calls()
            await world.until(lambda: heard.missing)
            hold.release()
            (missed,) = heard.missing
            assert missed.reason is Reason.LOST
            assert missed.total == 2  # the third never ended

        run(act)

    def test_nothing_is_missed_of_a_session_that_was_read(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 5, state=SUCCEED)
            source.close("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.drop_session("s")
            await asyncio.sleep(5)
            assert len(heard.ends()) == 5
            assert heard.missing == []

        run(act)

    def test_one_warning_a_minute_at_most(self, caplog: pytest.LogCaptureFixture) -> None:
        async def act(world: World) -> None:
            world.source.latency["list_tasks"] = 5.0
            world.subscribe()
            await asyncio.sleep(1)
            await _churn(world, sessions=1500, kept=50, pause=0.02)

        with caplog.at_level(logging.WARNING, "flamepy"):
            run(act)
        assert 1 <= len([one for one in caplog.records if "missed" in one.message]) <= 2
