"""Informers are paused, quarantined and explained; what is not done in time is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers import (
    OverdueEvent,
    Reactor,
    SessionInformer,
    TaskEvent,
    TemporaryError,
    expect,
    predicates,
    signals,
)
from flamepy.testing import FakeEngine
from flamepy.types import TaskState


class Noting(TaskInformer):
    def __init__(self, act: Callable[[TaskEvent], None] = lambda event: None) -> None:
        self.act = act
        self.seen: list[str] = []

    def on_added(self, event: TaskEvent) -> None:
        self.seen.append(event.task.id)
        self.act(event)


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return request.param  # type: ignore[no-any-return]  # as above


@pytest.fixture
def received() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    found: list[tuple[str, dict[str, Any]]] = []

    def quarantined(sender: object, **values: Any) -> None:
        found.append(("quarantined", values))

    def recovered(sender: object, **values: Any) -> None:
        found.append(("recovered", values))

    with (
        signals.handler_quarantined.connected_to(quarantined),
        signals.handler_recovered.connected_to(recovered),
    ):
        yield found


class TestPause:
    def test_events_wait_until_it_is_resumed(
        self, fake_engine: FakeEngine, running: Reactor, workers: int
    ) -> None:
        informer = Noting()
        registration = running.register(informer, workers=workers)
        registration.wait_synced(20)
        registration.pause("repair")
        for _ in range(3):
            fake_engine.add_task("s")
        eventually(lambda: registration.stats.queued >= 3)
        assert (informer.seen, registration.state) == ([], "paused: repair")
        assert running.health().informers[0].state == "paused: repair"
        registration.resume()
        eventually(lambda: sorted(informer.seen) == ["1", "2", "3"])
        assert registration.state == "active"

    def test_a_stop_does_not_wait_for_it(
        self, fake_engine: FakeEngine, engine_connection: Connection, workers: int
    ) -> None:
        informer = Noting()
        reactor = Reactor(connection=engine_connection).start()
        registration = reactor.register(informer, workers=workers)
        registration.wait_synced(20)
        registration.pause()
        fake_engine.add_task("s")
        eventually(lambda: registration.stats.queued >= 1)
        reactor.stop(600)
        assert informer.seen == []
        eventually(lambda: not [one for one in threading.enumerate() if "r-Noting" in one.name])

    def test_it_holds_over_a_restart_with_a_checkpoint(
        self, fake_engine: FakeEngine, engine_connection: Connection, tmp_path: Path
    ) -> None:
        def made() -> Reactor:
            return Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db")

        with made() as reactor:
            first = reactor.register(Noting(), uid="bills")
            first.wait_synced(20)
            first.pause("repair")
        informer = Noting()
        with made() as reactor:
            registration = reactor.register(informer, uid="bills")
            assert registration.state == "paused: repair"
            fake_engine.add_task("s")
            eventually(lambda: registration.stats.queued >= 1)
            assert informer.seen == []
            registration.resume()
            eventually(lambda: informer.seen == ["1"])
        with made() as reactor:
            assert reactor.register(Noting(), uid="bills").state == "active"

    def test_what_is_wrong_is_refused(self, running: Reactor) -> None:
        registration = running.register(Noting())
        with pytest.raises(InvalidArgumentError, match="reason must be a text, got 5"):
            registration.pause(5)  # type: ignore[arg-type]  # that is the test
        registration.remove()
        for act in (registration.pause, registration.resume):
            with pytest.raises(InvalidStateError, match="was removed"):
                act()
        assert registration.state == "removed"


class TestQuarantine:
    def test_after_failures_in_a_row_events_wait_and_one_is_tried(
        self, fake_engine: FakeEngine, running: Reactor, workers: int, received
    ) -> None:
        def fail(event: TaskEvent) -> None:
            if event.task.id in ("1", "2"):
                raise ValueError("no printer")

        informer = Noting(fail)
        registration = running.register(
            informer, name="mine", workers=workers, key="session", max_failures=2, probe_delay=0.2
        )
        registration.wait_synced(20)
        for _ in range(6):
            fake_engine.add_task("s")
        eventually(lambda: received)
        kind, values = received[0]
        assert (kind, values["informer"]) == ("quarantined", "mine")
        assert "2 failures in a row, the last one ValueError: no printer" in values["reason"]
        eventually(lambda: len(informer.seen) == 6)
        eventually(lambda: [one for one, _ in received] == ["quarantined", "recovered"])
        assert registration.state == "active"

    def test_nothing_is_tried_before_the_time(
        self, fake_engine: FakeEngine, running: Reactor, workers: int, received
    ) -> None:
        def fail(event: TaskEvent) -> None:
            raise ValueError("no printer")

        informer = Noting(fail)
        registration = running.register(
            informer, workers=workers, key="session", max_failures=2, probe_delay=3600
        )
        registration.wait_synced(20)
        for _ in range(6):
            fake_engine.add_task("s")
        eventually(lambda: len(informer.seen) == 2 and registration.stats.queued == 4)
        registration.resume()
        eventually(lambda: len(informer.seen) == 4)

    @pytest.mark.parametrize(
        "wrong", [{"max_failures": 0}, {"max_failures": 2.5}, {"probe_delay": 0}]
    )
    def test_wrong_settings_are_refused(self, running: Reactor, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            running.register(Noting(), **wrong)


class TestRules:
    def test_what_does_not_happen_in_time_is_said_once(
        self, fake_engine: FakeEngine, running: Reactor, workers: int
    ) -> None:
        overdue: list[OverdueEvent] = []

        class Alerts(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None:
                overdue.append(event)

        running.register(Alerts(), workers=workers, rules=[expect.start(within=0.05)])
        running.wait_synced(20)
        fake_engine.add_task("s")
        fake_engine.add_task("s")
        fake_engine.start("s", "2")
        eventually(lambda: [one.task.id for one in overdue if one.task] == ["1"])
        assert overdue[0].to_dict()["rule"] == "start(within=0.05)"
        assert (overdue[0].session_id, overdue[0].age >= 0.05) == ("s", True)

    def test_of_sessions_by_their_counters_alone(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        overdue: list[OverdueEvent] = []

        class Alerts(SessionInformer):
            rules = (expect.drained(within=0.05),)

            def on_overdue(self, event: OverdueEvent) -> None:
                overdue.append(event)

        running.register(Alerts())
        running.wait_synced(20)
        fake_engine.add_task("s")
        eventually(lambda: [one.session_id for one in overdue] == ["s"])
        assert not {"ListTask", "WatchTask", "GetTask"} & set(fake_engine.calls)

    def test_one_that_fails_is_called_again(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        seen: list[str] = []

        class Alerts(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None:
                seen.append(event.key)
                if len(seen) < 3:
                    raise TemporaryError("not yet", delay=0.001)

        running.register(Alerts(), rules=[expect.end(within=0.02)])
        fake_engine.add_task("s")
        eventually(lambda: len(seen) == 3)
        assert len(set(seen)) == 1

    def test_it_is_not_said_again_after_a_restart(
        self, fake_engine: FakeEngine, engine_connection: Connection, tmp_path: Path
    ) -> None:
        seen: list[str] = []

        class Alerts(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None:
                seen.append(event.task.id if event.task else "")

        fake_engine.add_task("s")
        for count in (1, 2):
            with Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db") as reactor:
                reactor.register(Alerts(), uid="alerts", rules=[expect.start(within=0.05)])
                eventually(lambda: len(seen) == count)  # noqa: B023
                fake_engine.add_task("s")
        assert seen == ["1", "2"]

    def test_a_where_that_raises_is_reported_and_the_event_delivered(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        errors: list[str] = []

        class Alerts(Noting):
            def on_overdue(self, event: OverdueEvent) -> None:
                pass

            def on_error(self, error: Any) -> None:
                errors.append(str(error))

        def wrong(task: Any) -> bool:
            raise KeyError("owner")

        informer = Alerts()
        running.register(informer, rules=[expect.end(within=5, where=wrong)])
        fake_engine.add_task("s")
        eventually(lambda: informer.seen == ["1"] and errors)
        assert "KeyError" in errors[0]

    def test_rules_and_on_overdue_go_together(self, running: Reactor) -> None:
        class Alerts(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None:
                pass

        with pytest.raises(InvalidArgumentError, match="rules and no on_overdue"):
            running.register(Noting(), rules=[expect.end(within=5)])
        with pytest.raises(InvalidArgumentError, match="would never be called: give rules"):
            running.register(Alerts())
        with pytest.raises(InvalidArgumentError, match="given twice"):
            running.register(Alerts(), rules=[expect.end(within=5)] * 2)


class TestExplain:
    def test_what_was_observed_and_what_each_informer_did(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        class Failing(TaskInformer):
            def on_failed(self, event: TaskEvent) -> None:
                raise ValueError("no printer")

        running.register(
            Noting(), name="adds", where=predicates.state_in(TaskState.PENDING, TaskState.FAILED)
        )
        running.register(Failing(), name="mails")
        running.wait_synced(20)
        fake_engine.add_task("s")
        eventually(lambda: running.explain("s", 1).handlers[0].notes)
        fake_engine.start("s", "1")
        eventually(lambda: len(running.explain("s", 1).handlers[0].notes) == 2)
        fake_engine.fail("s", "1", "out of paper")
        eventually(lambda: "failed for good" in str(running.explain("s", 1)))
        found = running.explain("s", "1")
        assert found.text == "s/1: failed"
        assert "the service said: out of paper" in found.observed
        assert any(one.startswith("seen by ") and one.endswith(" s ago") for one in found.observed)
        adds, mails = found.handlers
        assert [(one.state, one.detail) for one in adds.notes][1:] == [
            ("running", "by where="),
            ("failed", "no callback takes it"),
        ]
        assert (adds.notes[0].state, str(adds.notes[0].stage)) == ("pending", "delivered")
        assert mails.notes[-1].detail == "attempt 1: ValueError: no printer"
        assert found.to_dict()["handlers"][1]["name"] == "mails"

    def test_what_waits_and_what_runs(self, fake_engine: FakeEngine, running: Reactor) -> None:
        entered, gate = threading.Event(), threading.Event()

        def wait(event: TaskEvent) -> None:
            entered.set()
            gate.wait(30)

        running.register(Noting(wait), name="slow")
        running.wait_synced(20)
        fake_engine.add_task("s")
        assert entered.wait(20)
        fake_engine.add_task("s")
        eventually(lambda: running.explain("s", "2").handlers[0].waiting == 1)
        assert running.explain("s", "1").handlers[0].text == "on_added runs"
        gate.set()
        eventually(lambda: running.explain("s", "2").handlers[0].text == "delivered")

    def test_what_a_pause_holds_waits(
        self, fake_engine: FakeEngine, running: Reactor, workers: int
    ) -> None:
        """The one that a thread has in its hand as well; as for an event that nobody took."""
        handle = running.register(Noting(), name="held", workers=workers)
        running.wait_synced(20)
        handle.pause("repair")
        fake_engine.add_task("s")
        eventually(lambda: running.explain("s", "1").handlers[0].waiting == 1)
        eventually(lambda: handle.stats.queued == 1)
        assert running.explain("s", "1").handlers[0].text == "1 waiting, paused: repair"
        handle.resume()
        eventually(lambda: running.explain("s", "1").handlers[0].text == "delivered")

    def test_what_is_not_known_is_said(self, running: Reactor) -> None:
        running.register(Noting(), session="s", name="of s")
        running.wait_synced(20)
        text = running.explain("nothing", 1).text
        assert text.startswith(
            "nothing/1: not known; no poll has shown a session 'nothing'; `flame"
        )
        assert running.explain("nothing").handlers[0].text == "registered for another session"

    def test_a_mistyped_session_is_named_with_those_that_are_alike(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        for name in ("bills-a1b2c3", "mails-x9y8z7"):
            fake_engine.add_session(name)
        running.register(Noting())
        running.wait_synced(20)
        eventually(lambda: "open" in running.explain("bills-a1b2c3").text)
        eventually(lambda: "open" in running.explain("mails-x9y8z7").text)
        for typed in ("bills-a1b2d3", "bills"):
            text = running.explain(typed).text
            assert f"a session '{typed}'; did you mean 'bills-a1b2c3'? " in text, text
            assert "mails" not in text

    def test_a_session_that_left_is_gone_and_not_unknown(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        running.register(Noting())
        running.wait_synced(20)
        eventually(lambda: "open" in running.explain("s").text)
        fake_engine.drop_session("s")
        eventually(lambda: "s: gone; session 's' left the engine " in running.explain("s").text)
