"""An event whose handling failed for good is stored, and handled again on request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers import PermanentError, Reactor, SessionInformer, TaskEvent, signals
from flamepy.informers.checkpoint.file import SharedFile
from flamepy.informers.dead_letters.box import DeadLetters
from flamepy.testing import FakeEngine
from flamepy.types import RetryPolicy


class Failing(TaskInformer):
    def __init__(self, fail: Callable[[TaskEvent], bool] = lambda event: True) -> None:
        self.fail = fail
        self.seen: list[str] = []

    def on_terminal(self, event: TaskEvent) -> None:
        self.seen.append(event.task.id)
        if self.fail(event):
            raise ValueError(f"no order for {event.task.id}")


def end_tasks(engine: FakeEngine, *numbers: int) -> None:
    for number in numbers:
        engine.add_task("s")
        engine.start("s", str(number))
        engine.succeed("s", str(number), b"out")


@pytest.fixture(params=["checkpoint", "own file"])
def reactor_with(
    request: pytest.FixtureRequest, engine_connection: Connection, tmp_path: Path
) -> Callable[..., Reactor]:
    def make(**arguments: Any) -> Reactor:
        name = "checkpoint" if request.param == "checkpoint" else "dead_letters"
        return Reactor(connection=engine_connection, **{name: tmp_path / "state.db"}, **arguments)

    return make


class TestStored:
    def test_with_its_error_its_attempts_and_a_signal(self, engine, reactor_with) -> None:
        received: list[dict[str, Any]] = []
        policy = RetryPolicy(attempts=3, wait_initial=0.001, wait_jitter=0.0)
        with (
            signals.dead_lettered.connected_to(lambda sender, **v: received.append(v)),
            reactor_with() as reactor,
        ):
            registration = reactor.register(Failing(), uid="bills", retry=policy)
            end_tasks(engine, 1)
            eventually(lambda: len(reactor.dead_letters) == 1)
            (found,) = reactor.dead_letters.list()
            assert (found.informer, found.callback, found.task) == ("bills", "on_terminal", "1")
            assert (found.error, found.attempts) == ("ValueError: no order for 1", 3)
            assert "no order for 1" in found.traceback
            eventually(lambda: received)
            assert received[0]["event"].key == found.key
            assert registration.stats.dead == 1

    def test_a_batch_is_stored_event_by_event(self, engine, reactor_with) -> None:
        class Batches(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                raise PermanentError("never")

        with reactor_with() as reactor:
            end_tasks(engine, 1, 2)
            reactor.register(Batches(), uid="bills", batch_delay=0.01)
            eventually(lambda: {one.task for one in reactor.dead_letters.list()} == {"1", "2"})

    def test_of_a_session_as_well(self, engine, reactor_with) -> None:
        class Sessions(SessionInformer):
            def on_progress(self, counts: Any) -> None:
                raise PermanentError("never")

        with reactor_with() as reactor:
            reactor.register(Sessions(), uid="sums")
            reactor.wait_synced(20)
            end_tasks(engine, 1)
            eventually(lambda: len(reactor.dead_letters) >= 1)
            assert reactor.dead_letters.list()[0].session == "s"

    def test_it_is_not_delivered_again_after_a_restart(
        self, engine, engine_connection, tmp_path: Path
    ) -> None:
        end_tasks(engine, 1)
        first, second = Failing(), Failing()
        for informer in (first, second):
            with Reactor(connection=engine_connection, checkpoint=tmp_path / "a.db") as reactor:
                reactor.register(informer, uid="bills")
                reactor.wait_synced(20)
                assert len(reactor.dead_letters) == 1
        assert (first.seen, second.seen) == (["1"], [])


class TestRetried:
    def test_one_that_succeeds_then_is_deleted(self, engine, reactor_with) -> None:
        broken = [True]
        with reactor_with() as reactor:
            informer = Failing(lambda event: broken[0])
            reactor.register(informer, uid="bills")
            end_tasks(engine, 1, 2)
            eventually(lambda: len(reactor.dead_letters) == 2)
            broken.clear()
            broken.append(False)
            assert reactor.dead_letters.retry(informer="bills") == 2
            eventually(lambda: not len(reactor.dead_letters))
        assert sorted(informer.seen) == ["1", "1", "2", "2"]

    def test_one_that_fails_again_stays_with_more_attempts(self, engine, reactor_with) -> None:
        with reactor_with() as reactor:
            informer = Failing()
            reactor.register(informer, uid="bills")
            end_tasks(engine, 1)
            eventually(lambda: len(reactor.dead_letters) == 1)
            for attempts in (2, 3):
                reactor.dead_letters.retry(informer="bills")
                eventually(lambda: reactor.dead_letters.list()[0].attempts == attempts)  # noqa: B023
            assert not reactor.dead_letters.list()[0].retrying

    def test_by_another_process_that_has_the_file_as_well(
        self, engine, reactor_with, tmp_path: Path
    ) -> None:
        broken = [True]
        with reactor_with() as reactor:
            reactor.register(Failing(lambda event: broken[0]), uid="bills")
            end_tasks(engine, 1)
            eventually(lambda: len(reactor.dead_letters) == 1)
            broken[0] = False
            beside = DeadLetters(SharedFile(tmp_path / "state.db"))
            assert beside.retry(informer="bills") == 1
            eventually(lambda: not len(beside))

    def test_by_the_next_start(self, engine, reactor_with, tmp_path: Path) -> None:
        end_tasks(engine, 1)
        with reactor_with() as reactor:
            reactor.register(Failing(), uid="bills")
            eventually(lambda: len(reactor.dead_letters) == 1)
        assert DeadLetters(SharedFile(tmp_path / "state.db")).retry(informer="bills") == 1
        informer = Failing(lambda event: False)
        with reactor_with() as reactor:
            reactor.register(informer, uid="bills", replay="none")
            eventually(lambda: not len(reactor.dead_letters))
        assert informer.seen == ["1"]


class TestArguments:
    def test_without_a_file_there_are_none(self, running: Reactor) -> None:
        with pytest.raises(InvalidStateError, match="stores no dead letters"):
            running.dead_letters  # noqa: B018

    def test_they_can_be_left_out(self, engine, engine_connection, tmp_path: Path, caplog) -> None:
        with (
            caplog.at_level(logging.ERROR),
            Reactor(
                connection=engine_connection, checkpoint=tmp_path / "a.db", dead_letters=False
            ) as reactor,
        ):
            informer = Failing()
            reactor.register(informer, uid="bills")
            end_tasks(engine, 1)
            eventually(lambda: informer.seen)
            with pytest.raises(InvalidStateError, match="stores no dead letters"):
                reactor.dead_letters  # noqa: B018

    @pytest.mark.parametrize(
        ("arguments", "rule"),
        [
            ({"dead_letters": True}, "needs checkpoint="),
            ({"dead_letters": 5}, "dead_letters must be the path"),
            ({"dead_letters": "a.db", "checkpoint": "b.db"}, "in the checkpoint's file"),
        ],
    )
    def test_wrong_ones_are_refused(self, arguments: dict[str, Any], rule: str) -> None:
        with pytest.raises(InvalidArgumentError, match=rule):
            Reactor(**arguments)
