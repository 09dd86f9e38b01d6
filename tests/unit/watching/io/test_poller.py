"""What a poll costs, and the heartbeat while only the connection is watched."""

from __future__ import annotations

import asyncio

import pytest
from support.hearing import Heard, World, run
from support.made import made_session
from support.steps import steps

from flamepy.errors import UnavailableError
from flamepy.testing import FakeClock, ScriptedSource
from flamepy.types import SessionInfo
from flamepy.watching.hub import Hub
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.subscriptions import Scope


class Engine:
    """Has sessions and nothing else."""

    def __init__(self, number: int) -> None:
        self.infos = [made_session(f"s{one:05d}") for one in range(number)]

    async def list_sessions(self, *, timeout: float | None = None) -> list[SessionInfo]:
        return list(self.infos)


class Sink:
    """Takes what it gets."""

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: None

    def task_event(self, event: TaskEvent) -> None: ...

    def session_event(self, event: SessionEvent) -> None: ...


def cost(number: int) -> float:
    clock = FakeClock()

    async def act() -> float:
        hub = Hub(Engine(number), "http://there")  # type: ignore[arg-type]  # what a poll needs
        hub.subscribe(Scope(), Sink())  # type: ignore[arg-type]  # takes everything
        await hub._poller._once(after_outage=False)
        polling = hub._poller._once(after_outage=False)

        def poll() -> None:
            try:
                polling.send(None)
            except StopIteration:
                return
            raise AssertionError("a poll of an engine that answers at once waits for nothing")

        spent = steps(poll) / number
        await hub.aclose()
        return spent

    return clock.run(act())


def test_a_poll_costs_the_same_for_each_session_however_many_there_are() -> None:
    costs = [cost(number) for number in (1_000, 4_095, 4_097, 20_000)]
    assert max(costs) < 1.1 * min(costs), costs


class TestHeartbeat:
    """While only the connection is watched, one small call a second and nothing else is made."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def source(self, clock: FakeClock) -> ScriptedSource:
        made = ScriptedSource(clock)
        made.add_session("s")
        return made

    def test_it_is_the_only_call_and_ends_with_its_undo(
        self, clock: FakeClock, source: ScriptedSource
    ) -> None:
        async def act() -> None:
            hub = Hub(source, "http://there")
            undo = hub.watch_connection()
            await asyncio.sleep(60)
            assert 50 <= source.calls["list_nodes"] <= 60
            assert set(source.calls) == {"list_nodes"}
            assert hub.freshness() == float("inf"), "it shows no session"
            undo()
            undo()
            await asyncio.sleep(1)
            calls = source.calls.copy()
            await asyncio.sleep(60)
            assert source.calls == calls
            assert not hub._jobs
            await hub.aclose()

        clock.run(act())

    def test_polls_of_sessions_take_its_place(
        self, clock: FakeClock, source: ScriptedSource
    ) -> None:
        async def act() -> None:
            hub = Hub(source, "http://there")
            undo = hub.watch_connection()
            await asyncio.sleep(5.5)
            subscription = hub.subscribe(Scope(), Sink())  # type: ignore[arg-type]  # takes all
            beats = source.calls["list_nodes"]
            await asyncio.sleep(0.01)
            assert source.calls["list_sessions"] == 1, "it does not wait for the next heartbeat"
            await asyncio.sleep(60)
            assert source.calls["list_nodes"] == beats
            hub.unsubscribe(subscription)
            await asyncio.sleep(60)
            assert source.calls["list_nodes"] >= beats + 50
            assert not hub.store.sessions, "what is not polled is not known"
            undo()
            await hub.aclose()

        clock.run(act())

    def test_a_task_that_is_awaited_from_now_on_is_polled_at_once(
        self, clock: FakeClock, source: ScriptedSource
    ) -> None:
        async def act() -> None:
            number = source.add_task("s")
            hub = Hub(source, "http://there")
            undo = hub.watch_connection()
            await asyncio.sleep(5.5)
            future = hub.wait(await source.get_task("s", number))
            await asyncio.sleep(0.01)
            assert source.calls["get_session"] == 1
            source.succeed("s", number)
            assert (await future).state.name == "SUCCEED"
            undo()
            await hub.aclose()

        clock.run(act())

    def test_an_outage_and_its_end_are_noticed(
        self, clock: FakeClock, source: ScriptedSource
    ) -> None:
        async def act() -> None:
            hub = Hub(source, "http://there")
            undo = hub.watch_connection()
            await asyncio.sleep(3)
            assert hub.health.down_since is None
            source.errors["*"] = UnavailableError("gone")
            await asyncio.sleep(3)
            assert hub.health.down_since is not None
            source.errors.clear()
            await asyncio.sleep(3)
            assert hub.health.down_since is None
            assert hub.health.outages == 1
            undo()
            await hub.aclose()

        clock.run(act())


class LateSource(ScriptedSource):
    """An engine that a list of sessions reaches late."""

    late = 0.0

    async def list_sessions(self, *, timeout: float | None = None) -> list[SessionInfo]:
        await asyncio.sleep(self.late)
        return await super().list_sessions(timeout=timeout)


def test_a_first_look_waits_for_the_poll_that_decides_what_is_initial() -> None:
    """Not for one that was sent for a subscription that has ended since."""

    async def act(world: World) -> None:
        world.source.add_session("s")
        heard, subscription = world.subscribe()
        await world.until(lambda: heard.syncs)
        hold = world.source.hold("list_sessions")
        await world.until(lambda: hold.waiting)
        world.hub.unsubscribe(subscription)
        fresh = Heard()
        world.hub.subscribe(Scope(), fresh, live=True)
        world.source.late = 1.0  # type: ignore[attr-defined]  # of LateSource
        hold.release()
        await world.hub.first_look(30.0)
        world.source.add_session("new")
        await world.until(lambda: fresh.kinds("new"))
        assert not any(one.initial for one in fresh.sessions if one.session.id == "new")

    run(act, source=LateSource)
