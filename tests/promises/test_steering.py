"""G23 and G24 of docs/delivery.md: pauses and quarantine lose nothing, overdue is said once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.informers import OverdueEvent, Reactor, TaskEvent, TaskInformer, expect
from flamepy.testing import FakeEngine


def end(engine: FakeEngine, number: int) -> None:
    engine.add_task("s")
    engine.start("s", str(number))
    engine.succeed("s", str(number), b"")


class Ends(TaskInformer):
    """Notes each end; fails while it is broken."""

    def __init__(self) -> None:
        self.broken = False
        self.seen: list[str] = []

    def on_terminal(self, event: TaskEvent) -> None:
        if self.broken:
            raise ValueError("broken")
        self.seen.append(event.task.id)


class TestG23APauseAndAQuarantineLoseNothing:
    """Events wait as for a callback that is slow, also over a restart."""

    @pytest.mark.parametrize("workers", [1, 4])
    def test_ends_beyond_a_full_queue_come_when_it_is_resumed(
        self, engine: FakeEngine, reactor: Reactor, workers: int
    ) -> None:
        informer = Ends()
        registration = reactor.register(informer, queue_size=4, workers=workers)
        registration.wait_synced(20)
        registration.pause("repair")
        for number in range(1, 21):
            end(engine, number)
        eventually(lambda: registration.stats.queued >= 4)
        assert informer.seen == []
        registration.resume()
        eventually(lambda: sorted(map(int, informer.seen)) == list(range(1, 21)))

    def test_what_waited_at_a_stop_comes_after_the_restart_and_the_resume(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        file = tmp_path / "state.db"
        with Reactor(connection=connection, checkpoint=file) as reactor:
            registration = reactor.register(Ends(), uid="ends")
            registration.wait_synced(20)
            registration.pause("repair")
            end(engine, 1)
            eventually(lambda: registration.stats.queued >= 1)
        informer = Ends()
        with Reactor(connection=connection, checkpoint=file) as reactor:
            registration = reactor.register(informer, uid="ends")
            assert registration.state == "paused: repair"
            registration.resume()
            eventually(lambda: informer.seen == ["1"])

    def test_a_quarantine_ends_with_an_event_that_works(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        informer = Ends()
        informer.broken = True
        registration = reactor.register(informer, max_failures=1, probe_delay=0.05)
        registration.wait_synced(20)
        end(engine, 1)
        eventually(lambda: registration.state.startswith("quarantined"))
        informer.broken = False
        for number in (2, 3, 4):
            end(engine, number)
        eventually(lambda: sorted(informer.seen) == ["2", "3", "4"])
        eventually(lambda: registration.state == "active")


class TestG24OverdueIsSaidOnce:
    """For each task and rule, until the rule holds again, over restarts as well."""

    def test_again_only_after_it_held(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        overdue: list[str] = []

        class Alerts(TaskInformer):
            rules = (expect.start(within=0.05),)

            def on_overdue(self, event: OverdueEvent) -> None:
                overdue.append(event.key)

        engine.add_task("s")
        for count in (1, 1, 2):
            with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
                reactor.register(Alerts(), uid="alerts").wait_synced(20)
                if count == 2:
                    engine.start("s", "1")
                    eventually(lambda: reactor.tasks.by_index("state", "running"))
                    engine.requeue("s", "1")
                eventually(lambda: len(overdue) == count)  # noqa: B023
        assert len(set(overdue)) == 1
