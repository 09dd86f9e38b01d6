"""G13 to G15, G18 and G19 of docs/delivery.md: clocks, deadlines, repeats, memory, missed ends."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Iterable
from datetime import datetime, timezone

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.errors import DeadlineExceededError, FlameError, UnavailableError
from flamepy.informers import (
    Reactor,
    SessionEvent,
    SessionInformer,
    TaskEvent,
    signals,
)
from flamepy.local.engine import Engine
from flamepy.local.state.refusal import Refusal
from flamepy.runtime.clocks import monotonic, wall
from flamepy.testing import FakeEngine, RecordingInformer, engine_script, fake_engine
from flamepy.types import Task

BEGAN = monotonic()


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
            check_lags(informer.events)
        assert [one[1] for one in informer.terminal()] == ["1", "2"]

    @pytest.mark.parametrize("hours", [-30, 30])
    def test_an_engine_whose_clock_is_off_changes_nothing(
        self, engine: FakeEngine, connection, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        """Its sessions and tasks are from yesterday or tomorrow by the clock of this machine."""
        for module in (fake_engine, engine_script):
            monkeypatch.setattr(module, "wall", lambda: wall() + hours * 3600.0)
        opened: list[SessionEvent] = []

        class Sessions(SessionInformer):
            def on_opened(self, event: SessionEvent) -> None:
                opened.append(event)

        tasks = RecordingInformer()
        with Reactor(connection=connection, stall_after=60.0) as reactor:
            reactor.register(tasks).wait_synced(30)
            reactor.register(Sessions())
            engine.add_session("off")
            engine.add_task("off")
            future = connection.get_session("off").run(b"x")
            for number in ("1", "2"):
                engine.start("off", number)
                engine.succeed("off", number, b"y")
            assert future.result(30) == b"y"
            tasks.wait_for(lambda seen: len(seen.terminal()) == 2, 30)
            eventually(lambda: [one.session.id for one in opened] == ["s", "off"], "both sessions")
        away = tasks.events[0].task.creation_time - datetime.now(timezone.utc)
        assert round(away.total_seconds() / 3600) == hours
        check_lags(tasks.events)
        check_lags(opened)


def check_lags(events: Iterable[TaskEvent | SessionEvent]) -> None:
    """Check that each event's lag is what the monotonic clock says, read a moment ago or now."""
    for event in events:
        before = monotonic()
        lag = event.lag
        assert before - event.observed_at <= lag <= monotonic() - event.observed_at
        assert 0 <= lag <= monotonic() - BEGAN, "observed since this file was imported"


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

    def test_payloads_that_calls_and_streams_show_are_not_kept_either(
        self, engine: FakeEngine
    ) -> None:
        """GetTask and WatchTask answer with payloads, whatever a reactor asked for."""
        count = 20
        drifts: list[TaskEvent] = []

        def drifted(sender: str, *, event: TaskEvent, **_: object) -> None:
            drifts.append(event)

        informer, newcomer = RecordingInformer(), RecordingInformer()
        with (
            signals.task_drift.connected_to(drifted),
            connect(engine.endpoint) as connection,
            Reactor(connection=connection, audit=0.3) as reactor,
        ):
            reactor.register(informer).wait_synced(30)
            session = connection.get_session("s")
            for number in range(1, count + 1):
                future = session.run(b"in")
                if number % 2:  # else it is first seen when it has ended
                    engine.start("s", future.task_id)
                    wanted = (future.task_id, "RUNNING")
                    informer.wait_for(lambda seen, wanted=wanted: wanted in told(seen), 30)
                engine.succeed("s", future.task_id, b"out")
                assert future.result(30) == b"out"
            engine.add_task("s", b"in")
            engine.fail("s", str(count + 1), "its text is read with GetTask")
            informer.wait_for(lambda seen: len(seen.terminal()) == count + 1, 30)
            engine.fail("s", "1", "a drift")
            eventually(lambda: bool(drifts), "the drift")
            reactor.register(newcomer).wait_synced(30)
            kept = reactor.tasks.list()
        assert len(kept) == count + 1
        events = [*informer.events, *newcomer.events, *drifts]
        kept += [one.task for one in events] + [one.old for one in events if one.old is not None]
        for task in kept:
            assert (task.input, task.output, task.payloads_loaded) == (None, None, False)


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
