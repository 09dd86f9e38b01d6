"""Many awaited tasks: what they cost the engine, and that none is forgotten. In fake time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from support.hearing import World, run

from flamepy.errors import SessionLostError, TaskLostError, UnavailableError
from flamepy.testing.scripted_source import ScriptedStream
from flamepy.types import Task, TaskState
from flamepy.watching.policy.completion_planner import FEW, QUIET
from flamepy.watching.policy.settings import WatchSettings

SUCCEED = TaskState.SUCCEED


async def await_all(world: World, count: int, session_id: str = "s") -> list[asyncio.Future[Task]]:
    """Add ``count`` tasks and wait for each as ``run`` does."""
    world.source.add_tasks(session_id, count)
    tasks = [task async for task in world.source.list_tasks(session_id)][:count]
    world.source.calls.clear()
    return [world.hub.wait(task, alone=False) for task in reversed(tasks)]


async def ended(futures: list[asyncio.Future[Task]], limit: float = 60) -> set[TaskState]:
    return {task.state for task in await asyncio.wait_for(asyncio.gather(*futures), limit)}


class TestStreams:
    def test_the_first_few_get_one_soon_and_no_more(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 20)
            assert world.source.most_streams == 0
            await asyncio.sleep(QUIET / 2)
            assert world.source.most_streams == FEW
            for future in futures:
                future.cancel()

        run(act)

    def test_a_task_that_ended_before_the_first_read_needs_none(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 5)
            for number in range(1, 6):
                world.source.succeed("s", str(number))
            assert await ended(futures) == {SUCCEED}
            assert world.source.most_streams == 0

        run(act)


class TestWhatItCosts:
    def test_many_tasks_are_listed_and_not_asked_for_one_by_one(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 2000)
            for number in range(1, 2001):
                world.source.succeed("s", str(number), b"out")
            assert await ended(futures) == {SUCCEED}
            assert {future.result().output for future in futures} == {b"out"}
            assert world.source.calls["list_tasks"] <= 2
            assert world.source.calls["get_task"] + world.source.calls["watch_task"] < 100

        run(act)

    def test_a_session_full_of_ended_tasks_is_not_listed_for_a_few(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 5000, state=SUCCEED)
            futures = await await_all(world, 40)
            for number in range(5001, 5041):
                world.source.succeed("s", str(number))
            assert await ended(futures) == {SUCCEED}
            assert world.source.calls["list_tasks"] == 0
            assert world.source.calls["get_task"] <= 3 * 40

        run(act)

    def test_nothing_is_asked_but_counters_while_nothing_ends(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 3000)
            await asyncio.sleep(1.9)
            assert world.source.calls["list_tasks"] == 0
            assert world.source.calls["get_task"] <= 48 * 8  # beside the streams
            assert world.source.open_streams == 48
            for future in futures:
                future.cancel()
            await world.until(lambda: world.source.open_streams == 0)

        run(act)

    def test_streams_that_tell_nothing_are_not_opened_again_and_again(self) -> None:
        async def act(world: World) -> None:
            opened: Counter[str] = Counter()

            async def nothing() -> AsyncIterator[Task]:
                for task in ():
                    yield task

            def watch_task(session_id: str, task_id: str) -> ScriptedStream:
                opened[task_id] += 1
                return ScriptedStream(nothing)

            world.source.watch_task = watch_task  # type: ignore[method-assign]
            world.source.add_session("s")
            futures = await await_all(world, 30)
            await asyncio.sleep(30)
            assert max(opened.values()) <= 3
            for number in range(1, 31):
                world.source.succeed("s", str(number))
            assert await ended(futures) == {SUCCEED}

        run(act)

    def test_many_sessions_are_asked_for_together(self) -> None:
        async def act(world: World) -> None:
            futures = []
            for number in range(100):
                world.source.add_session(f"s{number}")
                futures += await await_all(world, 20, f"s{number}")
            await asyncio.sleep(1.0)
            assert world.source.calls["get_session"] <= 16
            for number in range(100):
                for task in range(1, 21):
                    world.source.succeed(f"s{number}", str(task))
            assert await ended(futures) == {SUCCEED}

        run(act)


class TestNoneIsForgotten:
    def test_one_that_is_awaited_alone_is_delivered_at_stream_speed_beside_many(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 3000)
            await asyncio.sleep(1.0)  # the others have their streams
            world.source.add_session("other")
            world.source.add_task("other")
            alone = world.hub.wait(await world.source.get_task("other", "1"))
            await asyncio.sleep(0.002)
            world.source.succeed("other", "1")
            await asyncio.sleep(0.002)
            assert alone.done()
            for future in futures:
                future.cancel()

        run(act)

    def test_what_the_counters_hide_is_found(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            futures = await await_all(world, 100)
            await asyncio.sleep(0.01)
            for number in range(1, 101):
                source.take("s", str(number))  # in no counter
            await asyncio.sleep(5)
            for number in reversed(range(1, 101)):  # the last ones first
                source.succeed("s", str(number))
                await asyncio.sleep(0.01)
            assert await ended(futures, 120) == {SUCCEED}

        run(act)

    def test_ends_of_tasks_that_are_not_awaited_take_nothing_away(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 500)
            futures = await await_all(world, 30)
            for number in range(1, 501):
                source.succeed("s", str(number))
                if number % 10 == 0:
                    await asyncio.sleep(0.01)
            assert not any(future.done() for future in futures)
            for number in range(501, 531):
                source.succeed("s", str(number))
            assert await ended(futures) == {SUCCEED}

        run(act)

    def test_a_failure_comes_with_its_text(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 50)
            for number in range(1, 51):
                world.source.fail("s", str(number), f"no {number}")
            assert await ended(futures) == {TaskState.FAILED}
            assert [future.result().error for future in futures] == [
                f"no {number}" for number in range(1, 51)
            ]

        run(act)

    def test_one_that_is_gone_is_lost(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 50)
            world.source.drop_task("s", "40")
            for number in (*range(1, 40), *range(41, 51)):
                world.source.succeed("s", str(number))
            await asyncio.sleep(1.0)  # its absence is looked at with the list that lacks it
            assert isinstance(futures[39].exception(), TaskLostError)
            assert await ended(futures[:39] + futures[40:]) == {SUCCEED}

        run(act, WatchSettings(watch_budget=0))

    def test_a_session_that_is_gone_loses_all_of_them(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 50)
            await asyncio.sleep(1)
            world.source.drop_session("s")
            await asyncio.wait(futures, timeout=60)
            for future in futures:
                assert isinstance(future.exception(), SessionLostError)

        run(act)

    def test_what_an_outage_hid_is_found(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 50)
            await asyncio.sleep(0.01)
            world.source.errors["*"] = UnavailableError("away")
            for number in range(1, 51):
                world.source.succeed("s", str(number))
            await asyncio.sleep(10)
            assert not any(future.done() for future in futures)
            del world.source.errors["*"]
            assert await ended(futures) == {SUCCEED}

        run(act)

    def test_what_an_outage_hid_from_the_counters_too_is_found(self) -> None:
        """One end is gone, another one came: the counters are the same."""

        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 1, state=SUCCEED)
            futures = await await_all(world, 50)
            await asyncio.sleep(300)  # by now all are asked once a minute
            world.source.errors["*"] = UnavailableError("away")
            world.source.drop_task("s", "1")
            world.source.succeed("s", "2")
            await asyncio.sleep(3)
            del world.source.errors["*"]
            await asyncio.sleep(3)
            assert futures[0].done()
            for future in futures:
                future.cancel()

        run(act, WatchSettings(watch_budget=0))

    def test_without_any_stream(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            futures = await await_all(world, 20)
            await asyncio.sleep(3)
            for number in reversed(range(1, 21)):
                world.source.succeed("s", str(number))
                await asyncio.sleep(0.2)
            assert await ended(futures) == {SUCCEED}
            assert world.source.most_streams == 0

        run(act, WatchSettings(watch_budget=0))

    def test_with_an_informer_on_the_session_both_receive_them(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            futures = await await_all(world, 200)
            for number in range(1, 201):
                world.source.succeed("s", str(number), b"out")
            assert await ended(futures) == {SUCCEED}
            assert {future.result().output for future in futures} == {b"out"}
            await world.until(lambda: len(heard.ends()) == 200)
            await asyncio.sleep(5)
            assert len(heard.ends()) == 200, "each end is told once"

        run(act)
