"""A reactor delivers every observed change, in order, to each informer, and stops in time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer, connect
from flamepy.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidStateError,
    UnavailableError,
)
from flamepy.informers import FinishedCall, Reactor, predicates
from flamepy.informers.reactor import ReactorState
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import ConnectionState, Task, TaskState
from flamepy.watching.state.events import TaskEvent


@pytest.fixture
def connection(fake_engine: FakeEngine) -> Iterator[Connection]:
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as made:
        yield made


@pytest.fixture
def reactor(connection: Connection) -> Iterator[Reactor]:
    with Reactor(connection=connection) as made:
        yield made


def states(informer: RecordingInformer, task: str = "1") -> list[str]:
    return [one.state.name for one in informer.updates if one.id == task]


class TestDelivery:
    def test_what_is_there_first_then_every_change(self, fake_engine, reactor) -> None:
        fake_engine.add_task("s")
        informer = RecordingInformer()
        registration = reactor.register(informer)
        registration.wait_synced(20)
        assert [event.initial for event in informer.events] == [True]
        fake_engine.start("s", "1")
        informer.wait_for(lambda seen: states(seen)[-1] == "RUNNING", 20)
        fake_engine.succeed("s", "1", b"out")
        fake_engine.add_task("s")
        informer.wait_for(lambda seen: bool(seen.terminal()) and states(seen, "2"), 20)
        assert states(informer) == ["PENDING", "RUNNING", "SUCCEED"]
        assert not informer.events[-1].initial

    def test_sessions_made_later_by_others_are_told(self, fake_engine, reactor) -> None:
        informer = RecordingInformer()
        reactor.register(informer, application="later").wait_synced(20)
        fake_engine.add_session("l", application="later")
        fake_engine.add_task("l")
        fake_engine.add_task("s")
        informer.wait_for(lambda seen: bool(seen.events), 20)
        assert {event.task.session_id for event in informer.events} == {"l"}

    def test_tasks_that_end_before_their_session_was_seen_are_told(
        self, fake_engine, reactor, connection
    ) -> None:
        """A future's stream may show a task before any poll has shown its session."""
        informer = RecordingInformer()
        reactor.register(informer, application="fake").wait_synced(20)
        futures = []
        for number in range(20):
            name = connection.create_session("fake", session_id=f"new{number}").id
            futures.append(connection.get_session(name).run(b"x"))
            fake_engine.start(name, "1")
            fake_engine.succeed(name, "1")
        for future in futures:
            future.result(20)
        informer.wait_for(lambda seen: len(seen.terminal()) == 20, 20)
        assert {event.application for event in informer.events} == {"fake"}
        assert len(set(informer.terminal())) == 20

    def test_a_failure_comes_with_the_services_text(self, fake_engine, reactor) -> None:
        informer = RecordingInformer()
        reactor.register(informer, session="s").wait_synced(20)
        fake_engine.add_task("s")
        fake_engine.fail("s", "1", "no way")
        informer.wait_for(lambda seen: bool(seen.terminal()), 20)
        assert informer.events[-1].task.error == "no way"
        assert not informer.errors, "a task's failure is no error of the watching"

    def test_a_filter_leaves_out_and_one_that_raises_too(self, fake_engine, reactor) -> None:
        ended, broken = RecordingInformer(), RecordingInformer()
        reactor.register(ended, where=predicates.state_in(TaskState.SUCCEED))
        reactor.register(broken, where=lambda event: 1 / 0)
        fake_engine.add_task("s")
        fake_engine.succeed("s", "1")
        ended.wait_for(lambda seen: bool(seen.terminal()), 20)
        assert states(ended) == ["SUCCEED"]
        assert not broken.events

    def test_a_raising_informer_disturbs_neither_the_reactor_nor_another(
        self, fake_engine, reactor
    ) -> None:
        class Raising(TaskInformer):
            def on_update(self, task: Task) -> None:
                raise ValueError("mine")

        raising = reactor.register(Raising())
        informer = RecordingInformer()
        reactor.register(informer)
        for number in ("1", "2"):
            fake_engine.add_task("s")
            fake_engine.succeed("s", number)
        informer.wait_for(lambda seen: len(seen.terminal()) == 2, 20)
        eventually(lambda: raising.stats.failures >= 2, "both failures")
        assert reactor.state is ReactorState.RUNNING

    def test_a_slow_informer_does_not_hold_up_another(self, fake_engine, reactor) -> None:
        gate = threading.Event()

        class Slow(TaskInformer):
            def on_update(self, task: Task) -> None:
                gate.wait(20)

        reactor.register(Slow())
        informer = RecordingInformer()
        reactor.register(informer)
        fake_engine.add_task("s")
        informer.wait_for(lambda seen: bool(seen.events), 20)
        gate.set()

    def test_async_callbacks_are_awaited_in_order(self, fake_engine, reactor) -> None:
        seen: list[str] = []

        class Async(TaskInformer):
            async def on_update(self, task: Task) -> None:
                await asyncio.sleep(0)
                seen.append(task.id)

        reactor.register(Async())
        for _ in range(3):
            fake_engine.add_task("s")
        eventually(lambda: sorted(seen) == ["1", "2", "3"], "three tasks")

    def test_a_requeue_and_a_deleted_session_are_told(self, fake_engine, reactor) -> None:
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(20)
        fake_engine.add_task("s")
        fake_engine.start("s", "1")
        informer.wait_for(lambda seen: states(seen)[-1:] == ["RUNNING"], 20)
        fake_engine.requeue("s", "1")
        informer.wait_for(lambda seen: states(seen)[-1:] == ["PENDING"], 20)
        assert informer.events[-1].is_requeue
        fake_engine.drop_session("s")
        informer.wait_for(lambda seen: seen.events[-1].kind.value == "deleted", 20)
        assert not informer.events[-1].final_state_known

    def test_the_connection_is_told_when_it_goes_and_comes(self, fake_engine, reactor) -> None:
        told: list[ConnectionState] = []

        class Watching(RecordingInformer):
            def on_connection(self, state: ConnectionState) -> None:
                told.append(state)

        informer = Watching()
        reactor.register(informer).wait_synced(20)
        fake_engine.kill()
        informer.wait_for(lambda seen: bool(seen.errors), 20)
        fake_engine.restart()
        eventually(lambda: told[-1:] == [ConnectionState.CONNECTED], "the way back")
        assert ConnectionState.DISCONNECTED in told
        assert len(informer.errors) == 1, "one outage, one error"


class TestRegistration:
    def test_before_the_start_and_from_a_callback(self, fake_engine, connection) -> None:
        second = RecordingInformer()
        reactor = Reactor(connection=connection)

        class First(TaskInformer):
            def on_update(self, task: Task) -> None:
                reactor.register(second)

        reactor.register(First())
        fake_engine.add_task("s")
        with reactor:
            second.wait_for(lambda seen: bool(seen.events), 20)

    def test_after_remove_nothing_is_told(self, fake_engine, reactor) -> None:
        informer, other = RecordingInformer(), RecordingInformer()
        registration = reactor.register(informer)
        reactor.register(other)
        registration.wait_synced(20)
        registration.remove(wait=True)
        registration.remove()
        fake_engine.add_task("s")
        other.wait_for(lambda seen: bool(seen.events), 20)
        assert not informer.events
        assert not registration.active

    def test_the_same_instance_twice_is_refused(self, reactor) -> None:
        informer = RecordingInformer()
        reactor.register(informer)
        with pytest.raises(InvalidArgumentError, match="registered already"):
            reactor.register(informer)

    def test_waiting_for_oneself_is_refused(self, fake_engine, reactor) -> None:
        errors: list[BaseException] = []

        class Waiting(TaskInformer):
            def on_update(self, task: Task) -> None:
                try:
                    registration.wait_synced(10)
                except InvalidStateError as error:
                    errors.append(error)

        registration = reactor.register(Waiting())
        fake_engine.add_task("s")
        eventually(lambda: bool(errors), "the refusal")

    def test_no_engine_is_said_in_time(self) -> None:
        with (
            Reactor(endpoint="http://127.0.0.1:1") as reactor,
            pytest.raises(DeadlineExceededError, match="is the engine reachable"),
        ):
            reactor.register(RecordingInformer()).wait_synced(0.3)

    def test_a_thread_per_informer_from_its_first_event_on(self, fake_engine, reactor) -> None:
        def handlers() -> list[str]:
            return [one.name for one in threading.enumerate() if "handler" in one.name]

        informer = RecordingInformer()
        reactor.register(informer, name="mine").wait_synced(20)
        for _ in range(50):
            fake_engine.add_task("s")
        informer.wait_for(lambda seen: len(seen.events) == 50, 20)
        assert handlers() == ["flamepy-handler-mine"]


class TestLife:
    def test_stop_is_bounded_and_nothing_starts_after_it(self, fake_engine, connection) -> None:
        gate = threading.Event()
        seen: list[str] = []

        class Stuck(TaskInformer):
            def on_update(self, task: Task) -> None:
                seen.append(task.id)
                gate.wait(30)

        reactor = Reactor(connection=connection).start()
        reactor.register(Stuck())
        for _ in range(5):
            fake_engine.add_task("s")
        eventually(lambda: bool(seen), "the first callback")
        reactor.stop(0.2)
        gate.set()
        assert reactor.state is ReactorState.STOPPED
        assert reactor.join(0)
        assert len(seen) == 1
        assert connection.list_sessions(), "the connection is the user's and stays open"

    def test_what_is_queued_is_delivered_before_the_stop(self, fake_engine, connection) -> None:
        slow: list[str] = []

        class Slow(TaskInformer):
            def on_update(self, task: Task) -> None:
                threading.Event().wait(0.01)
                slow.append(task.id)

        fast = RecordingInformer()
        with Reactor(connection=connection) as reactor:
            reactor.register(Slow())
            reactor.register(fast)
            for _ in range(20):
                fake_engine.add_task("s")
            fast.wait_for(lambda seen: len(seen.events) == 20, 20)
        assert len(slow) == 20

    def test_what_has_happened_is_told_before_the_stop(self, fake_engine, connection) -> None:
        """Also what no poll has shown yet, and failures whose text is still to be read."""
        informer = RecordingInformer()
        with Reactor(connection=connection) as reactor:
            reactor.register(informer).wait_synced(20)
            for number in range(1, 21):
                fake_engine.add_task("s")
                fake_engine.fail("s", str(number), f"no {number}")
        assert sorted(int(task) for _, task, _ in informer.terminal()) == list(range(1, 21))
        assert all(event.task.error for event in informer.events if event.task.is_failed())

    def test_a_stop_without_an_engine_does_not_wait_for_it(self, fake_engine, connection) -> None:
        informer = RecordingInformer()
        reactor = Reactor(connection=connection).start()
        reactor.register(informer).wait_synced(20)
        fake_engine.kill()
        informer.wait_for(lambda seen: bool(seen.errors), 20)
        reactor.stop()
        assert reactor.state is ReactorState.STOPPED
        fake_engine.restart()

    def test_it_is_started_once(self, connection) -> None:
        reactor = Reactor(connection=connection)
        with reactor, pytest.raises(InvalidStateError, match="is running"):
            reactor.start()
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.start()
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.register(RecordingInformer())
        reactor.stop()

    def test_a_callback_may_stop_it(self, fake_engine, connection) -> None:
        reactor = Reactor(connection=connection)

        class Stopping(TaskInformer):
            def on_update(self, task: Task) -> None:
                reactor.stop()

        reactor.register(Stopping())
        reactor.start()
        fake_engine.add_task("s")
        assert reactor.join(20)

    def test_start_can_wait_for_the_engine_and_says_when_there_is_none(self) -> None:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
            Reactor(endpoint="http://127.0.0.1:1").start(wait=True, timeout=0.3)

    def test_it_may_have_a_connection_of_its_own(self, fake_engine) -> None:
        fake_engine.add_session("s")
        informer = RecordingInformer()
        with Reactor(endpoint=fake_engine.endpoint) as reactor:
            reactor.register(informer)
            fake_engine.add_task("s")
            informer.wait_for(lambda seen: bool(seen.events), 20)

    def test_it_works_in_an_event_loop(self, fake_engine, connection) -> None:
        async def go() -> ReactorState:
            async with Reactor(connection=connection) as reactor:
                return reactor.state

        assert asyncio.run(go()) is ReactorState.RUNNING

    def test_blocking_calls_work_in_callbacks(self, fake_engine, reactor, connection) -> None:
        seen: list[str] = []

        class Calling(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                seen.append(connection.get_session(event.task.session_id).get_task("1").id)

        reactor.register(Calling())
        fake_engine.add_task("s")
        eventually(lambda: seen == ["1"], "the call inside the callback")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_forever_ends_at_a_signal_after_what_is_queued(fake_engine, number: int) -> None:
    fake_engine.add_session("s")
    fake_engine.add_task("s")
    program = (
        "import sys\n"
        "from flamepy.core import TaskInformer\n"
        "from flamepy.informers import Reactor\n"
        "class Printing(TaskInformer):\n"
        "    def on_update(self, task):\n"
        "        print(task.id, task.state.name, flush=True)\n"
        "reactor = Reactor(endpoint=sys.argv[1])\n"
        "reactor.register(Printing())\n"
        "reactor.run()\n"
        "print('ended', reactor.state)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, fake_engine.endpoint], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1 PENDING\n"
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("ended stopped\n", 0)


def test_handlers_share_the_memo_of_a_task(fake_engine, reactor) -> None:
    spans: list[object] = []

    class Starts(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            event.memo["span"] = event.task.id

    class Ends(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            spans.append(event.memo.pop("span"))

    starts = reactor.register(Starts())
    fake_engine.add_task("s")
    fake_engine.add_task("s")
    eventually(lambda: starts.stats.delivered == 2)
    reactor.register(Ends())
    fake_engine.succeed("s", "2")
    fake_engine.succeed("s", "1")
    eventually(lambda: len(spans) == 2)
    assert sorted(spans) == ["1", "2"]


def test_calls_are_observed_until_the_undo(fake_engine, reactor) -> None:
    seen: list[FinishedCall] = []
    undo = reactor.observe_calls(seen.append)
    informer = RecordingInformer()
    mine = reactor.register(informer, name="mine")
    fake_engine.add_task("s")
    informer.wait_for(lambda found: bool(found.events), 20)
    eventually(lambda: seen and not mine.stats.queued)
    (event,) = seen[0].events
    assert seen[0].informer == "mine"
    assert event.observed_at <= seen[0].started
    undo()
    undo()
    count = len(seen)
    fake_engine.succeed("s", "1")
    informer.wait_for(lambda found: bool(found.terminal()), 20)
    reactor.stop()
    assert len(seen) == count
