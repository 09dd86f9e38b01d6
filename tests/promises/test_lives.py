"""G10 to G12, G16 and G17 of docs/delivery.md: stops, exits, forks, states, failures."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from support.waiting import eventually

from flamepy.errors import FlameError, InvalidStateError
from flamepy.informers import Reactor, ReactorState, TaskEvent, TaskInformer, signals
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import ConnectionState, Task
from flamepy.watching.hub import Hub


class TestG10Stops:
    """Bounded, repeatable, callable from anywhere; what has happened is told first."""

    def test_what_has_happened_is_told_and_nothing_after_it(
        self, engine: FakeEngine, connection
    ) -> None:
        informer = RecordingInformer()
        reactor = Reactor(connection=connection).start()
        reactor.register(informer).wait_synced(30)
        for number in range(1, 11):
            engine.add_task("s")
            engine.succeed("s", str(number))
        reactor.stop()
        reactor.stop()
        assert len(informer.terminal()) == 10
        engine.add_task("s")
        assert len(informer.terminal()) == 10
        assert reactor.state is ReactorState.STOPPED

    def test_what_waits_behind_a_full_queue_is_told_before_the_stop(
        self, engine: FakeEngine, connection
    ) -> None:
        everything, narrow = RecordingInformer(), RecordingInformer()
        with Reactor(connection=connection) as reactor:
            reactor.register(everything)
            reactor.register(narrow, queue_size=2)
            for number in range(1, 101):
                engine.add_task("s")
                engine.succeed("s", str(number))
            everything.wait_for(lambda seen: len(seen.terminal()) == 100, 30)
        assert len(narrow.terminal()) == 100

    @pytest.mark.parametrize("listener", ["sync", "async", "batch", "narrow", "signal"])
    def test_what_is_queued_when_the_stop_begins_is_told_before_it_returns(
        self, engine: FakeEngine, connection, listener: str
    ) -> None:
        """A first callback is running and the rest waits behind it, in any kind of queue."""
        gate, entered = threading.Event(), threading.Event()
        told: list[str] = []

        def note(task: Task) -> None:
            told.append(task.id)
            entered.set()
            gate.wait(60)

        class Sync(TaskInformer):
            def on_succeeded(self, event: TaskEvent) -> None:
                note(event.task)

        class Async(TaskInformer):
            async def on_succeeded(self, event: TaskEvent) -> None:
                note(event.task)

        class Batch(TaskInformer):
            def on_batch(self, events: list[TaskEvent]) -> None:
                for event in events:
                    if event.task.state.is_terminal:
                        note(event.task)

        def received(sender: str, *, event: TaskEvent, **_: object) -> None:
            note(event.task)

        kinds = {"sync": Sync, "async": Async, "batch": Batch, "narrow": Sync}
        everything = RecordingInformer()
        with contextlib.ExitStack() as stack:
            stack.callback(gate.set)
            if listener == "signal":
                stack.enter_context(signals.task_succeeded.connected_to(received))
            reactor = Reactor(connection=connection).start()
            reactor.register(everything)
            if listener in kinds:
                size = 3 if listener == "narrow" else 10_000
                reactor.register(kinds[listener](), queue_size=size).wait_synced(30)
            engine.add_task("s")
            engine.succeed("s", "1")
            assert entered.wait(30)
            for number in range(2, 21):
                engine.add_task("s")
                engine.succeed("s", str(number))
            everything.wait_for(lambda seen: len(seen.terminal()) == 20, 30)
            stopping = threading.Thread(target=reactor.stop, args=(60,))
            stopping.start()
            eventually(lambda: reactor.state is ReactorState.STOPPING, "the stop")
            stopping.join(0.3)  # long enough to come to the queues
            assert stopping.is_alive()
            assert len(told) == 1, "the rest is still queued"
            gate.set()
            stopping.join(60)
            assert reactor.state is ReactorState.STOPPED
            assert sorted(told, key=int) == [str(number) for number in range(1, 21)]

    def test_two_informers_may_remove_each_other(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        both, done = threading.Barrier(2, timeout=30), []

        class Mine(TaskInformer):
            other: object = None

            def on_added(self, event: TaskEvent) -> None:
                both.wait()
                self.other.remove(wait=True, timeout=60)
                done.append(self)

        first, second = Mine(), Mine()
        one, two = reactor.register(first, uid="one"), reactor.register(second, uid="two")
        first.other, second.other = two, one
        engine.add_task("s")
        eventually(lambda: len(done) == 2, "both removes to return")

    def test_removing_oneself_and_waiting_is_refused(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        refused: list[InvalidStateError] = []

        class Mine(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                try:
                    registration.remove(wait=True)
                except InvalidStateError as error:
                    refused.append(error)
                    registration.remove()

        registration = reactor.register(Mine())
        engine.add_task("s")
        eventually(lambda: bool(refused), "the refusal")
        eventually(lambda: not registration.active, "the remove without waiting")

    def test_a_hanging_callback_does_not_hold_up_the_stop(
        self, engine: FakeEngine, connection
    ) -> None:
        gate, entered = threading.Event(), threading.Event()

        class Hanging(TaskInformer):
            def on_update(self, task: Task) -> None:
                entered.set()
                gate.wait(60)

        class Async(TaskInformer):
            async def on_update(self, task: Task) -> None:
                import asyncio

                await asyncio.sleep(3600)

        reactor = Reactor(connection=connection).start()
        reactor.register(Hanging())
        reactor.register(Async())
        engine.add_task("s")
        assert entered.wait(30)
        reactor.stop(0.3)
        assert reactor.state is ReactorState.STOPPED
        gate.set()


PROGRAM = """
import sys, threading
from flamepy.informers import Reactor, TaskInformer
class Mine(TaskInformer):
    def on_update(self, task):
        entered.set()
        threading.Event().wait(3600)
entered = threading.Event()
reactor = Reactor(endpoint=sys.argv[1], exit_timeout=0.5)
reactor.register(Mine())
reactor.start()
assert entered.wait(30)
print("end of the program", flush=True)
sys.exit(7)
"""


class TestG11Exit:
    """The interpreter ends with a running reactor, without a traceback."""

    def test_a_program_that_forgets_to_stop_ends_with_its_own_status(
        self, engine: FakeEngine
    ) -> None:
        engine.add_task("s")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, engine.endpoint],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (7, "end of the program\n")
        assert "Traceback" not in done.stderr


class TestG12Forks:
    """The child holds a new, empty reactor; the parent goes on."""

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_parent_and_child(self, engine: FakeEngine, connection) -> None:
        informer = RecordingInformer()
        with Reactor(connection=connection) as reactor:
            reactor.register(informer).wait_synced(30)
            child = os.fork()
            if child == 0:  # no assert of pytest's here: only the status leaves the child
                fresh = reactor.state is ReactorState.NEW and not reactor.registrations
                os._exit(0 if fresh else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            engine.add_task("s")
            engine.succeed("s", "1")
            informer.wait_for(lambda seen: bool(seen.terminal()), 30)
            assert reactor.state is ReactorState.RUNNING


class TestG16States:
    """The states of the connection and of the reactor; each change told once."""

    def test_an_outage_and_its_end(self, engine: FakeEngine, connection) -> None:
        told: list[ConnectionState] = []
        signalled: list[tuple[ConnectionState, ConnectionState]] = []
        lives: list[str] = []

        class Mine(RecordingInformer):
            def on_connection(self, state: ConnectionState) -> None:
                told.append(state)

        def changed(sender: str, *, state, previous, **_: object) -> None:
            signalled.append((previous, state))

        def lived(name: str):
            return lambda sender, **_: lives.append(name)

        started, stopped = lived("started"), lived("stopped")
        with (
            signals.connection_changed.connected_to(changed),
            signals.reactor_started.connected_to(started),
            signals.reactor_stopped.connected_to(stopped),
        ):
            reactor = Reactor(connection=connection)
            assert reactor.state is ReactorState.NEW
            with reactor:
                informer = Mine()
                reactor.register(informer).wait_synced(30)
                engine.kill()
                informer.wait_for(lambda seen: bool(seen.errors), 30)
                assert not reactor.health().ready
                engine.restart()
                eventually(lambda: told[-1:] == [ConnectionState.CONNECTED], "the way back")
                eventually(lambda: reactor.health().ready, "to be ready")
        assert ConnectionState.DISCONNECTED in told
        assert all(before is not after for before, after in pairwise(told))
        assert [after for _, after in signalled] == told
        assert lives == ["started", "stopped"]

    @pytest.mark.parametrize("listener", ["signal", "on_connection", "on_error", "health"])
    def test_one_listener_of_any_kind_is_enough(
        self, engine: FakeEngine, connection, listener: str
    ) -> None:
        told: list[str] = []

        class OnConnection(TaskInformer):
            def on_connection(self, state: ConnectionState) -> None:
                told.append(state.value)

        class OnError(TaskInformer):
            def on_error(self, error: FlameError) -> None:
                told.append("disconnected")

        def changed(sender: str, *, state: ConnectionState, **_: object) -> None:
            told.append(state.value)

        with contextlib.ExitStack() as stack:
            if listener == "signal":
                stack.enter_context(signals.connection_changed.connected_to(changed))
            reactor = stack.enter_context(Reactor(connection=connection))
            if listener.startswith("on_"):
                reactor.register(OnConnection() if listener == "on_connection" else OnError())

            def seen() -> str:
                return reactor.health().connection.value if listener == "health" else told[-1]

            calls = connection.stats().calls
            eventually(lambda: connection.stats().calls > calls, "polls")
            eventually(lambda: listener != "health" or reactor.health().ready, "to be ready")
            engine.kill()
            eventually(lambda: (told or listener == "health") and seen() == "disconnected")
            if listener == "health":
                assert not reactor.health().ready
            engine.restart()
            if listener != "on_error":
                eventually(lambda: seen() == "connected", "the way back")


class TestG17Failure:
    """An error inside ends the reactor as FAILED; whoever waits gets it."""

    def test_a_reactor_that_fails_says_so_and_ends(self, engine: FakeEngine, connection) -> None:
        fatal: list[BaseException] = []
        failed: list[BaseException] = []

        def note(sender: str, *, error: BaseException, **_: object) -> None:
            failed.append(error)

        informer = RecordingInformer()
        with signals.reactor_failed.connected_to(note):
            reactor = Reactor(connection=connection, on_fatal=fatal.append).start()
            reactor.register(informer).wait_synced(30)
            engine.add_task("s")
            future = reactor.future(("s", "1"))
            link = connection.link

            async def break_it() -> None:
                Hub.of(link).store.observe_session = None  # type: ignore[assignment,method-assign]  # a bug

            link.run(break_it())
            eventually(lambda: bool(fatal), "on_fatal")
            assert reactor.join(30)
        assert reactor.state is ReactorState.FAILED
        assert isinstance(fatal[0], TypeError)
        assert failed == fatal
        assert not reactor.health().live
        with pytest.raises(FlameError, match="failed"):
            future.result(30)
        assert not [one for one in threading.enumerate() if "handler" in one.name]
