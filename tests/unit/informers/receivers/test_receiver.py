"""Receivers of signals: each by itself, with a queue, a thread, a limit and an end of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import InvalidArgumentError
from flamepy.informers import Reactor, TaskEvent, TaskInformer, signals
from flamepy.informers.options import Options
from flamepy.informers.receivers import receiver as receivers
from flamepy.informers.receivers import signal_sender as sending
from flamepy.testing import FakeEngine, RecordingInformer, ScriptedConnection

LIMIT = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens at the end of a test, whatever happened in it."""
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "OPTIONS", Options(timeout=0.1))
    monkeypatch.setattr(sending, "LOOK", 0.02)


def threads(of: str = "") -> list[threading.Thread]:
    """Return the threads of receivers whose name has a text in it."""
    all_threads = threading.enumerate()
    return [one for one in all_threads if one.name.startswith("flamepy-signal-") and of in one.name]


def looked(reactor: Reactor) -> None:
    """Wait for the first look at the engine after a connect: what comes from now on is news."""
    assert reactor._link is not None
    assert reactor._hub is not None
    reactor._link.run(reactor._hub.first_look(LIMIT))


def ended(engine: FakeEngine, number: int = 1) -> None:
    """Create so many tasks and let them succeed."""
    for _ in range(number):
        engine.succeed("s", engine.add_task("s"))


class TestIsolation:
    @pytest.mark.parametrize("how", ["hangs", "awaits", "blocks"])
    def test_one_that_does_not_return_delays_no_other_and_is_reported(
        self, engine: FakeEngine, engine_connection: Connection, gate, short_limit, how: str
    ) -> None:
        told: dict[str, list[Any]] = {"same": [], "other": [], "slow": []}

        def hangs(application: str, **_: object) -> None:
            gate.wait(LIMIT)

        async def awaits(application: str, **_: object) -> None:
            while not gate.is_set():
                await asyncio.sleep(0.02)

        async def blocks(application: str, **_: object) -> None:
            gate.wait(LIMIT)

        async def same(application: str, **_: object) -> None:
            await asyncio.sleep(0)
            told["same"].append(application)

        signals.task_added.connect({"hangs": hangs, "awaits": awaits, "blocks": blocks}[how])
        signals.task_added.connect(same)
        signals.task_succeeded.connect(lambda application, **_: told["other"].append(application))
        signals.handler_slow.connect(lambda sender, **values: told["slow"].append((sender, values)))
        with Reactor(connection=engine_connection):
            ended(engine, 3)
            eventually(lambda: len(told["same"]) == len(told["other"]) == 3, "the others")
            sender, values = eventually(lambda: told["slow"], "handler_slow")[0]
            gate.set()
        assert sender == "fake"
        assert values["informer"] == "task_added"
        assert values["callback"].endswith(how)
        assert isinstance(values["event"], TaskEvent)
        assert values["seconds"] > 0.1
        assert ("asyncio.sleep" if how == "awaits" else "gate.wait") in values["stack"]
        assert values["endpoint"] == engine.endpoint

    @pytest.mark.parametrize("kind", ["handler_slow", "handler_failed"])
    def test_reports_about_receivers_of_reports_go_to_the_others_and_end(
        self, engine: FakeEngine, engine_connection: Connection, gate, short_limit, kind: str
    ) -> None:
        """Three that misbehave whenever they are told: each is reported to those without blame."""
        told: list[tuple[int, str]] = []

        def misbehave() -> None:
            if kind == "handler_failed":
                raise ValueError("again")
            gate.wait(0.5)

        def receiver(number: int) -> Callable[..., None]:
            def receive(sender: str, *, informer: str, **_: object) -> None:
                told.append((number, informer))
                misbehave()

            return receive

        for number in range(3):
            signals.namespace[kind].connect(receiver(number))
        signals.task_added.connect(lambda sender, **_: misbehave())
        with Reactor(connection=engine_connection):
            engine.add_task("s")
            expected = 3 + 3 * 2 + 3 * 2 * 1
            eventually(lambda: len(told) == expected, f"{expected} reports")
            gate.wait(1.0)
        assert len(told) == expected
        assert [name for _, name in told].count("task_added") == 3

    def test_a_receiver_of_several_signals_gets_them_in_one_order_one_at_a_time(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: list[tuple[str, str]] = []
        inside = threading.Lock()

        def receive(application: str, *, event: Any, **_: object) -> None:
            assert inside.acquire(blocking=False), "called while it runs"
            task = getattr(event, "task", None)
            seen.append((task.id, task.state.name) if task else ("s", event.kind.name))
            inside.release()

        for signal in (signals.task_added, signals.task_running, signals.task_succeeded):
            signal.connect(receive)
        signals.session_drained.connect(receive)
        failed: list[object] = []
        signals.handler_failed.connect(lambda sender, error, **_: failed.append(error))
        looked_for = 20
        with Reactor(connection=engine_connection) as reactor:
            informer = RecordingInformer()
            reactor.register(informer).wait_synced(LIMIT)
            for number in range(1, looked_for + 1):
                engine.add_task("s")
                engine.start("s", str(number))
                engine.succeed("s", str(number))
            eventually(lambda: ("s", "DRAINED") in seen, "the drain")
            assert len(threads()) <= 2
        assert failed == []
        ends = [number for number, state in seen if state == "SUCCEED"]
        assert sorted(set(ends), key=int) == [str(one) for one in range(1, looked_for + 1)]
        last = max(index for index, one in enumerate(seen) if one[1] == "SUCCEED")
        assert last < len(seen) - 1 - seen[::-1].index(("s", "DRAINED")), "the drain is the last"


class TestRepeated:
    def test_one_that_always_fails_is_said_once_then_counted(
        self, engine: FakeEngine, engine_connection: Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each is counted by ``handler_failed`` as ever; the rest is said at the stop."""
        failed: list[object] = []

        def broken(application: str, *, event: Any, **_: object) -> None:
            event.no_such  # noqa: B018

        def note(sender: str, *, error: BaseException, **_: object) -> None:
            failed.append(error)

        with (
            signals.task_succeeded.connected_to(broken),
            signals.handler_failed.connected_to(note),
            Reactor(connection=engine_connection, plugins=()) as reactor,
        ):
            looked(reactor)
            ended(engine, 50)
            eventually(lambda: len(failed) == 50, "each")
            (record,) = [one for one in caplog.records if "broken" in one.getMessage()]
            assert record.exc_info
            assert "a TaskEvent has application, " in record.getMessage()
        last = [one.getMessage() for one in caplog.records if "broken" in one.getMessage()][-1]
        assert "(49 times" in last


class TestThreads:
    def test_one_for_each_receiver_from_its_first_event_to_its_disconnect(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        def first(sender: str, **_: object) -> None: ...

        def second(sender: str, **_: object) -> None: ...

        signals.task_added.connect(first)
        signals.task_updated.connect(first)
        signals.task_succeeded.connect(second)
        with Reactor(connection=engine_connection):
            assert threads() == []
            engine.add_task("s")
            eventually(lambda: len(threads(">.first")) == 1, "its thread")
            assert threads(">.second") == []
            ended(engine)
            eventually(lambda: threads(">.second"), "its thread")
            signals.task_added.disconnect(first)
            assert threads(">.first")
            signals.task_updated.disconnect(first)
            eventually(lambda: not threads(">.first"), "its end")
            assert threads(">.second")
        assert threads() == []

    def test_one_that_is_held_weakly_is_not_held_and_its_thread_ends(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: list[str] = []

        class Owner:
            def receive(self, sender: str, *, event: TaskEvent, **_: object) -> None:
                seen.append(event.task.id)

            async def receive_later(self, sender: str, *, event: TaskEvent, **_: object) -> None:
                seen.append(event.task.id)

        owner = Owner()
        signals.task_added.connect(owner.receive, weak=True)
        signals.task_added.connect(owner.receive_later, weak=True)
        with Reactor(connection=engine_connection):
            engine.add_task("s")
            eventually(lambda: len(seen) == 2, "the task")
            assert len(threads("Owner")) == 2
            del owner
            gc.collect()
            assert not signals.task_added.receivers, "nothing of ours held it"
            eventually(lambda: not threads("Owner"), "their ends")

    def test_one_that_is_connected_again_while_it_runs_is_not_called_twice_at_a_time(
        self, engine: FakeEngine, engine_connection: Connection, gate
    ) -> None:
        seen: list[str] = []
        inside, entered = threading.Lock(), threading.Event()

        def receive(sender: str, *, event: TaskEvent, **_: object) -> None:
            assert inside.acquire(blocking=False), "called while it runs"
            seen.append(event.task.id)
            entered.set()
            if event.task.id == "1":
                gate.wait(LIMIT)
            inside.release()

        failed: list[object] = []
        signals.handler_failed.connect(lambda sender, error, **_: failed.append(error))
        signals.task_added.connect(receive)
        witness = RecordingInformer()
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(witness).wait_synced(LIMIT)
            engine.add_task("s")
            assert entered.wait(LIMIT)
            for _ in range(3):
                signals.task_added.disconnect(receive)
                looked(reactor)  # the loop has seen that it is gone
                signals.task_added.connect(receive)
                looked(reactor)
            engine.add_task("s")
            witness.wait_for(lambda seen: len(seen.events) == 2, LIMIT)
            gate.set()
            eventually(lambda: seen == ["1", "2"], "what came after it was connected again")
            assert len(threads("receive")) == 1
            engine.add_task("s")
            eventually(lambda: seen == ["1", "2", "3"], "the third")
        assert failed == []

    def test_a_thread_that_cannot_start_is_tried_again_and_the_reactor_goes_on(
        self, engine: FakeEngine, engine_connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        start, refused = threading.Thread.start, threading.Event()

        def refusing(thread: threading.Thread) -> None:
            if thread.name.startswith("flamepy-signal-") and not refused.is_set():
                refused.set()
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refusing)
        signals.task_added.connect(lambda sender, event, **_: seen.append(event.task.id))
        with Reactor(connection=engine_connection) as reactor:
            engine.add_task("s")
            assert refused.wait(LIMIT)
            eventually(lambda: seen == ["1"], "it is told without another event")
            assert str(reactor.state) == "running"


class TestQueues:
    def test_a_slow_one_loses_no_end_and_its_queue_stays_bounded(
        self, engine: FakeEngine, engine_connection: Connection, gate, monkeypatch
    ) -> None:
        monkeypatch.setattr(receivers, "OPTIONS", Options(queue_size=5))
        ends, overflows = list[int](), list[str]()

        @signals.task_updated.connect
        def slow(application: str, *, event: TaskEvent, **_: object) -> None:
            gate.wait(LIMIT)
            if event.task.state.is_terminal:
                ends.append(int(event.task.id))

        signals.handler_failed.connect(slow)  # whose queue has no room for these
        signals.queue_overflow.connect(lambda sender, informer, **_: overflows.append(informer))
        everything = RecordingInformer()
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(everything)
            for number in range(1, 51):
                engine.add_task("s")
                engine.succeed("s", str(number))
            everything.wait_for(lambda seen: len(seen.terminal()) == 50, LIMIT)
            sender = reactor._sender
            assert sender is not None
            for _ in range(100):
                for signal in [one for one in signals.namespace.values() if one.droppable]:
                    sender.send(signal, "x", informer="x")
            (one,) = [one for one in sender._all() if one.name.endswith("slow")]
            assert len(one.worker.mailbox) <= 5 + 3, "events and a few markers"
            signals.handler_failed.disconnect(slow)
            gate.set()
            eventually(lambda: sorted(ends) == list(range(1, 51)), "fifty ends, each once")
        assert "x" in overflows, "another one that has room gets it"
        assert [name for name in overflows if name != "x"] == [one.name]

    def test_what_it_is_not_connected_to_takes_no_place(
        self, engine: FakeEngine, engine_connection: Connection, gate, monkeypatch
    ) -> None:
        monkeypatch.setattr(receivers, "OPTIONS", Options(queue_size=2))
        failed, overflows = list[str](), list[object]()

        def receive(application: str, *, event: TaskEvent, **_: object) -> None:
            gate.wait(LIMIT)
            failed.append(event.task.id)

        signals.task_failed.connect(receive, sender="fake")
        signals.queue_overflow.connect(lambda sender, **_: overflows.append(sender))
        everything = RecordingInformer()
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(everything).wait_synced(LIMIT)  # signals are of what comes after
            for number in (1, 2):
                engine.add_task("s")
                engine.fail("s", str(number), "no")
            ended(engine, 20)
            everything.wait_for(lambda seen: len(seen.terminal()) == 22, LIMIT)
            gate.set()
            eventually(lambda: failed == ["1", "2"], "both failures")
        assert overflows == []

    def test_what_is_sent_right_after_a_connect_arrives_and_in_order(
        self, engine: FakeEngine, engine_connection: Connection, gate
    ) -> None:
        """Also where the loop has not seen the new receiver yet."""
        seen: list[int] = []
        with Reactor(connection=engine_connection) as reactor:
            sender, loop = reactor._sender, engine_connection.link.reactor
            assert sender is not None
            assert loop is not None
            loop.call_soon(gate.wait, LIMIT)

            @signals.queue_overflow.connect
            def receive(endpoint: str, *, queue_size: int, **_: object) -> None:
                seen.append(queue_size)

            for number in range(100):
                sender.send(signals.queue_overflow, "x", queue_size=number, endpoint="x")
                if number == 50:
                    gate.set()
            eventually(lambda: seen == list(range(100)), "all, in order")


class TestStops:
    def test_one_that_hangs_takes_nothing_from_the_others(
        self, engine: FakeEngine, engine_connection: Connection, gate, caplog
    ) -> None:
        """What the others have queued is delivered, and what fails then is reported."""
        slowly, seen, failed, stopped = threading.Event(), list[str](), list[str](), list[object]()

        def hangs(sender: str, **_: object) -> None:
            gate.wait(LIMIT)

        def queues(sender: str, *, event: TaskEvent, **_: object) -> None:
            slowly.wait(LIMIT)
            seen.append(event.task.id)
            raise ValueError("mine")

        def report(sender: str, *, callback: str, **_: object) -> None:
            failed.append(callback)

        signals.task_added.connect(hangs)
        signals.task_added.connect(queues)
        signals.handler_failed.connect(report)
        signals.reactor_stopped.connect(lambda sender, **_: stopped.append(sender))
        reactor = Reactor(connection=engine_connection).start()
        for _ in range(5):
            engine.add_task("s")
        threading.Timer(0.3, slowly.set).start()
        reactor.stop(3.0)
        assert seen == ["1", "2", "3", "4", "5"]
        assert len(failed) == 5
        assert stopped == [engine.endpoint]
        assert "still runs" in caplog.text
        gate.set()
        eventually(lambda: not threads(), "the end of the one that hung")
        assert len(seen) == 5

    def test_a_stop_without_time_drops_what_is_queued(
        self, engine: FakeEngine, engine_connection: Connection, gate
    ) -> None:
        seen: list[str] = []

        def receive(sender: str, *, event: TaskEvent, **_: object) -> None:
            seen.append(event.task.id)
            gate.wait(LIMIT)

        signals.task_added.connect(receive)
        reactor = Reactor(connection=engine_connection).start()
        for _ in range(5):
            engine.add_task("s")
        eventually(lambda: seen, "the first one")
        reactor.stop(0.0)
        gate.set()
        eventually(lambda: not threads(), "its end")
        assert len(seen) == 1

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_two_receivers_that_stop_the_reactor_wait_for_neither(
        self, engine: FakeEngine, engine_connection: Connection, asynchronous: bool
    ) -> None:
        reactor = Reactor(connection=engine_connection)
        both = threading.Barrier(2)

        def receiver() -> Callable[..., None]:
            def receive(sender: str, **_: object) -> None:
                both.wait(LIMIT)
                reactor.stop(LIMIT)

            async def receive_async(sender: str, **_: object) -> None:
                receive(sender)

            return receive_async if asynchronous else receive

        for _ in range(2):
            signals.task_added.connect(receiver())
        reactor.start()
        engine.add_task("s")
        assert reactor.join(10)

    def test_an_abort_waits_for_none(
        self, engine: FakeEngine, engine_connection: Connection, gate
    ) -> None:
        entered = threading.Event()

        def hangs(sender: str, **_: object) -> None:
            entered.set()
            gate.wait(LIMIT)

        signals.task_added.connect(hangs)
        reactor = Reactor(connection=engine_connection).start()
        engine.add_task("s")
        assert entered.wait(LIMIT)
        stopping = threading.Thread(target=reactor.stop, args=(600.0,))
        stopping.start()
        eventually(lambda: reactor._signals_left.receivers, "the stop to have come to signals")
        reactor.abort()
        stopping.join(LIMIT)
        assert not stopping.is_alive()

    def test_a_reactor_that_is_started_anew_sends_again(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: list[str] = []
        signals.task_added.connect(lambda sender, event, **_: seen.append(event.task.id))
        for number in (1, 2, 3):
            with Reactor(connection=engine_connection):
                engine.add_task("s")
                eventually(lambda number=number: len(seen) == number, "the task")
        assert seen == ["1", "2", "3"]


class TestWhatIsSent:
    """Live events, unless the reactor says otherwise."""

    def told_of(self, engine: FakeEngine, seen: list[str]) -> None:
        """Create a task; wait until it is told."""
        number = engine.add_task("s")
        eventually(lambda: number in seen, "the new task")

    def watching(self) -> list[str]:
        seen: list[str] = []
        signals.task_added.connect(lambda sender, event, **_: seen.append(event.task.id))
        signals.session_opened.connect(lambda sender, event, **_: seen.append(event.session.id))
        return seen

    @pytest.mark.parametrize(
        ("replay", "told"),
        [(None, []), ("none", []), ("active", ["2", "s"]), ("all", ["1", "2", "s"])],
    )
    def test_history_is_sent_only_where_that_was_asked_for(
        self, engine: FakeEngine, engine_connection: Connection, replay: str | None, told: list[str]
    ) -> None:
        ended(engine)
        engine.add_task("s")
        seen = self.watching()
        options = {} if replay is None else {"signal_replay": replay}
        with Reactor(connection=engine_connection, **options) as reactor:
            reactor.register(RecordingInformer()).wait_synced(LIMIT)
            self.told_of(engine, seen)
        assert sorted(seen) == sorted([*told, "3"])

    @pytest.mark.parametrize("value", ["every", None, True, ["all"]])
    def test_another_word_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="signal_replay must be one of 'all', "):
            Reactor(signal_replay=value)

    def test_what_was_there_is_told_when_it_changes(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        engine.add_task("s")
        seen: list[tuple[str, bool]] = []

        def receive(sender: str, *, event: TaskEvent, **_: object) -> None:
            seen.append((event.task.state.name, event.initial))

        signals.task_updated.connect(receive)
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(RecordingInformer()).wait_synced(LIMIT)
            engine.fail("s", "1", "no")
            eventually(lambda: seen, "its end")
        assert seen == [("FAILED", False)]

    def test_what_is_done_right_after_a_start_is_no_history(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen = self.watching()
        for number in range(1, 11):
            with Reactor(connection=engine_connection):
                engine.add_session(f"new-{number}")
                engine.add_task("s")
                wanted = [str(number), f"new-{number}"]
                eventually(lambda wanted=wanted: set(wanted) <= set(seen), f"{wanted}")
        assert len(seen) == 20, "each once"

    def test_what_is_done_right_after_a_connect_is_no_history_beside_an_informer(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        with Reactor(connection=engine_connection) as reactor:
            reactor.register(RecordingInformer()).wait_synced(LIMIT)
            for number in range(1, 11):
                seen = list[str]()

                def receive(
                    sender: str, *, event: TaskEvent, seen: list[str] = seen, **_: object
                ) -> None:
                    seen.append(event.task.id)

                with signals.task_succeeded.connected_to(receive):
                    ended(engine)
                    eventually(lambda: str(number) in seen, "the new task")  # noqa: B023

    def test_an_engine_that_is_away_delays_no_start(self) -> None:
        seen = self.watching()
        reactor = Reactor(endpoint="http://127.0.0.1:9")
        reactor.start()
        reactor.stop(0.0)
        assert seen == []

    def test_a_session_is_selected_by_its_id(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: list[tuple[str, str]] = []

        def receive(application: str, *, event: Any, **_: object) -> None:
            seen.append((application, getattr(event, "key", "")))

        engine.add_session("other")
        for signal in (signals.task_added, signals.session_closed):
            signal.connect(receive, sender="s")
        with Reactor(connection=engine_connection):
            for session in ("other", "s"):
                engine.add_task(session)
                engine_connection.close_session(session)
            eventually(lambda: len(seen) == 2, "its task and its close")
        assert {application for application, _ in seen} == {"fake"}
        assert all("other" not in key for _, key in seen)

    def test_an_argument_in_the_place_of_the_sender(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: dict[str, object] = {}

        @signals.reactor_started.connect
        def started(reactor: Reactor, endpoint: str, **_: object) -> None:
            seen["reactor"], seen["endpoint"] = reactor, endpoint

        @signals.task_added.connect
        def added(event: TaskEvent, **_: object) -> None:
            seen["event"] = event

        class Owner:
            def failed(self, error: BaseException, **_: object) -> None:
                seen["error"] = error

        @signals.task_added.connect
        def raising(application: str, **_: object) -> None:
            seen["application"] = application
            raise ValueError("mine")

        signals.handler_failed.connect(Owner().failed)
        with Reactor(connection=engine_connection) as reactor:
            engine.add_task("s")
            eventually(lambda: len(seen) == 5, "all of them")
        assert seen["reactor"] is reactor
        assert seen["endpoint"] == engine.endpoint
        assert isinstance(seen["event"], TaskEvent)
        assert isinstance(seen["error"], ValueError)
        assert seen["application"] == "fake"


def test_many_connects_and_disconnects_while_events_flow() -> None:
    """Each of many threads gets what happens while it is connected; nothing is left behind."""
    errors: list[BaseException] = []
    with (
        ScriptedConnection() as connection,
        Reactor(connection=connection, plugins=(), poll_interval=0.01) as reactor,
    ):
        connection.do(lambda source: source.add_session("s"))
        reactor.register(_Quiet()).wait_synced(LIMIT)

        def work() -> None:
            try:
                for _ in range(20):
                    seen = threading.Event()
                    receive = lambda sender, seen=seen, **_: seen.set()  # noqa: E731
                    with signals.task_succeeded.connected_to(receive):
                        connection.do(lambda source: source.succeed("s", source.add_task("s")))
                        assert seen.wait(LIMIT)
            except BaseException as error:
                errors.append(error)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for one in workers:
            one.start()
        for one in workers:
            one.join(4 * LIMIT)
        eventually(lambda: not threads(), "the ends of their threads")
        sender = reactor._sender
        assert sender is not None
        assert not sender._all()
    assert errors == []


class _Quiet(TaskInformer):
    def on_terminal(self, event: TaskEvent) -> None: ...
