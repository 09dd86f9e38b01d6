"""A poll costs the same for each session, however many there are."""

from __future__ import annotations

from support.made import made_session
from support.steps import steps

from flamepy.testing import FakeClock
from flamepy.types import SessionInfo
from flamepy.watching.events import SessionEvent, TaskEvent
from flamepy.watching.hub import Hub
from flamepy.watching.subscriptions import Scope


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
