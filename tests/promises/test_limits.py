"""G13 to G15, G18 and G19 of docs/delivery.md: clocks, deadlines, repeats, memory, missed ends."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.errors import DeadlineExceededError, FlameError, UnavailableError
from flamepy.informers import Reactor, signals
from flamepy.local.engine import Engine
from flamepy.local.refusal import Refusal
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task


class TestG13Clocks:
    """A wall clock that jumps changes nothing."""

    def test_fault_20_a_wall_clock_that_jumps_an_hour_forth_and_back(
        self, engine: FakeEngine, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(30)
        real, hours = time.time, 0

        def jumped() -> float:  # for this library; gRPC's own deadlines are its business
            ours = sys._getframe(1).f_globals["__name__"].startswith("flamepy")
            return real() + (3600 * hours if ours else 0)

        monkeypatch.setattr(time, "time", jumped)
        for number in (1, 2):
            hours = 1 if number == 1 else -1
            engine.add_task("s")
            for move, state in ((None, "PENDING"), (engine.start, "RUNNING")):
                if move is not None:
                    move("s", str(number))
                wanted = (str(number), state)
                informer.wait_for(lambda seen, wanted=wanted: told(seen)[-1:] == [wanted], 20)
            engine.succeed("s", str(number))
            informer.wait_for(lambda seen, number=number: len(seen.terminal()) == number, 20)
        assert all(event.lag >= 0 for event in informer.events)
        assert [one[1] for one in informer.terminal()] == ["1", "2"]


def told(informer: RecordingInformer) -> list[tuple[str, str]]:
    return [(event.task.id, event.task.state.name) for event in informer.events]


class TestG14Deadlines:
    """Every call has a deadline, every wait inside ends with the reactor."""

    def test_calls_to_an_engine_that_is_silent_end(self, engine: FakeEngine, connection) -> None:
        engine.freeze()
        try:
            for call in (
                lambda: connection.list_sessions(timeout=0.2),
                lambda: connection.get_session("s", timeout=0.2),
                lambda: connection.open_session("s", timeout=0.2),
            ):
                with pytest.raises(DeadlineExceededError):
                    call()
        finally:
            engine.thaw()

    def test_a_stop_ends_the_waits_inside(self, engine: FakeEngine, connection) -> None:
        """Back-off of polls, texts and retries: all of them wait when the engine is away."""
        informer = RecordingInformer()
        reactor = Reactor(connection=connection).start()
        reactor.register(informer).wait_synced(30)
        engine.kill()
        informer.wait_for(lambda seen: bool(seen.errors), 30)
        reactor.stop()
        assert reactor.join(0)
        engine.restart()


class TestG15Repeats:
    """Reads are repeated, a creation of unknown fate is looked for; errors say what was done."""

    def test_a_create_whose_reply_is_lost_is_not_made_again(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create, lost = Engine.create_task, []

        def losing(self: Engine, session_id: str, payload: bytes | None) -> Task:
            task = create(self, session_id, payload)
            if not lost:
                lost.append(task.id)
                raise Refusal("UNAVAILABLE", "Socket closed")
            return task

        monkeypatch.setattr(Engine, "create_task", losing)
        with connect(engine.endpoint) as connection:
            task = connection.get_session("s").create_task(b"x", timeout=20)
            assert (lost, task.id) == (["1"], "1")
            assert connection.get_session("s").pending == 1

    def test_a_create_that_cannot_be_sent_says_how_it_failed(self, engine: FakeEngine) -> None:
        with connect(engine.endpoint) as connection:
            session = connection.get_session("s")
            engine.kill()
            with pytest.raises(FlameError) as caught:
                session.create_task(b"x", timeout=5)
            error = caught.value
            assert isinstance(error, UnavailableError)
            assert error.attempts >= 1
            assert error.elapsed >= 0
            assert error.__cause__ is not None
            engine.restart()
            assert engine.calls["CreateTask"] == 0
            assert connection.get_session("s", timeout=30).pending == 0, "reads are repeated"


class TestG18Memory:
    """Payloads are not kept, and of old finished tasks only how they ended."""

    def test_finished_tasks_leave_and_are_not_told_again(
        self, engine: FakeEngine, connection
    ) -> None:
        informer = RecordingInformer()
        with Reactor(connection=connection, retain_terminal=10, audit=0.5) as reactor:
            reactor.register(informer).wait_synced(30)
            for number in range(1, 101):
                engine.add_task("s")
                engine.succeed("s", str(number))
            informer.wait_for(lambda seen: len(seen.terminal()) == 100, 30)
            eventually(lambda: len(reactor.tasks) <= 10, "old ones to leave with the next poll")
            lists = engine.calls["ListTask"]
            eventually(lambda: engine.calls["ListTask"] > lists + 1, "two audits")
            engine.add_task("s")
            informer.wait_for(lambda seen: seen.events[-1].task.id == "101", 30)
        assert len(informer.terminal()) == 100

    def test_payloads_are_left_out_unless_asked_for(self, engine: FakeEngine) -> None:
        size, count = 100_000, 50
        for number in range(1, count + 1):
            engine.add_task("s", b"x" * size)
            engine.succeed("s", str(number), b"y" * size)
        grown = {}
        for payloads in (False, True):
            with (
                connect(engine.endpoint) as connection,
                Reactor(connection=connection, payloads=payloads) as reactor,
            ):
                gc.collect()
                tracemalloc.start()
                reactor.register(RecordingInformer()).wait_synced(30)
                gc.collect()
                grown[payloads] = tracemalloc.get_traced_memory()[0]
                tracemalloc.stop()
                tasks = reactor.tasks.list()
                assert len(tasks) == count
                assert all(one.payloads_loaded == payloads for one in tasks)
                assert all((one.output is not None) == payloads for one in tasks)
        assert grown[False] < count * size / 4
        assert grown[True] > 2 * count * size


class TestG19DeliveredOrMissed:
    """An end is delivered, or counted as missed and signalled."""

    def test_ends_of_a_session_that_is_gone_before_it_was_read_are_signalled(
        self, engine: FakeEngine, connection
    ) -> None:
        told: list[dict[str, object]] = []

        def note(application: str, **values: object) -> None:
            told.append({"application": application, **values})

        slow = Reactor(connection=connection, calls_per_second=0.5)
        with signals.events_missed.connected_to(note), slow as reactor:
            informer = RecordingInformer()
            reactor.register(informer).wait_synced(30)
            names = [f"short-{number}" for number in range(10)]
            for name in names:
                engine.add_session(name)
                for task in ("1", "2", "3"):
                    engine.add_task(name)
                    engine.succeed(name, task)
            seen = reactor.sessions
            eventually(lambda: all(seen.get(one) for one in names), "the sessions to be seen")
            for name in names:
                engine.drop_session(name)
            eventually(lambda: sum(one["total"] for one in told) > 0, "the signal")
            eventually(
                lambda: len(informer.terminal()) + sum(one["total"] for one in told) == 30,
                "each end to be delivered or counted",
            )
            assert reactor.health().missed == sum(one["total"] for one in told)
            assert {one["application"] for one in told} == {"fake"}

    def test_a_reactor_of_a_frozen_engine_is_not_ready(
        self, engine: FakeEngine, connection
    ) -> None:
        with Reactor(connection=connection, ready_within=1.0) as reactor:
            reactor.register(RecordingInformer()).wait_synced(30)
            eventually(lambda: reactor.health().ready, "the reactor to be ready")
            engine.freeze()
            try:
                eventually(lambda: not reactor.health().ready, "the reactor to be not ready")
                assert "ready_within" in (reactor.health().reason or "")
            finally:
                engine.thaw()
            eventually(lambda: reactor.health().ready, "the reactor to be ready again")
