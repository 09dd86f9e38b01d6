"""Faults of a reactor's life: signals, sizes, plugins, stops at any point, mistakes of its own.

Fault 22 is in ``test_fork``, 23 in ``test_exit``, 33 in ``unit/informers/test_lifecycle``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.inline_engine import InlineEngine, connect
from support.waiting import eventually

from flamepy import core
from flamepy.errors import FlameError, PluginError, UnavailableError
from flamepy.informers import Reactor, ReactorState, TaskEvent, TaskInformer, signals
from flamepy.informers.plugins.loading import check_plugins
from flamepy.testing import FakeClock, FakeEngine, RecordingInformer, ScriptedConnection
from flamepy.types import TaskState
from flamepy.watching.hub import Hub
from flamepy.watching.state.subscriptions import Scope

LIMIT = 30.0

WAITS = """
import sys, threading
from flamepy.core import TaskInformer, connect
from flamepy.informers import Reactor, lifecycle

connection = connect(sys.argv[1])
session = connection.get_session("s")
future = session.run(b"")
reactor = Reactor(connection=connection, exit_timeout=0.3).start()
waits = {
    "result": future.result,
    "invoke": lambda: session.invoke(b""),
    "watch": lambda: list(session.watch_task(future.task_id)),
    "reactor.wait": lambda: reactor.wait([future]),
    "join": reactor.join,
}
for name, wait in waits.items():
    try:
        print("waiting", flush=True)
        wait()
    except KeyboardInterrupt:
        print(name, flush=True)


class Hanging(TaskInformer):
    def on_update(self, task):
        print("entered", flush=True)
        threading.Event().wait(3600)


lifecycle.STOP_TIMEOUT = 3600  # a drain that nobody ends
reactor.register(Hanging())
reactor.run_forever()
print("ended", reactor.state, flush=True)
"""


def test_fault_24_a_signal_ends_any_wait_and_a_second_one_the_drain(engine: FakeEngine) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, engine.endpoint],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        read = process.stdout.readline

        def interrupt_until(line: str) -> None:
            """Send signals, one of which may come early, until the program says it."""
            ended = threading.Event()

            def send() -> None:
                while not ended.wait(0.05):
                    process.send_signal(signal.SIGINT)

            sender = threading.Thread(target=send)
            sender.start()
            try:
                assert read() == line
            finally:
                ended.set()
                sender.join(LIMIT)

        try:
            for name in ("result", "invoke", "watch", "reactor.wait", "join"):
                assert read() == "waiting\n"
                process.send_signal(signal.SIGINT)
                assert read() == f"{name}\n"
            for _ in range(1):
                assert read() == "entered\n"
            interrupt_until("ended stopped\n")
        finally:
            process.kill()


def test_fault_25_twenty_thousand_tasks_of_a_thousand_sessions_cost_nothing_at_rest() -> None:
    sessions, each, payload = 1000, 20, b"x" * 10_000
    clock = FakeClock()
    with (
        ScriptedConnection(clock) as connection,
        Reactor(connection=connection, plugins=(), audit=1e6) as reactor,
    ):
        source = connection.source

        def fill(_: object) -> None:
            for number in range(sessions):
                source.add_session(f"s{number}")
                source.add_tasks(f"s{number}", each - 2, payload, state=TaskState.SUCCEED)
                source.add_tasks(f"s{number}", 2, payload)

        connection.do(fill)
        threads = threading.active_count()
        registration = reactor.register(TaskInformer())
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(60)
        assert registration.synced
        assert len(reactor.tasks) == sessions * each
        assert not any(one.payloads_loaded for one in reactor.tasks.list()), "they are not kept"
        assert threading.active_count() - threads <= 3, "threads do not depend on tasks"
        before, polls = source.task_calls.total(), source.calls["list_sessions"]
        eventually(lambda: source.calls["list_sessions"] > polls + 50, "fifty polls")
        assert source.task_calls.total() == before, "a session at rest was asked"
        connection.do(lambda _: source.succeed("s7", "19"))
        informer.wait_for(lambda seen: seen.events[-1].task.id == "19", LIMIT)
        told = informer.events[-1].task
        assert (told.session_id, told.state) == ("s7", TaskState.SUCCEED)
        assert set(source.task_calls) == {f"s{number}" for number in range(sessions)}
        assert source.task_calls.total() - before <= 8, "the cost follows the change"


PLUGINS = """
from flamepy.core import TaskInformer
class Good(TaskInformer): pass
class Raises(TaskInformer):
    def __init__(self): raise ValueError("no such port")
class Other: pass
"""


def test_fault_31_broken_plugins_are_told_and_left_out_and_strict_raises(
    engine: FakeEngine,
    connection: core.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "made_of_faults.py").write_text(PLUGINS)
    (tmp_path / "cannot_be_imported.py").write_text("import nothing_of_this_name")
    for number, entries in enumerate(
        (
            "good = made_of_faults:Good\nraises = made_of_faults:Raises\n"
            "other = made_of_faults:Other\nmissing = cannot_be_imported:Good\n"
            "gone = made_of_faults:Gone\ntwice = made_of_faults:Good",
            "twice = made_of_faults:Good",
        )
    ):
        info = tmp_path / f"faulty_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: faulty-{number}\nVersion: 1\n"
        )
        (info / "entry_points.txt").write_text(f"[flamepy.informers]\n{entries}\n")
    monkeypatch.syspath_prepend(tmp_path)
    broken = ("raises", "other", "missing", "gone", "twice", "unknown")
    assert "made_of_faults" not in sys.modules, "nothing is loaded before a reactor starts"
    with Reactor(connection=connection, plugins=[*broken, "good"]) as reactor:
        assert [one.name for one in reactor.registrations] == ["good"]
    problems = {one.name: one.problem for one in check_plugins([*broken, "good"])}
    assert problems["good"] is None
    for name in broken:
        assert problems[name], name
        said = [one for one in caplog.records if repr(name) in one.getMessage()]
        assert [one.levelno for one in said] == [logging.ERROR], name
        strict = Reactor(connection=connection, plugins=["good", name], strict=True)
        with pytest.raises(PluginError, match=name):
            strict.start()
        assert strict.state is ReactorState.STOPPED
    sys.modules.pop("made_of_faults", None)


class TestStopAtAnyPoint:
    @pytest.mark.parametrize(
        "point", ["connect", "list_sessions", "list_tasks", "get_task", "back-off", "callback"]
    )
    def test_fault_34_a_stop_ends_what_is_under_way(self, point: str) -> None:
        if point == "connect":
            self.stop_while_it_connects()
            return
        entered, gate = threading.Event(), threading.Event()

        class Hanging(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                entered.set()
                gate.wait(60 if point == "callback" else 0)

        with ScriptedConnection() as connection:
            source = connection.source
            connection.do(lambda _: (source.add_session("s"), source.add_task("s")))
            connection.do(lambda _: source.fail("s", source.add_task("s"), "its text is read"))
            hold = None
            if point == "back-off":
                connection.do(lambda _: source.fail_calls(UnavailableError("away")))
            elif point != "callback":
                hold = connection.do(lambda _: source.hold(point))
            reactor = Reactor(connection=connection, plugins=()).start()
            registration = reactor.register(Hanging())
            hub = reactor._hub
            assert hub is not None
            if point == "callback":
                assert entered.wait(LIMIT)
            elif hold is not None:
                eventually(lambda: hold.waiting, "the call to be under way")
            else:
                eventually(lambda: hub.health.outages, "the outage")
            stops = [threading.Thread(target=reactor.stop, args=(0.2,)) for _ in range(2)]
            for one in stops:
                one.start()
            for one in stops:
                one.join(LIMIT)
                assert not one.is_alive()
            assert reactor.state is ReactorState.STOPPED
            gate.set()
            with pytest.raises(FlameError):
                registration.wait_synced(LIMIT)

    def stop_while_it_connects(self) -> None:
        reactor = Reactor(endpoint="http://127.0.0.1:1", plugins=())
        errors: list[BaseException] = []

        def start() -> None:
            try:
                reactor.start(wait=True, timeout=600.0)
            except FlameError as error:
                errors.append(error)

        starting = threading.Thread(target=start)
        starting.start()
        eventually(lambda: reactor._link is not None and reactor._hub is not None, "the start")
        reactor.stop()
        starting.join(LIMIT)
        assert not starting.is_alive()
        assert reactor.state is ReactorState.STOPPED
        assert errors

    def test_a_thousand_closes_at_random_moments_leave_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """In fake time: calls, waits, polls and back-off are cut wherever they are."""
        caplog.set_level(logging.CRITICAL, logger="flamepy")
        before = random.getstate()
        for seed in range(1000):
            random.seed(seed)
            try:
                FakeClockRun(seed).play()
            except BaseException as error:
                raise AssertionError(f"the close of seed {seed}: {error!r}") from error
        random.setstate(before)


ENDS = (FlameError, asyncio.CancelledError, asyncio.TimeoutError)


class FakeClockRun:
    """A connection that is used by a few and closed at some moment."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()

    def play(self) -> None:
        self.clock.run(self.run())

    async def run(self) -> None:
        chance = self.chance
        engine = InlineEngine(self.clock)
        engine.add_session("s")
        engine.latency = lambda name: chance.choice((0.0, 0.002, 0.02))
        connection = connect(engine, spread=chance.randrange(1 << 30))
        session = await connection.open_session("s")
        Hub.of(connection.link).subscribe(Scope(), RecordingSink())
        users = [asyncio.ensure_future(self.use(session)) for _ in range(3)]
        breaks = asyncio.ensure_future(self.break_things(engine))
        await asyncio.sleep(chance.choice((0.0, 0.001, 0.01, 0.1, 1.0)) * chance.random())
        if chance.random() < 0.3:
            users[0].cancel()
        await connection.close()
        breaks.cancel()
        results = await asyncio.gather(*users, breaks, return_exceptions=True)
        for one in results:
            assert one is None or isinstance(one, ENDS), repr(one)
        for _ in range(5):  # what was cancelled ends
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    async def use(self, session: object) -> None:
        from flamepy.aio.session import Session

        assert isinstance(session, Session)
        while True:
            handle = await session.run(b"x")
            if self.chance.random() < 0.5:
                await session.get_task(handle.task_id)
            elif self.chance.random() < 0.3:
                async for _ in session.watch_task(handle.task_id):
                    pass
            else:
                await asyncio.wait_for(handle, self.chance.choice((0.1, 5.0)))

    async def break_things(self, engine: InlineEngine) -> None:
        while True:
            await asyncio.sleep(self.chance.choice((0.0, 0.01, 0.2)))
            self.chance.choice((engine.kill, engine.restart, engine.reset, engine.end_streams))()


class RecordingSink:
    """A sink that takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


STEPS = {
    "a poll is taken in": "_sessions._record",
    "a session is taken in": "store.observe_session",
    "a task is taken in": "store.observe_task",
    "a session is considered": "_sync.consider",
    "an event is told": "_observer.emit",
    "a future is told": "_waiters.deliver",
    "old ones leave": "store.trim",
    "a list is read": "_sync._list._scan",
    "a task is read": "_reader.probe",
}


@pytest.mark.parametrize("step", STEPS)
def test_fault_35_a_mistake_inside_ends_the_reactor_loudly_and_lets_go_who_waits(
    engine: FakeEngine, connection: core.Connection, step: str
) -> None:
    fatal: list[BaseException] = []
    reactor = Reactor(connection=connection, plugins=(), on_fatal=fatal.append).start()
    reactor.register(RecordingInformer()).wait_synced(LIMIT)
    engine.add_task("s")
    future = reactor.future(("s", "1"))

    async def break_it() -> None:
        owner: object = Hub.of(connection.link)
        *path, name = STEPS[step].split(".")
        for part in path:
            owner = getattr(owner, part)

        def broken(*arguments: object, **options: object) -> object:
            raise ZeroDivisionError(step)

        setattr(owner, name, broken)

    connection.link.run(break_it())
    for number in range(1, 4):  # whatever the step is, it is taken
        engine.add_task("s")
        engine.start("s", str(number))
    engine.kill()
    engine.restart()
    assert reactor.join(LIMIT)
    assert reactor.state is ReactorState.FAILED
    eventually(lambda: fatal, "on_fatal")
    assert isinstance(fatal[0], ZeroDivisionError)
    with pytest.raises(FlameError, match="failed"):
        future.result(LIMIT)
    assert not [one for one in threading.enumerate() if "handler" in one.name]
    assert not signals._changed, "what sends signals has let go as well"
