"""Signals: strong by default, isolated from each other, sent once per change."""

from __future__ import annotations

import ast
import asyncio
import functools
import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.errors import InvalidArgumentError, UnavailableError
from flamepy.informers import Reactor, signals
from flamepy.informers.informer import TaskInformer
from flamepy.informers.signals import FlameSignal
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import ConnectionState, Task
from flamepy.watching.state.events import SessionEvent, TaskEvent

ALL = sorted(signals.namespace)


def test_fault_30_a_receiver_is_held_unless_asked_otherwise() -> None:
    signal = FlameSignal("x")
    seen: list[str] = []
    signal.connect(lambda sender, **_: seen.append("strong"))
    weak = lambda sender, **_: seen.append("weak")  # noqa: E731
    signal.connect(weak, weak=True)
    del weak
    gc.collect()
    signal.send("app", event=None)
    assert seen == ["strong"]


def test_one_that_raises_disturbs_no_other_and_is_told(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    failures: list[BaseException] = []

    @signals.task_updated.connect
    def first(sender: str, **_: object) -> None:
        raise SystemExit(1)

    @signals.task_updated.connect
    async def second(sender: str, **_: object) -> None:
        seen.append(sender)

    signals.handler_failed.connect(lambda sender, error, **_: failures.append(error))
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection):
        fake_engine.add_task("s")
        eventually(lambda: seen == ["fake"] and bool(failures), "the other receiver")
    assert isinstance(failures[0], SystemExit)


def test_every_change_is_sent_with_the_application_as_sender(fake_engine: FakeEngine) -> None:
    seen: list[tuple[str, str, str]] = []

    def note(name: str):
        def receive(application: str, *, event: TaskEvent | SessionEvent, **_: object) -> None:
            if isinstance(event, TaskEvent):
                seen.append((name, application, event.task.error or event.task.state.name))
            else:
                seen.append((name, application, event.session.id))

        return receive

    for name in ALL:
        if name.startswith(("task_", "session_")):
            getattr(signals, name).connect(note(name))
    fake_engine.add_session("s")
    with (
        connect(fake_engine.endpoint) as connection,
        Reactor(connection=connection, signal_replay="all"),
    ):
        eventually(lambda: ("session_opened", "fake", "s") in seen, "the session")
        fake_engine.add_task("s")
        eventually(lambda: ("task_updated", "fake", "PENDING") in seen, "the task")
        fake_engine.fail("s", "1", "no way")
        eventually(lambda: ("task_failed", "fake", "no way") in seen, "its failure")
        fake_engine.add_task("s")
        eventually(lambda: seen.count(("task_updated", "fake", "PENDING")) == 2, "the second task")
        connection.close_session("s")
        eventually(lambda: ("session_closed", "fake", "s") in seen, "the close")
        eventually(lambda: ("task_cancelled", "fake", "CANCELLED") in seen, "the cancel")
    assert len([one for one in seen if one[0] == "task_failed"]) == 1


def test_two_reactors_of_one_connection_send_once(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    signals.task_updated.connect(lambda sender, event, **_: seen.append(event.task.id))
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection:
        with Reactor(connection=connection), Reactor(connection=connection):
            fake_engine.add_task("s")
            eventually(lambda: seen == ["1"], "the task")
        fake_engine.add_task("s")
        with Reactor(connection=connection):
            fake_engine.add_task("s")
            eventually(lambda: "3" in seen, "the next task")
    assert seen == ["1", "3"], "what happened while no reactor ran is history"


def test_two_reactors_of_one_connection_tell_of_it_once(fake_engine: FakeEngine) -> None:
    changes: list[tuple[ConnectionState, ConnectionState]] = []
    retries: list[dict[str, Any]] = []

    def changed(
        sender: str, *, state: ConnectionState, previous: ConnectionState, **_: object
    ) -> None:
        changes.append((previous, state))

    def retried(sender: str, **values: Any) -> None:
        retries.append(values)

    fake_engine.add_session("s")
    with (
        signals.connection_changed.connected_to(changed),
        signals.retry_scheduled.connected_to(retried),
        connect(fake_engine.endpoint) as connection,
        Reactor(connection=connection) as reactor,
        Reactor(connection=connection),
    ):
        reactor.register(RecordingInformer()).wait_synced(30)
        changes.clear()
        fake_engine.kill()
        eventually(lambda: changes, "the outage")
        with pytest.raises(UnavailableError):
            connection.get_session("s", timeout=0.5)
        fake_engine.restart()
        eventually(lambda: len(changes) >= 2, "its end")
    assert changes == [
        (ConnectionState.CONNECTED, ConnectionState.DISCONNECTED),
        (ConnectionState.DISCONNECTED, ConnectionState.CONNECTED),
    ]
    first = retries[0]
    assert first["endpoint"] == fake_engine.endpoint
    details = [one["details"] for one in retries]
    assert {one.call for one in details} == {"ListSession"}  # waiting for it is no repeat
    assert all(isinstance(one.error, UnavailableError) for one in details)
    tries = [one.attempt for one in details if one.call == "GetSession"]
    assert tries == list(range(1, len(tries) + 1)), "each once"


@pytest.mark.parametrize("receiver", [None, 3, "print"])
def test_a_receiver_that_cannot_be_called_is_refused(receiver: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"is called with \(sender, event, \*\*more\), got"
    ):
        signals.task_failed.connect(receiver)
    assert not signals.task_failed.receivers


def test_what_fails_while_a_stop_drains_is_told_as_well(fake_engine: FakeEngine) -> None:
    gate, failed = threading.Event(), list[str]()

    class Late(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            gate.wait(30)
            raise ValueError("mine")

        def close(self) -> None:
            raise ValueError("mine as well")

    def note(sender: str, *, callback: str, **_: object) -> None:
        failed.append(callback)

    fake_engine.add_session("s")
    for _ in range(3):
        fake_engine.add_task("s")
    with (
        signals.handler_failed.connected_to(note),
        connect(fake_engine.endpoint) as connection,
        Reactor(connection=connection) as reactor,
    ):
        registration = reactor.register(Late())
        eventually(lambda: registration.stats.running_for is not None, "the first callback")
        eventually(lambda: registration.stats.queued > 0, "the next ones")
        threading.Timer(0.1, gate.set).start()
        reactor.stop()
        assert failed == ["on_added"] * 3 + ["close"]


def test_only_one_sender_when_asked_for_one(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    signals.task_updated.connect(lambda sender, **_: seen.append(sender), sender="b")
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection):
        for name in ("a", "b"):
            fake_engine.add_session(name, application=name)
            fake_engine.add_task(name)
        eventually(lambda: bool(seen), "the task of b")
    assert seen == ["b"]


class Receiving:
    """Connects one receiver to every signal and notes what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, object, dict[str, Any]]] = []
        for name in ALL:
            signals.namespace[name].connect(self._receiver(name))

    def _receiver(self, name: str) -> Any:
        def receive(sender: object, **values: Any) -> None:
            self.got.append((name, sender, values))

        return receive

    def of(self, name: str) -> list[tuple[object, dict[str, Any]]]:
        return [(sender, values) for one, sender, values in self.got if one == name]

    def wait(self, name: str) -> tuple[object, dict[str, Any]]:
        """Return the sender and the arguments of the first signal of that name."""
        return eventually(lambda: self.of(name), f"{name}, not only {self.got}")[0]


class TestEverySignal:
    """Each comes with the arguments and the sender that its documentation says."""

    def test_of_tasks(self, engine: FakeEngine, engine_connection) -> None:
        receiving = Receiving()
        with Reactor(connection=engine_connection):
            for number in range(1, 4):
                engine.add_task("s")
                engine.start("s", str(number))
            eventually(lambda: len(receiving.of("task_running")) == 3, "three running tasks")
            engine.requeue("s", "1")
            receiving.wait("task_requeued")
            engine.fail("s", "2", "no way")
            engine.succeed("s", "3")
            for name in ("task_failed", "task_succeeded"):
                receiving.wait(name)
            engine_connection.close_session("s")
            receiving.wait("task_cancelled")
            engine.drop_session("s")
            receiving.wait("task_deleted")
        for name, sender, values in receiving.got:
            if name.startswith("task_"):
                assert sender == "fake"
                assert values.keys() == {"event"}
                assert isinstance(values["event"], TaskEvent)
        assert len(receiving.of("task_added")) == 3
        assert len(receiving.of("task_deleted")) == 3

    def test_of_sessions(self, engine: FakeEngine, engine_connection) -> None:
        receiving = Receiving()
        with Reactor(connection=engine_connection, signal_replay="all"):
            receiving.wait("session_opened")
            engine.add_task("s")
            receiving.wait("session_updated")
            engine.succeed("s", "1")
            receiving.wait("session_drained")
            engine.add_session_event("s", 1001, "no")
            receiving.wait("session_event")
            engine_connection.close_session("s")
            receiving.wait("session_closed")
            engine.drop_session("s")
            receiving.wait("session_deleted")
        for name, sender, values in receiving.got:
            if name.startswith("session_"):
                assert sender == "fake"
                assert values.keys() == {"event"}
                assert isinstance(values["event"], SessionEvent)

    def test_of_the_engine_and_its_connection(self, engine: FakeEngine, engine_connection) -> None:
        receiving = Receiving()
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(RecordingInformer()).wait_synced(30)
            engine.kill()
            eventually(lambda: receiving.of("connection_changed"), "the outage")
            engine.restart(lose_state=True)
            sender, values = receiving.wait("engine_reset")
            assert sender == "fake"
            assert values == {"session_id": "s", "epoch": 1, "endpoint": engine.endpoint}
        sender, values = receiving.of("connection_changed")[0]
        assert sender == values["endpoint"] == engine.endpoint
        assert values.keys() == {"state", "previous", "endpoint"}
        assert isinstance(values["state"], ConnectionState)

    def test_of_informers(self, engine: FakeEngine, engine_connection) -> None:
        gate = threading.Event()

        class Mine(TaskInformer):
            def on_update(self, task: Task) -> None:
                gate.wait(30)
                raise ValueError("mine")

        receiving = Receiving()
        with Reactor(connection=engine_connection) as reactor:
            registration = reactor.register(Mine(), queue_size=1, timeout=0.05)
            for _ in range(5):
                engine.add_task("s")
            _, slow = receiving.wait("handler_slow")
            _, overflow = receiving.wait("queue_overflow")
            gate.set()
            sender, failed = receiving.wait("handler_failed")
            _, synced = receiving.wait("informer_synced")
        where = {"endpoint": engine.endpoint}
        assert slow.pop("stack")
        assert slow.pop("seconds") > 0
        assert isinstance(slow.pop("event"), TaskEvent)
        assert slow == {"informer": "Mine", "callback": "on_update", **where}
        assert overflow == {"informer": "Mine", "queue_size": 1, **where}
        assert sender == "fake"
        assert isinstance(failed.pop("event"), TaskEvent)
        assert isinstance(failed.pop("error"), ValueError)
        assert failed == {"informer": "Mine", "callback": "on_update", "attempts": 1, **where}
        assert synced == {"registration": registration, **where}

    def test_of_the_reactor(self, engine: FakeEngine, engine_connection) -> None:
        receiving = Receiving()
        with Reactor(connection=engine_connection) as reactor:
            pass
        for name in ("reactor_started", "reactor_stopped"):
            assert receiving.of(name) == [
                (engine.endpoint, {"reactor": reactor, "endpoint": engine.endpoint})
            ]
        failing, error = Reactor(connection=engine_connection).start(), ValueError("a bug")
        assert engine_connection.link.reactor is not None
        engine_connection.link.reactor.call_soon(failing._fail, error)
        assert failing.join(30)
        assert receiving.of("reactor_failed") == [
            (engine.endpoint, {"reactor": failing, "error": error, "endpoint": engine.endpoint})
        ]

    @pytest.mark.parametrize("name", ALL)
    def test_it_is_in_the_documentations_table_with_its_arguments(self, name: str) -> None:
        signal = signals.namespace[name]
        assert signal is getattr(signals, name)
        assert isinstance(signal, FlameSignal)
        row = documented(name)
        assert row, "not in the table of flamepy.informers.signals"
        assert signal.arguments is not None
        missing = {one for one in signal.arguments if f"``{one}``" not in row}
        assert not missing

    @pytest.mark.parametrize("name", ALL)
    def test_it_is_sent_somewhere(self, name: str) -> None:
        assert name in sent(), "no module of the informers but its own names it"


def documented(name: str) -> str:
    """Return the row of a signal in the module's documentation, its own or its family's."""
    assert signals.__doc__ is not None
    lines = signals.__doc__.splitlines()
    _, begin, end = [at for at, line in enumerate(lines) if line.startswith("=====")]
    rows: dict[str, str] = {}
    row = ""
    for line in lines[begin + 1 : end]:
        row = line[:20].strip().strip("`") or row
        rows[row] = rows.get(row, "") + line[20:] + "\n"
    return rows.get(name) or rows.get(name.split("_")[0] + "_*", "")


@functools.cache
def sent() -> set[str]:
    """Return the names that the informers' modules use as attributes of ``signals``."""
    room = Path(signals.__file__).parent
    trees = [ast.parse(one.read_text()) for one in room.rglob("*.py")]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "signals"
    }


class TestBlinker:
    """What is blinker's behaves as its documentation says."""

    def test_connect_via_connected_to_sender_and_decorators(self) -> None:
        signal, seen = FlameSignal("x"), []

        @signal.connect_via("a")
        def only_a(sender: str, **_: object) -> None:
            seen.append(("a", sender))

        @signal.connect
        def every(sender: str, **_: object) -> None:
            seen.append(("every", sender))

        assert callable(only_a)
        with signal.connected_to(lambda sender, **_: seen.append(("within", sender)), sender="b"):
            signal.send("a")
            signal.send("b")
        signal.disconnect(every)
        signal.send("b")
        assert sorted(seen) == [("a", "a"), ("every", "a"), ("every", "b"), ("within", "b")]

    def test_a_weak_one_goes_with_its_owner(self) -> None:
        class Owner:
            def receive(self, sender: str, **_: object) -> None:
                raise AssertionError

        signal, owner = FlameSignal("x"), Owner()
        signal.connect(owner.receive, weak=True)
        assert signal.receivers
        del owner
        gc.collect()
        assert not signal.receivers
        assert signal.send("a") == []

    def test_one_that_lost_its_last_sender_is_connected_no_more(self) -> None:
        signal = FlameSignal("x")

        @signal.connect_via("a")
        def receive(sender: str, **_: object) -> None:
            raise AssertionError

        signal.connect(receive, sender="b")
        signal.disconnect(receive, sender="a")
        assert signal.receivers
        signal.disconnect(receive, sender="b")
        assert not signal.receivers

    def test_muted_ones_are_not_delivered(self, engine: FakeEngine, running: Reactor) -> None:
        seen: list[str] = []
        signals.task_added.connect(lambda sender, event, **_: seen.append(event.task.id))
        updated: list[str] = []
        signals.task_updated.connect(lambda sender, event, **_: updated.append(event.task.id))
        looked(running)
        with signals.task_added.muted():
            engine.add_task("s")
            eventually(lambda: updated == ["1"], "the other signal")
        engine.add_task("s")
        eventually(lambda: seen == ["2"], "the second task")

    def test_many_threads_may_connect_and_disconnect(self) -> None:
        signal, errors = FlameSignal("x"), []

        def work(number: int) -> None:
            try:
                for turn in range(200):
                    receiver = lambda sender, **_: None  # noqa: E731
                    signal.connect(receiver, sender=f"{number}-{turn}")
                    signal.disconnect(receiver)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (errors, signal.receivers) == ([], {})


class TestCost:
    """Signals flow only while somebody is connected."""

    def test_nothing_is_asked_while_nobody_is_connected(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        before = engine.calls["ListSession"]
        seen: list[str] = []

        def receive(sender: str, *, event: TaskEvent, **_: object) -> None:
            seen.append(event.task.id)

        assert (before, engine.task_calls["s"]) == (0, 0)
        with signals.task_updated.connected_to(receive):
            looked(running)
            engine.add_task("s")
            eventually(lambda: seen == ["1"], "the task")
        settled(running)
        calls = engine.calls.copy()
        running.sessions  # noqa: B018 - polls from here on, with the hub's own clock
        eventually(lambda: engine.calls["ListSession"] >= calls["ListSession"] + 3, "three polls")
        assert engine.calls["GetTask"] + engine.calls["ListTask"] == (
            calls["GetTask"] + calls["ListTask"]
        )
        assert seen == ["1"]

    def test_signals_of_sessions_cost_no_call_for_tasks(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        seen: list[int] = []
        for signal in (signals.session_opened, signals.session_updated):  # one poll may see all
            signal.connect(lambda sender, event, **_: seen.append(event.counts.total))
        looked(running)
        for _ in range(3):
            engine.add_task("s")
        eventually(lambda: seen[-1:] == [3], "the counters")
        assert engine.task_calls["s"] == 0

    def test_that_a_session_drains_is_told_without_another_receiver(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        seen: list[str] = []
        signals.session_drained.connect(lambda sender, event, **_: seen.append(event.session.id))
        looked(running)
        engine.succeed("s", engine.add_task("s"))
        eventually(lambda: seen == ["s"], "the drain")

    def test_a_weak_receiver_that_is_gone_costs_nothing_more(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        seen: list[str] = []

        class Owner:
            def receive(self, sender: str, *, event: TaskEvent, **_: object) -> None:
                seen.append(event.task.id)

        owner = Owner()
        signals.task_updated.connect(owner.receive, weak=True)
        looked(running)
        engine.add_task("s")
        eventually(lambda: seen == ["1"], "the task")
        del owner
        gc.collect()
        hub = running._hub
        assert hub is not None
        eventually(lambda: not hub._subscribers, "its subscription to end")


def looked(reactor: Reactor) -> None:
    """Wait for the first look at the engine after a connect: what comes from now on is news."""
    assert reactor._link is not None
    assert reactor._hub is not None
    reactor._link.run(reactor._hub.first_look(30.0))


def settled(reactor: Reactor) -> None:
    """Wait until the loop has done what was asked of it by now."""
    assert reactor._link is not None
    reactor._link.run(asyncio.sleep(0))


class TestReceivers:
    def test_coroutines_also_after_a_stop_that_dropped(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        seen: list[str] = []

        @signals.task_updated.connect
        async def receive(sender: str, *, event: TaskEvent, **_: object) -> None:
            await asyncio.sleep(0)
            seen.append(event.task.id)

        for number in (1, 2):
            reactor = Reactor(connection=engine_connection).start()
            engine.add_task("s")
            eventually(lambda number=number: len(seen) == number, "the task")
            reactor.stop(0.0)

    def test_one_that_fails_for_handler_failed_ends_there(
        self, engine: FakeEngine, running: Reactor, caplog
    ) -> None:
        failures: list[str] = []

        @signals.handler_failed.connect
        def first(sender: str, *, callback: str, **_: object) -> None:
            failures.append(callback)
            raise ValueError("no end of it")

        @signals.task_updated.connect
        def raising(sender: str, **_: object) -> None:
            raise ValueError("mine")

        looked(running)
        engine.add_task("s")
        eventually(lambda: len(failures) == 1, "the failure")
        assert "raising" in failures[0]
        signals.task_updated.disconnect(raising)
        engine.add_task("s")
        eventually(
            lambda: sum("signal handler_failed" in one.message for one in caplog.records) == 1,
            "a line of the log",
        )

    def test_they_may_stop_the_reactor(self, engine: FakeEngine, engine_connection) -> None:
        reactor = Reactor(connection=engine_connection)
        signals.task_added.connect(lambda *_, **__: reactor.stop())
        reactor.start()
        engine.add_task("s")
        assert reactor.join(30)


def test_a_connection_that_is_closed_under_a_reactor_leaves_nothing_behind(
    engine: FakeEngine,
) -> None:
    stopped: list[object] = []
    signals.reactor_stopped.connect(lambda sender, reactor, **_: stopped.append(reactor))
    with connect(engine.endpoint) as connection:
        reactor = Reactor(connection=connection).start()
        reactor.register(RecordingInformer()).wait_synced(30)
    assert reactor.join(30)
    assert str(reactor.state) == "stopped"
    eventually(lambda: stopped == [reactor], "the signal")
    assert not signals._changed
