"""An engine that pushes is asked for new tasks alone; what its streams lack is found all the same.

Every history in every order is in ``test_histories``; here are the promises about calls, places,
refusals and engines that change.
"""

from __future__ import annotations

import asyncio

import pytest
from support.hearing import Heard, World, run

from flamepy.errors import (
    FlameError,
    InternalError,
    TaskLostError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.testing import ScriptedSource
from flamepy.testing.scripted_exchange import ScriptedExchange
from flamepy.types import TaskState
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.subscriptions import Scope

RUNNING, SUCCEED = TaskState.RUNNING, TaskState.SUCCEED
READS = ("get_task", "list_tasks", "watch_task")


def reads(world: World) -> int:
    """Return how often tasks were asked for."""
    return sum(world.source.calls[call] for call in READS)


def stream(world: World, session_id: str = "s") -> ScriptedExchange:
    """Return the open stream of a session."""
    (found,) = [one for one in world.source.exchanges[session_id] if not one.over]
    return found


def added(world: World) -> list[str]:
    """Return what was added to the open stream of a session, if there is one."""
    streams = world.source.exchanges.get("s", ())
    return next((one.added for one in streams if not one.over), [])


async def followed(world: World, tasks: int = 3) -> Heard:
    """Return what hears of a session whose tasks have all been registered."""
    world.source.add_session("s")
    world.source.add_tasks("s", tasks)
    heard, _ = world.subscribe()
    await world.until(lambda: heard.syncs)
    await world.until(lambda: added(world) == [str(n + 1) for n in range(tasks)])
    await asyncio.sleep(1.0)
    return heard


def test_changes_of_known_tasks_cost_no_call_and_no_wait() -> None:
    async def act(world: World) -> None:
        heard = await followed(world)
        before = reads(world)
        for number in ("1", "2", "3"):
            began = world.clock.now
            world.source.start("s", number)
            await world.until(lambda number=number: heard.states(number)[-1:] == [RUNNING])
            world.source.fail("s", number, "its text")
            await world.until(lambda number=number: heard.states(number)[-1] == TaskState.FAILED)
            assert world.clock.now - began < 0.05, "they are not found by polls"
            await asyncio.sleep(5.0)  # polls go on meanwhile
        assert heard.tasks[-1].task.error == "its text"
        assert reads(world) == before

    run(act, pushes=True)


def test_new_tasks_are_read_once_and_pushed_from_then_on() -> None:
    async def act(world: World) -> None:
        heard = await followed(world, tasks=100)
        lists = world.source.calls["list_tasks"]
        before = reads(world)
        number = world.source.add_task("s")
        await world.until(lambda: heard.states(number))
        await world.until(lambda: number in added(world))
        world.source.start("s", "1")
        world.source.succeed("s", number)
        await world.until(lambda: heard.states(number)[-1] == SUCCEED)
        await asyncio.sleep(1.0)
        assert reads(world) - before <= 3, "the new one, and those that are not there yet"
        assert world.source.calls["list_tasks"] == lists

    run(act, pushes=True)


def test_a_session_has_one_stream_and_each_task_is_added_once() -> None:
    async def act(world: World) -> None:
        await followed(world)
        for number in ("1", "2"):
            world.watch("s", number)
        await asyncio.sleep(30.0)
        assert len(world.source.exchanges["s"]) == 1
        assert stream(world).added == ["1", "2", "3"]
        assert world.source.calls["watch_tasks"] == 1

    run(act, pushes=True)


def test_awaited_tasks_are_pushed_without_a_subscription() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_tasks("s", 100)
        waits = [world.watch("s", str(n + 1)) for n in range(100)]
        for number in range(100):
            world.source.start("s", str(number + 1))
            world.source.succeed("s", str(number + 1))
            await asyncio.sleep(0.01)
        await world.until(lambda: not any(one.active for one in waits))
        assert reads(world) == 0
        await world.until(lambda: not any(not one.over for one in world.source.exchanges["s"]))

    run(act, pushes=True)


def test_a_requeue_that_is_not_announced_is_found_by_the_counters() -> None:
    async def act(world: World) -> None:
        heard = await followed(world)
        world.source.start("s", "1")
        await world.until(lambda: heard.states("1")[-1] == RUNNING)
        world.source.requeue("s", "1")
        await world.until(lambda: heard.states("1")[-1] == TaskState.PENDING, limit=5.0)

    run(act, pushes=True)


@pytest.mark.parametrize("subscribed", [True, False])
def test_a_stream_that_is_half_dead_is_opened_again(subscribed: bool) -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_tasks("s", 2)
        heard = world.subscribe()[0] if subscribed else Heard()
        waits = [world.watch("s", number) for number in ("1", "2")]
        await world.until(lambda: len(added(world)) == 2)
        dead = stream(world)
        world.source.exchanges["s"].remove(dead)  # nothing of what follows reaches it
        await asyncio.sleep(15.0)
        world.source.start("s", "1")
        world.source.succeed("s", "1")
        await world.until(lambda: not waits[0].active, limit=60.0)
        if subscribed:
            await world.until(lambda: SUCCEED in heard.states("1"), limit=5.0)
        await world.until(lambda: dead.over)
        assert waits[1].active
        await world.until(lambda: added(world)[-1:] == ["2"])

    run(act, pushes=True)


def test_a_stream_that_is_cut_or_lags_loses_nothing() -> None:
    async def act(world: World) -> None:
        heard = await followed(world)
        stream(world).lag()
        await asyncio.sleep(0.1)
        for number in ("1", "2"):
            await world.until(lambda: added(world))
            hold = world.source.hold("watch_tasks")
            stream(world).end(UnavailableError("cut"))
            world.source.succeed("s", number)
            hold.release()
            await world.until(lambda number=number: SUCCEED in heard.states(number), limit=3.0)
        assert heard.drifts == []
        assert [state for _, _, state in heard.ends()] == [SUCCEED, SUCCEED]

    run(act, pushes=True)


def test_a_task_that_is_gone_is_lost_and_the_others_go_on() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_tasks("s", 3)
        waits = [world.watch("s", number) for number in ("1", "2", "3")]
        await world.until(lambda: len(added(world)) == 3)
        world.source.drop_task("s", "2")
        stream(world).lag()
        await world.until(lambda: not waits[1].active, limit=5.0)
        assert waits[0].active
        world.source.succeed("s", "1")
        await world.until(lambda: not waits[0].active, limit=5.0)
        world.source.succeed("s", "3")
        await world.until(lambda: not waits[2].active, limit=60.0)

    run(act, pushes=True)


def test_a_session_that_is_gone_ends_the_waits() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_task("s")
        future = world.hub.wait(await world.source.get_task("s", "1"))
        await world.until(lambda: added(world))
        world.source.drop_session("s")
        with pytest.raises(TaskLostError):
            await asyncio.wait_for(future, 30.0)

    run(act, pushes=True)


def test_a_session_that_is_closed_delivers_every_end_and_has_no_stream() -> None:
    async def act(world: World) -> None:
        heard = await followed(world)
        world.source.close("s")
        await world.until(lambda: len(heard.ends()) == 3, limit=5.0)
        await asyncio.sleep(60.0)
        assert world.source.calls["watch_tasks"] == 1

    run(act, pushes=True)


def test_refusals_in_a_row_are_not_repeated_at_once() -> None:
    async def act(world: World) -> None:
        world.source.errors["watch_tasks"] = TaskNotFoundError("task 1 not found")
        world.source.add_session("s")
        world.source.add_tasks("s", 3)
        heard, _ = world.subscribe()
        wait = world.watch("s", "2")
        await asyncio.sleep(300.0)
        assert 2 < world.source.calls["watch_tasks"] < 8
        world.source.succeed("s", "2")
        await world.until(lambda: not wait.active and heard.ends())

    run(act, pushes=True)


def test_an_engine_that_stops_to_push_is_polled_and_one_that_begins_pushes() -> None:
    async def act(world: World) -> None:
        heard = await followed(world)
        wait = world.watch("s", "3")
        world.source.can_exchange = False
        stream(world).end(UnavailableError("restarts"))
        world.source.succeed("s", "1")
        await world.until(lambda: SUCCEED in heard.states("1"), limit=5.0)
        world.source.succeed("s", "3")
        await world.until(lambda: not wait.active, limit=5.0)
        assert world.source.calls["watch_tasks"] == 1
        world.source.can_exchange = True
        await world.until(lambda: added(world) == ["2"], limit=5.0)
        before = reads(world)
        world.source.succeed("s", "2")
        await world.until(lambda: SUCCEED in heard.states("2"), limit=5.0)
        assert reads(world) == before

    run(act, pushes=True)


@pytest.mark.parametrize("error", [None, UnavailableError("cut"), InternalError("no")])
def test_streams_that_are_always_cut_are_given_up_for_reads(
    error: FlameError | None,
) -> None:
    """As of a proxy that lets no stream of requests through: no wait hangs, nothing spins."""

    class Cut(ScriptedSource):
        def watch_tasks(self, session_id: str) -> ScriptedExchange:
            exchange = super().watch_tasks(session_id)
            if error is None:
                exchange.finish()
            else:
                exchange.end(error)
            return exchange

    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_tasks("s", 3)
        heard, _ = world.subscribe()
        waits = [world.watch("s", str(number)) for number in (1, 2)]
        await asyncio.sleep(5.0)
        for number in ("1", "2", "3"):
            world.source.succeed("s", number)
        await world.until(lambda: not any(one.active for one in waits), limit=5.0)
        await world.until(lambda: len(heard.ends()) == 3, limit=5.0)
        assert world.source.calls["watch_tasks"] < 8

    run(act, source=Cut, pushes=True)


def test_an_old_engine_is_never_asked_for_a_stream() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_tasks("s", 3)
        heard, _ = world.subscribe()
        world.watch("s", "1")
        for number in ("1", "2", "3"):
            world.source.succeed("s", number)
        await world.until(lambda: len(heard.ends()) == 3)
        assert world.source.calls["watch_tasks"] == 0

    run(act)


def test_streams_are_not_more_than_the_budget_and_others_are_polled() -> None:
    async def act(world: World) -> None:
        for number in range(10):
            world.source.add_session(f"s{number}")
            world.source.add_task(f"s{number}")
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        await asyncio.sleep(5.0)
        open_now = [one for streams in world.source.exchanges.values() for one in streams]
        assert len(open_now) == 4, "four sessions for each task's stream that it might have"
        for number in range(10):
            world.source.succeed(f"s{number}", "1")
        await world.until(lambda: len(heard.ends()) == 10, limit=10.0)

    run(act, WatchSettings(watch_budget=1), pushes=True)


def test_a_stream_that_nobody_needs_ends() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_task("s")
        wait = world.watch("s", "1")
        await world.until(lambda: added(world))
        wait.release()
        await world.until(lambda: all(one.over for one in world.source.exchanges["s"]), limit=30.0)

    run(act, pushes=True)


def test_sessions_of_other_applications_are_not_listed_where_nothing_needs_them() -> None:
    async def act(world: World) -> None:
        for number in range(50):
            world.source.add_session(f"other{number}", "other")
        world.source.add_session("s", "mine")
        world.source.add_task("s")
        heard, _ = world.subscribe(Scope(application="mine"))
        await world.until(lambda: heard.syncs)
        before = world.source.listed
        await asyncio.sleep(30.0)
        assert world.source.listed - before == world.source.calls["list_sessions"] - 1
        assert world.source.calls["get_session"] == 0
        world.source.add_session("new", "mine")
        await world.until(lambda: heard.kinds("new"))
        everything, _ = world.subscribe()
        await world.until(lambda: everything.syncs)
        assert len({event.session.id for event in everything.sessions}) == 52
        assert all(event.session.application == "mine" for event in heard.sessions)

    run(act, pushes=True)


def test_sessions_that_were_listed_before_the_filter_are_forgotten_without_an_event() -> None:
    async def act(world: World) -> None:
        world.source.can_exchange = False
        world.source.add_session("other0", "other")
        world.source.add_session("s", "mine")
        heard, _ = world.subscribe(Scope(application="mine"))
        await world.until(lambda: heard.syncs)
        assert "other0" in world.hub.store.sessions
        world.source.can_exchange = True
        await world.until(lambda: "other0" not in world.hub.store.sessions)
        assert heard.kinds("other0") == []
        everything = Heard()
        world.hub.subscribe(Scope(), everything, live=True)
        await world.until(lambda: everything.kinds("other0"))
        assert everything.sessions[-1].initial, "it was there before the subscription"

    run(act, pushes=True)
