"""The scripted engine's life: each method does what its name says, in every state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from support.waiting import eventually

from flamepy.core import Connection, connect
from flamepy.errors import (
    AmbiguousResultError,
    DeadlineExceededError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
    SessionNotFoundError,
    TaskFailedError,
    UnavailableError,
)
from flamepy.informers import Reactor
from flamepy.testing import RETRY_AT_ONCE, FakeEngine, RecordingInformer
from flamepy.types import TaskState

LIFE: dict[str, Callable[[FakeEngine], object]] = {
    "kill": FakeEngine.kill,
    "restart": FakeEngine.restart,
    "freeze": FakeEngine.freeze,
    "add_session": lambda engine: engine.add_session("s"),
}


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


@pytest.fixture
def connection(fake_engine: FakeEngine):
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as made:
        yield made


class TestNotRunning:
    @pytest.mark.parametrize("name", LIFE)
    def test_before_its_start_each_method_says_so(self, name: str) -> None:
        with pytest.raises(InvalidStateError, match="is not running: use it with with"):
            LIFE[name](FakeEngine())

    @pytest.mark.parametrize("name", LIFE)
    def test_after_its_end_each_method_says_so(self, name: str) -> None:
        with FakeEngine() as engine:
            pass
        with pytest.raises(InvalidStateError, match="is not running: use it with with"):
            LIFE[name](engine)

    def test_it_has_no_endpoint_before_and_keeps_it_after(self) -> None:
        engine = FakeEngine()
        with pytest.raises(InvalidStateError, match="is not running"):
            _ = engine.endpoint
        assert repr(engine) == "<FakeEngine not running>"
        with engine:
            endpoint = engine.endpoint
        assert engine.endpoint == endpoint

    def test_it_starts_once_at_a_time_and_again_without_its_state(self) -> None:
        with FakeEngine() as engine:
            with pytest.raises(InvalidStateError, match="runs already"):
                engine.__enter__()
            engine.add_session("s")
            endpoint = engine.endpoint
        engine.__exit__(None, None, None)
        with engine, connect(engine.endpoint) as connection:
            assert engine.endpoint == endpoint
            assert connection.list_sessions(timeout=10) == []
        assert "flamepy-fake-engine" not in names()

    def test_thawing_what_is_not_frozen_does_nothing(self, fake_engine: FakeEngine) -> None:
        FakeEngine().thaw()
        fake_engine.thaw()
        fake_engine.add_session("s")


class TestRestart:
    def test_one_that_runs_serves_again_every_time(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        with Reactor(connection=connection, plugins=()) as reactor:
            informer = RecordingInformer()
            reactor.register(informer).wait_synced(10)
            for number in range(1, 9):
                fake_engine.restart()
                task = fake_engine.add_task("s")
                fake_engine.succeed("s", task)
                informer.wait_for(lambda seen, number=number: len(seen.terminal()) == number, 20)
        assert len({end[1] for end in informer.terminal()}) == 8

    @pytest.mark.parametrize("before", ["running", "killed", "killed twice", "frozen"])
    def test_it_serves_after_whatever_was_done_before(
        self, fake_engine: FakeEngine, connection: Connection, before: str
    ) -> None:
        connection.list_sessions(timeout=10)
        if before.startswith("killed"):
            fake_engine.kill()
        if before == "killed twice":
            fake_engine.kill()
        if before == "frozen":
            fake_engine.freeze()
        fake_engine.restart()
        assert [one.id for one in connection.list_sessions(timeout=10)] == ["s"]
        fake_engine.restart()
        assert [one.id for one in connection.list_sessions(timeout=10)] == ["s"]

    def test_running_tasks_are_pending_again_and_streams_end(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        future = connection.get_session("s").run(b"x")
        fake_engine.start("s", future.task_id)
        eventually(lambda: fake_engine.open_streams == 1, "a stream")
        fake_engine.restart()
        session = connection.get_session("s")
        assert session.get_task(future.task_id).state is TaskState.PENDING
        fake_engine.succeed("s", future.task_id, b"done")
        assert future.result(20) == b"done"

    @pytest.mark.parametrize("running", [True, False])
    def test_the_state_may_be_lost(
        self, fake_engine: FakeEngine, connection: Connection, running: bool
    ) -> None:
        if not running:
            fake_engine.kill()
        fake_engine.restart(lose_state=True)
        with pytest.raises(SessionNotFoundError):
            connection.get_session("s", timeout=10)


class TestFrozen:
    def test_freezing_twice_is_freezing_once(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        connection.list_sessions(timeout=10)
        fake_engine.freeze()
        fake_engine.freeze()
        with pytest.raises(DeadlineExceededError):
            connection.list_sessions(timeout=0.2)
        assert repr(fake_engine).startswith("<FakeEngine frozen at ")
        fake_engine.thaw()
        assert len(connection.list_sessions(timeout=10)) == 1

    def test_a_frozen_one_is_not_changed(self, fake_engine: FakeEngine) -> None:
        fake_engine.freeze()
        with pytest.raises(InvalidStateError, match="frozen: thaw it first"):
            fake_engine.add_session("t")

    def test_a_frozen_one_can_be_killed(self, fake_engine: FakeEngine) -> None:
        fake_engine.freeze()
        fake_engine.kill()
        assert repr(fake_engine).startswith("<FakeEngine killed at ")
        fake_engine.add_session("t")
        with pytest.raises(UnavailableError):
            connect(fake_engine.endpoint, timeout=0.5)


@pytest.mark.parametrize("state", ["running", "killed", "frozen"])
def test_leaving_the_block_ends_its_thread_in_every_state(state: str) -> None:
    with FakeEngine() as engine:
        if state == "killed":
            engine.kill()
        if state == "frozen":
            engine.freeze()
    assert "flamepy-fake-engine" not in names()


class TestFaults:
    """Calls fail, are late, streams end, sessions are evicted: as often and where a test says."""

    def test_so_many_calls_fail_and_the_next_one_does_not(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.fail("GetSession", "PERMISSION_DENIED", text="not today", times=2)
        before = fake_engine.calls["GetSession"]
        for _ in range(2):
            with pytest.raises(FlameError, match="not today"):
                connection.get_session("s")
        assert fake_engine.calls["GetSession"] == before, "the engine was not asked"
        assert connection.get_session("s").id == "s"

    def test_what_is_retried_is_ridden_out(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.fail("ListSession", grpc.StatusCode.UNAVAILABLE, times=3)
        assert [one.id for one in connection.list_sessions(timeout=30)] == ["s"]
        assert connection.stats().retries >= 3

    def test_after_the_engine_has_done_it_only_the_answer_is_lost(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        session = connection.get_session("s")
        fake_engine.fail("CreateTask", "UNAVAILABLE", times=1, when="after")
        with pytest.raises(AmbiguousResultError):
            session.create_task(b"x", on_ambiguous="raise")
        assert len(list(session.list_tasks())) == 1
        fake_engine.fail("CreateTask", "UNAVAILABLE", times=1, when="before")
        assert session.create_task(b"y", timeout=30).id == "2"

    def test_of_the_calls_that_are_meant_alone(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.add_session("other")
        fake_engine.fail("GetSession", "INTERNAL", when=lambda asked: asked.session_id == "s")
        assert connection.get_session("other").id == "other"
        with pytest.raises(FlameError):
            connection.get_session("s", retry=RETRY_AT_ONCE)
        fake_engine.heal()
        assert connection.get_session("s").id == "s"

    def test_a_stream_fails_at_its_beginning_or_at_its_end(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.add_task("s")
        session = connection.get_session("s")
        for when in ("before", "after"):
            fake_engine.fail("ListTask", "UNAVAILABLE", times=1, when=when)
            assert [one.id for one in session.list_tasks(timeout=30)] == ["1"]

    def test_a_late_call_meets_its_deadline_and_others_do_not(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.delay("GetSession", 60.0, when=lambda asked: asked.session_id == "s")
        fake_engine.add_session("other")
        with pytest.raises(DeadlineExceededError):
            connection.get_session("s", timeout=0.2)
        assert connection.get_session("other").id == "other"
        fake_engine.heal()
        assert connection.get_session("s", timeout=30).id == "s"

    @pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED", None])
    def test_open_streams_are_cut_and_what_they_told_goes_on(
        self, fake_engine: FakeEngine, connection: Connection, code: str | None
    ) -> None:
        future = connection.get_session("s").run(b"x")
        eventually(lambda: fake_engine.open_streams == 1, "a stream")
        asked = fake_engine.calls["WatchTask"]
        assert fake_engine.cut(code) == 1
        eventually(lambda: fake_engine.calls["WatchTask"] > asked, "another one")
        fake_engine.succeed("s", future.task_id, b"done")
        assert future.result(30) == b"done"

    def test_a_closed_session_is_evicted_and_its_ends_are_delivered_or_missed(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        with pytest.raises(InvalidArgumentError, match="'s' is open, and engines evict closed"):
            fake_engine.evict("s")
        with pytest.raises(InvalidArgumentError, match="no session 'none'"):
            fake_engine.evict("none")
        with Reactor(connection=connection, plugins=()) as reactor:
            informer = RecordingInformer()
            registration = reactor.register(informer)
            registration.wait_synced(30)
            fake_engine.delay("ListTask", 60.0)
            fake_engine.delay("GetTask", 60.0)
            for _ in range(3):
                fake_engine.succeed("s", fake_engine.add_task("s"))
            connection.close_session("s")
            eventually(lambda: connection.get_session("s").state.name == "CLOSED", "its close")
            eventually(lambda: reactor.sessions.get("s").counts.succeed == 3, "that it is seen")
            fake_engine.evict("s")
            eventually(
                lambda: registration.stats.missed + len(informer.terminal()) == 3, "all accounted"
            )
            assert reactor.health().missed == registration.stats.missed

    @pytest.mark.parametrize(
        ("act", "match"),
        [
            (lambda engine: engine.fail("NoSuch", "INTERNAL"), "no RPC 'NoSuch'; there are"),
            (lambda engine: engine.fail("GetTask", "OK"), "code must be one of CANCELLED"),
            (lambda engine: engine.fail("GetTask", "INTERNAL", times=0), "times must be a whole"),
            (lambda engine: engine.fail("GetTask", "INTERNAL", when="now"), "when must be"),
            (lambda engine: engine.delay("GetTask", -1), "seconds must be seconds, 0 or more"),
            (lambda engine: engine.cut("NONE"), "code must be one of"),
        ],
    )
    def test_what_can_have_no_effect_is_refused(
        self, fake_engine: FakeEngine, act: Callable[[Any], object], match: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=match):
            act(fake_engine)

    def test_a_task_fails_as_before(self, fake_engine: FakeEngine, connection: Connection) -> None:
        future = connection.get_session("s").run(b"x")
        fake_engine.fail("s", future.task_id, "no such file")
        with pytest.raises(TaskFailedError, match="no such file"):
            future.result(30)
