"""A reactor's life: stops and starts at every moment, exits, forks, failures (G10 to G12, G17)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import InvalidArgumentError, InvalidStateError, PluginError
from flamepy.informers import Plugin, Reactor, TaskEvent, TaskInformer, signals
from flamepy.informers.health import ReactorState
from flamepy.informers.queries.queries import on_loop
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task
from flamepy.watching.hub import Hub


def subscriptions(connection: Connection) -> int:
    """Return how many subscribers the connection's hub has."""

    async def count() -> int:
        return len(Hub.of(connection.link)._subscribers._all)

    return connection.link.run(count())


class TestStopFromCallbacks:
    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_the_own_informer_is_told_nothing_more_and_the_others_everything(
        self, engine: FakeEngine, engine_connection, kind: str
    ) -> None:
        seen: list[str] = []
        reactor = Reactor(connection=engine_connection)

        class Plain(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                reactor.stop(3600)
                seen.append(event.task.id)

        class Async(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                reactor.stop(3600)
                seen.append(event.task.id)

        for _ in range(20):
            engine.add_task("s")
        other = RecordingInformer()
        reactor.register(other)
        reactor.register(Plain() if kind == "plain" else Async())
        reactor.start()
        assert reactor.join(30)
        eventually(lambda: not [one for one in threading.enumerate() if "handler-" in one.name])
        assert seen == ["1"]
        assert len(other.events) == 20

    def test_two_that_stop_at_once(self, engine: FakeEngine, engine_connection) -> None:
        barrier, done = threading.Barrier(2, timeout=30), []
        reactor = Reactor(connection=engine_connection)

        class Stopping(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                barrier.wait()
                reactor.stop(3600)
                done.append(event)

        for _ in range(2):
            reactor.register(Stopping())
        engine.add_task("s")
        reactor.start()
        assert reactor.join(30)
        eventually(lambda: len(done) == 2, "both stops to return")

    def test_a_second_stop_returns_when_the_first_one_is_done(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        gate, entered = threading.Event(), threading.Event()

        class Slow(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                entered.set()
                gate.wait(30)

        reactor = Reactor(connection=engine_connection).start()
        reactor.register(Slow())
        engine.add_task("s")
        assert entered.wait(30)
        first = threading.Thread(target=reactor.stop, args=(3600,))
        first.start()
        eventually(lambda: reactor.state is ReactorState.STOPPING, "the first stop")
        threading.Timer(0.05, gate.set).start()
        reactor.stop(3600)
        assert reactor.state is ReactorState.STOPPED
        first.join(30)


class TestEverybodysTime:
    def test_one_that_hangs_takes_nobody_elses_time(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        """It hangs with a queue that is full; the others' queues and batches are drained."""
        gate = threading.Event()
        batches: list[int] = []

        class Hanging(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                gate.wait(60)

        class Batching(TaskInformer):
            def on_batch(self, events) -> None:
                batches.append(len(events))

        reactor = Reactor(connection=engine_connection).start()
        reactor.register(Hanging(), queue_size=1)
        registration = reactor.register(Batching(), batch_delay=3600)
        registration.wait_synced(30)
        for _ in range(20):
            engine.add_task("s")
        try:
            eventually(lambda: registration.stats.queued == 20, "the events")
            reactor.stop(0.5)
            assert batches == [20]
        finally:
            gate.set()

    def test_an_abort_ends_a_stop_under_way(self, engine: FakeEngine, engine_connection) -> None:
        gate, entered = threading.Event(), threading.Event()

        class Hanging(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                entered.set()
                gate.wait(60)

        reactor = Reactor(connection=engine_connection).start()
        reactor.register(Hanging(), queue_size=1)
        for _ in range(20):
            engine.add_task("s")
        assert entered.wait(30)
        stopping = threading.Thread(target=reactor.stop, args=(3600,))
        stopping.start()
        reactor.abort()
        stopping.join(30)
        assert not stopping.is_alive()
        gate.set()


class TestRaces:
    def test_starts_stops_and_registrations_in_any_order_leave_nothing_behind(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        dice = random.Random(7)
        for _ in range(25):
            reactor = Reactor(connection=engine_connection)
            acts: list[Callable[[], object]] = [
                reactor.start,
                reactor.stop,
                lambda reactor=reactor: reactor.stop(0.0),
                lambda reactor=reactor: reactor.register(RecordingInformer()),
                lambda reactor=reactor: reactor.register(RecordingInformer()).remove(wait=True),
                lambda reactor=reactor: reactor.stream().close(),
                lambda reactor=reactor: reactor.stream(),
                lambda reactor=reactor: reactor.tasks.list(),
                lambda reactor=reactor: reactor.health().to_dict(),
            ]
            dice.shuffle(acts)
            unexpected: list[BaseException] = []

            def act(what: Callable[[], object], unexpected=unexpected) -> None:
                try:
                    what()
                except InvalidStateError:
                    return  # too early, or too late
                except BaseException as error:
                    unexpected.append(error)

            threads = [threading.Thread(target=act, args=(one,)) for one in acts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            reactor.stop(0.0)
            assert unexpected == []
            assert reactor.state is ReactorState.STOPPED
            assert subscriptions(engine_connection) == 0
            assert not signals._changed

    def test_who_comes_when_everybody_was_let_go_is_told_nothing(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        """A registration that passed the door before the stop closed it, and comes late."""
        reactor = Reactor(connection=engine_connection).start()
        on_loop(engine_connection.link, reactor._registry.detach)
        late = reactor.register(RecordingInformer())
        reactor.stream()
        reactor.tasks  # noqa: B018
        assert subscriptions(engine_connection) == 0
        threading.Timer(0.01, reactor.stop).start()
        with pytest.raises(InvalidStateError, match="was not synced"):
            late.wait_synced(30)
        reactor.stop()

    def test_a_stop_between_the_start_and_the_loop_ends_the_start(
        self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reactor = Reactor(endpoint=engine.endpoint)
        make = Reactor._make_link

        def stopped_meanwhile(self: Reactor):
            self.stop()
            return make(self)

        monkeypatch.setattr(Reactor, "_make_link", stopped_meanwhile)
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.start()
        assert reactor._link is not None
        assert reactor._link.closed, "the connection of its own is closed as well"


class TestHooks:
    def test_an_attach_that_raises_undoes_the_registration(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        class Mine(RecordingInformer):
            fails = True

            def attach(self, reactor: Reactor) -> None:
                if self.fails:
                    raise ValueError("not here")

        informer = Mine()
        with pytest.raises(ValueError, match="not here"):
            running.register(informer, uid="mine")
        assert running.registrations == []
        Mine.fails = False
        running.register(informer, uid="mine").wait_synced(30)

    def test_a_plugin_that_cannot_be_registered_is_left_out_or_raised(
        self, engine: FakeEngine, engine_connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(TaskInformer):
            def attach(self, reactor: Reactor) -> None:
                raise ValueError("no port")

        good = RecordingInformer()
        plugins = [Plugin("broken", Broken()), Plugin("good", good)]
        with Reactor(connection=engine_connection, plugins=plugins) as reactor:
            assert [one.uid for one in reactor.registrations] == ["good"]
        assert "'broken' could not be registered: no port" in caplog.text
        with pytest.raises(PluginError, match="no port"):
            Reactor(connection=engine_connection, plugins=plugins, strict=True).start()
        assert subscriptions(engine_connection) == 0

    def test_start_and_close_are_called_though_nothing_ever_happens(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        calls: list[str] = []

        class Mine(TaskInformer):
            def start(self) -> None:
                calls.append("start")

            def close(self) -> None:
                calls.append("close")

        unstarted = Reactor(connection=engine_connection)
        unstarted.register(Mine())
        unstarted.stop()
        assert calls == [], "it never began"
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(Mine())
        assert calls == ["start", "close"]


class TestUid:
    def test_fault_29_the_same_uid_is_the_same_registration_until_it_is_removed(
        self, running: Reactor
    ) -> None:
        first = running.register(RecordingInformer(), uid="one")
        assert running.register(RecordingInformer(), uid="one") is first
        assert running.register(first.informer, uid="one") is first
        with pytest.raises(InvalidArgumentError, match="registered already"):
            running.register(first.informer, uid="two")
        first.remove()
        assert running.register(first.informer, uid="one") is not first

    def test_of_many_threads_one_registers(self, running: Reactor) -> None:
        got = []
        threads = [
            threading.Thread(
                target=lambda: got.append(running.register(RecordingInformer(), uid="one"))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(got) == 8
        assert len(set(got)) == len(running.registrations) == 1


class TestTwoReactors:
    def test_one_stops_and_the_other_goes_on(self, engine: FakeEngine, engine_connection) -> None:
        first, second = RecordingInformer(), RecordingInformer()
        sent: list[str] = []
        signals.task_added.connect(lambda sender, event, **_: sent.append(event.task.id))
        with Reactor(connection=engine_connection) as stays:
            stays.register(second)
            with Reactor(connection=engine_connection) as goes:
                goes.register(first)
                engine.add_task("s")
                for one in (first, second):
                    one.wait_for(lambda seen: bool(seen.events), 30)
                eventually(lambda: sent == ["1"], "one signal for both")
            engine.add_task("s")
            second.wait_for(lambda seen: len(seen.events) == 2, 30)
            eventually(lambda: sent == ["1", "2"], "the signals go on")
            assert len(first.events) == 1

    def test_a_failure_ends_both(self, engine: FakeEngine, engine_connection) -> None:
        fatal: list[BaseException] = []
        both = [
            Reactor(connection=engine_connection, on_fatal=fatal.append).start() for _ in range(2)
        ]
        error = ValueError("a bug")
        assert engine_connection.link.reactor is not None
        engine_connection.link.reactor.call_soon(lambda: engine_hub(engine_connection)._fail(error))
        for one in both:
            assert one.join(30)
            assert one.state is ReactorState.FAILED
        eventually(lambda: fatal == [error, error], "both on_fatal")


def engine_hub(connection: Connection) -> Hub:
    return Hub.of(connection.link)


class TestFailure:
    def test_fault_33_a_thread_that_cannot_start_is_waited_for_and_ends_no_reactor(
        self, engine: FakeEngine, engine_connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.add_task("s")
        start = threading.Thread.start

        def cannot(thread: threading.Thread) -> None:
            if thread.name.startswith("flamepy-"):
                raise RuntimeError("can't start new thread")
            start(thread)

        with Reactor(connection=engine_connection) as reactor:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", cannot)
                registration = reactor.register(RecordingInformer())
                eventually(lambda: registration.stats.queued > 0, "what waits for the thread")
                assert not registration.synced
            registration.wait_synced(60)  # nothing but time goes by
            assert reactor.state is ReactorState.RUNNING
            assert registration.stats.delivered == 1

    def test_an_on_fatal_that_raises_is_logged(
        self, engine: FakeEngine, engine_connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        def raising(error: BaseException) -> None:
            raise SystemExit(1)

        reactor = Reactor(connection=engine_connection, on_fatal=raising).start()
        assert engine_connection.link.reactor is not None
        engine_connection.link.reactor.call_soon(reactor._fail, ValueError("a bug"))
        assert reactor.join(30)
        eventually(lambda: "on_fatal raised" in caplog.text, "the log")


def program(body: str) -> str:
    """Return a program with an informer whose callback hangs, and what is done with it."""
    return (
        "import os, signal, sys, threading\n"
        "from flamepy.core import TaskInformer\n"
        "from flamepy.informers import Reactor, signals\n"
        "entered = threading.Event()\n"
        "class Hanging(TaskInformer):\n"
        "    def on_update(self, task):\n"
        "        print('entered\\n', end='', flush=True)\n"
        "        entered.set()\n"
        "        threading.Event().wait(3600)\n"
        "reactor = Reactor(endpoint=sys.argv[1], exit_timeout=0.3, signal_replay='all')\n"
        "reactor.register(Hanging())\n"
    ) + body


def run(engine: FakeEngine, body: str, *, timeout: float = 50) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, "-c", program(body), engine.endpoint],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


class TestExit:
    def test_it_is_bounded_for_several_reactors_and_quiet(self, engine: FakeEngine) -> None:
        """Each with a callback that hangs and a coroutine that does not end."""
        engine.add_task("s")
        body = (
            "import asyncio\n"
            "class Async(TaskInformer):\n"
            "    async def on_update(self, task):\n"
            "        await asyncio.sleep(3600)\n"
            "reactor.register(Async())\n"
            "reactor.start()\n"
            "other = Reactor(endpoint=sys.argv[1], exit_timeout=0.3)\n"
            "other.register(Hanging())\n"
            "other.start()\n"
            "assert entered.wait(30)\n"
            "print('end\\n', end='', flush=True)\n"
        )
        out, err, code = run(engine, body)
        assert ("end" in out.splitlines(), code) == (True, 0)
        assert "Traceback" not in err

    def test_an_exception_of_the_program_is_what_is_seen(self, engine: FakeEngine) -> None:
        engine.add_task("s")
        _, err, code = run(engine, "reactor.start()\nassert entered.wait(30)\n1 / 0\n")
        assert code == 1
        assert err.rstrip().splitlines()[-1] != ""
        assert "ZeroDivisionError" in err
        assert err.count("Traceback") == 1


class TestSignalsOfTheSystem:
    def test_a_second_one_ends_the_drain(self, engine: FakeEngine) -> None:
        """A callback hangs, so that the first one alone would wait for an hour."""
        engine.add_task("s")
        body = (
            "from flamepy.informers import lifecycle\n"
            "lifecycle.STOP_TIMEOUT = 3600\n"
            "reactor.start()\n"
            "reactor.run_forever()\n"
            "print('ended', reactor.state)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program(body), engine.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "entered\n"
            ended = threading.Event()

            def send() -> None:
                while not ended.is_set():
                    process.send_signal(signal.SIGINT)
                    ended.wait(0.05)

            sender = threading.Thread(target=send)
            sender.start()
            try:
                assert process.stdout.readline() == "ended stopped\n"
            finally:
                ended.set()
                sender.join(30)
                process.kill()

    def test_handlers_are_put_back_also_one_that_is_not_pythons(
        self, engine_connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reactor = Reactor(connection=engine_connection).start()
        before = signal.getsignal(signal.SIGTERM)
        install, calls = signal.signal, []

        def foreign(number: int, handler: object) -> object:
            calls.append((number, handler))
            previous = install(number, handler)  # type: ignore[arg-type]  # as it is
            return None if len(calls) == 1 else previous

        monkeypatch.setattr(signal, "signal", foreign)
        threading.Timer(0.05, reactor.stop).start()
        reactor.run_forever()
        monkeypatch.undo()
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_the_child_of_a_fork_starts_its_reactor_anew(engine: FakeEngine) -> None:
    engine.add_task("s")
    body = (
        "@signals.task_added.connect\n"
        "def receive(sender, event, **_):\n"
        "    print(f'signal {os.getpid() == parent}\\n', end='', flush=True)\n"
        "    told.set()\n"
        "parent, told = os.getpid(), threading.Event()\n"
        "reactor.start()\n"
        "assert entered.wait(30) and told.wait(30)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert str(reactor.state) == 'new' and not reactor.registrations\n"
        "    signals.task_failed.connect(receive)\n"
        "    told.clear()\n"
        "    reactor.start()\n"
        "    assert told.wait(30)\n"
        "    reactor.stop()\n"
        "    print('child', reactor.state, flush=True)\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "print('parent', reactor.state, flush=True)\n"
    )
    out, err, code = run(engine, body)
    assert code == 0, err
    assert set(out.splitlines()) == {
        *("entered", "signal True", "signal False"),
        *("child stopped", "parent running"),
    }


def test_a_reactor_in_an_event_loop_blocks_neither(engine: FakeEngine, engine_connection) -> None:
    class Mine(TaskInformer):
        async def on_update(self, task: Task) -> None:
            await asyncio.sleep(0)

    async def go() -> ReactorState:
        async with Reactor(connection=engine_connection) as reactor:
            reactor.register(Mine())
            return reactor.state

    assert asyncio.run(go()) is ReactorState.RUNNING


class TestStopThatIsCut:
    """A stop that an exception cuts is finished by the next one (G10)."""

    def test_the_next_stop_does_what_is_left(
        self, engine: FakeEngine, engine_connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reactor = Reactor(connection=engine_connection, plugins=()).start()
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(30)
        closing = reactor._registry.end_streams

        def cut() -> None:
            monkeypatch.setattr(reactor._registry, "end_streams", closing)
            raise KeyboardInterrupt

        monkeypatch.setattr(reactor._registry, "end_streams", cut)
        with pytest.raises(KeyboardInterrupt):
            reactor.stop()
        assert reactor.state is ReactorState.STOPPING
        assert not reactor.join(0)
        told: list[object] = []
        with signals.reactor_stopped.connected_to(lambda sender, **_: told.append(sender)):
            reactor.stop()
        assert reactor.state is ReactorState.STOPPED
        assert reactor.join(0)
        assert told == [], "the signal was sent by the first one"
        assert subscriptions(engine_connection) == 0

    def test_a_stop_without_limit_stops(self, engine: FakeEngine, engine_connection) -> None:
        reactor = Reactor(connection=engine_connection, plugins=()).start()
        reactor.register(RecordingInformer()).wait_synced(30)
        reactor.stop(float("inf"))
        assert reactor.state is ReactorState.STOPPED


def test_run_goes_on_with_a_reactor_that_runs(engine: FakeEngine, engine_connection) -> None:
    with Reactor(connection=engine_connection, plugins=()) as reactor:
        threading.Timer(0.1, reactor.stop).start()
        reactor.run()
        assert reactor.state is ReactorState.STOPPED


class TestCut:
    """Ctrl-C at any line of a call: the same call again leaves nothing behind."""

    def test_a_remove(self, engine: FakeEngine, engine_connection) -> None:
        with Reactor(connection=engine_connection, plugins=()) as reactor:
            line, cut = 0, True
            while cut:
                registration = reactor.register(RecordingInformer(), uid="u")
                cut = cut_at(line, registration.remove)
                registration.remove()
                assert reactor.registrations == []
                assert subscriptions(engine_connection) == 0, f"cut at the line {line}"
                line += 1
            assert line > 20

    @pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.03])
    def test_an_asynchronous_start(self, engine: FakeEngine, seconds: float) -> None:
        reactor = Reactor(endpoint=engine.endpoint, plugins=())

        async def start() -> bool:
            starting = asyncio.ensure_future(reactor.__aenter__())
            await asyncio.sleep(seconds)
            cut = starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return cut

        if not asyncio.run(start()):
            reactor.stop()  # it had started
        eventually(lambda: reactor.state is ReactorState.STOPPED, "its end")


def cut_at(line: int, act: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt at a line of flamepy within a call; False if it has less lines."""
    left = [line]

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if "/flamepy/" in frame.f_code.co_filename and event == "line":
            left[0] -= 1
            if left[0] < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False
