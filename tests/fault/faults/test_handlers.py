"""Faults of the informers themselves: they raise, are slow, hang, call back, cannot keep up.

Fault 29 is in ``unit/informers/test_lifecycle``, 30 in ``unit/informers/test_signals``.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import FlameError
from flamepy.informers import Reactor, ReactorState, Registration, TaskEvent, TaskInformer, signals
from flamepy.testing import FakeEngine, RecordingInformer, ScriptedConnection
from flamepy.types import Task, TaskState

LIMIT = 30.0


@pytest.fixture
def scripted() -> Iterator[tuple[ScriptedConnection, Reactor]]:
    """A reactor without an engine, for many events in a short time."""
    with (
        ScriptedConnection() as connection,
        Reactor(connection=connection, plugins=()) as reactor,
    ):
        connection.do(lambda source: source.add_session("s"))
        yield connection, reactor


def worked(engine: FakeEngine, count: int) -> None:
    """Create so many tasks and let them succeed."""
    for _ in range(count):
        engine.succeed("s", engine.add_task("s"))


class TestRaising:
    def test_fault_12_one_that_raises_each_time_is_counted_and_told_and_disturbs_nobody(
        self, engine: FakeEngine, reactor: Reactor, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Raising(RecordingInformer):
            def on_update(self, task: Task) -> None:
                super().on_update(task)
                raise ValueError("mine")

        told: list[tuple[str, str]] = []

        def note(sender: str, *, informer: str, callback: str, **_: object) -> None:
            told.append((informer, callback))

        first, raising, last = RecordingInformer(), Raising(), RecordingInformer()
        with signals.handler_failed.connected_to(note):
            for one in (first, raising, last):
                reactor.register(one, uid=f"{id(one)}", name=type(one).__name__)
            worked(engine, 5)
            for one in (first, raising, last):
                one.wait_for(lambda seen: len(seen.terminal()) == 5, LIMIT)
            middle = reactor.registrations[1]
            eventually(lambda: middle.stats.failures == len(raising.updates), "each failure")
            eventually(lambda: len(told) == len(raising.updates), "a signal for each")
        assert set(told) == {("Raising", "on_update")}
        assert [one.stats.failures for one in reactor.registrations[::2]] == [0, 0]
        assert len(raising.errors) == len(raising.updates), "its own on_error gets them"
        assert reactor.state is ReactorState.RUNNING
        assert "ValueError" in caplog.text

    @pytest.mark.parametrize("how", ["plain", "async"])
    @pytest.mark.parametrize(
        "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
    )
    def test_fault_13_what_is_no_exception_is_isolated_as_well(
        self, engine: FakeEngine, reactor: Reactor, error: type[BaseException], how: str
    ) -> None:
        class Plain(TaskInformer):
            def on_terminal(self, event: TaskEvent) -> None:
                raise error

        class Async(TaskInformer):
            async def on_terminal(self, event: TaskEvent) -> None:
                raise error

        registration = reactor.register(Plain() if how == "plain" else Async())
        witness = RecordingInformer()
        reactor.register(witness)
        worked(engine, 3)
        witness.wait_for(lambda seen: len(seen.terminal()) == 3, LIMIT)
        eventually(lambda: registration.stats.failures == 3, "each of the three")
        assert reactor.state is ReactorState.RUNNING

    def test_fault_32_what_error_callbacks_raise_is_logged_once_and_goes_no_further(
        self,
        engine: FakeEngine,
        connection: Connection,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """``on_error``, receivers of ``handler_failed`` and ``on_retry`` observers raise, too."""

        class Raising(TaskInformer):
            def on_terminal(self, event: TaskEvent) -> None:
                raise ValueError("first")

            def on_error(self, error: FlameError) -> None:
                raise ValueError("second")

        received = Counter[str]()

        def raising(sender: str, **_: object) -> None:
            received["handler_failed"] += 1
            raise ValueError("third")

        def observer(details: object) -> None:
            received["on_retry"] += 1
            raise ValueError("fourth")

        undo = connection.on_retry(observer)
        with (
            signals.handler_failed.connected_to(raising),
            Reactor(connection=connection, plugins=()) as reactor,
        ):
            registration = reactor.register(Raising())
            witness = RecordingInformer()
            reactor.register(witness)
            worked(engine, 1)
            witness.wait_for(lambda seen: len(seen.terminal()) == 1, LIMIT)
            eventually(lambda: registration.stats.failures >= 2, "both failures")
            eventually(lambda: received["handler_failed"] >= 2, "the signal of both")
            worked(engine, 1)
            witness.wait_for(lambda seen: len(seen.terminal()) == 2, LIMIT)
            eventually(lambda: registration.stats.failures == 4, "both failures again")
            eventually(lambda: received["handler_failed"] == 4, "and no signal of a signal")
        undo()
        for text in ("first", "second"):
            assert sum(f"ValueError('{text}')" in one.getMessage() for one in caplog.records) == 2


class TestSlow:
    def test_fault_14_a_slow_one_is_bounded_and_delays_nobody(
        self, scripted: tuple[ScriptedConnection, Reactor]
    ) -> None:
        """Ten thousand events, a tenth of a second each; everybody else is through at once."""
        connection, reactor = scripted
        enough = threading.Event()

        class Slow(TaskInformer):
            def __init__(self) -> None:
                self.told: list[TaskEvent] = []

            def on_transition(self, event: TaskEvent) -> None:
                enough.wait(0.1)
                self.told.append(event)

        slow, fast = Slow(), RecordingInformer()
        registration = reactor.register(slow, queue_size=100)
        reactor.register(fast)
        reactor.wait_synced(LIMIT)
        connection.do(lambda source: source.add_tasks("s", 5000))
        fast.wait_for(lambda seen: len(seen.events) == 5000, 60)
        connection.do(lambda source: [source.succeed("s", str(one)) for one in range(1, 5001)])
        fast.wait_for(lambda seen: len(seen.terminal()) == 5000, 60)
        assert len(slow.told) < 5000, "it was waited for"
        assert len(registration.worker.mailbox) <= 100 + 3, "events and a few markers"
        assert registration.stats.queued > 4000, "what found no place is counted"
        enough.set()
        ends = lambda: [one.task.id for one in slow.told if one.task.state.is_terminal]  # noqa: E731
        eventually(lambda: len(ends()) >= 5000, "every end")
        assert len(ends()) == len(set(ends()))
        stats = registration.stats
        assert stats.delivered + stats.coalesced == len(fast.events)

    def test_fault_15_one_that_hangs_is_told_with_its_stack_and_does_not_hold_up_the_stop(
        self, engine: FakeEngine, connection: Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate, slow = threading.Event(), threading.Event()
        told: list[dict[str, object]] = []

        class Hanging(TaskInformer):
            def on_terminal(self, event: TaskEvent) -> None:
                gate.wait()

        def note(sender: str, **details: object) -> None:
            told.append(details)
            slow.set()

        with signals.handler_slow.connected_to(note):
            reactor = Reactor(connection=connection, plugins=()).start()
            reactor.register(Hanging(), timeout=0.1)
            worked(engine, 2)
            assert slow.wait(LIMIT)
            stopping = threading.Thread(target=reactor.stop, args=(0.3,))
            stopping.start()
            stopping.join(LIMIT)  # for ever, if the stop waited for it
            assert not stopping.is_alive()
            assert reactor.state is ReactorState.STOPPED
            gate.set()
        assert len(told) == 1
        assert told[0]["callback"] == "on_terminal"
        assert "gate.wait()" in str(told[0]["stack"])
        assert "has been running for" in caplog.text

    def test_fault_17_a_queue_that_overflows_loses_no_end_and_counts_what_it_left_out(
        self, scripted: tuple[ScriptedConnection, Reactor]
    ) -> None:
        """A hundred thousand updates and a queue of a hundred."""
        connection, reactor = scripted
        tasks, rounds = 1000, 50
        overflows: list[str] = []
        gate, blocked = threading.Event(), threading.Event()

        class Blocked(TaskInformer):
            def __init__(self) -> None:
                self.ends: Counter[str] = Counter()

            def on_transition(self, event: TaskEvent) -> None:
                blocked.set()
                gate.wait(120)
                if event.task.state.is_terminal:
                    self.ends[event.task.id] += 1

        class Counting(TaskInformer):
            count = 0

            def on_batch(self, events: list[TaskEvent]) -> None:
                self.count += len(events)

        def note(sender: str, *, informer: str, **_: object) -> None:
            overflows.append(informer)

        narrow, wide = Blocked(), Counting()
        with signals.queue_overflow.connected_to(note):
            registration = reactor.register(narrow, queue_size=100)
            reactor.register(wide, queue_size=1_000_000, batch_size=1000, batch_delay=0.01)
            connection.do(lambda source: source.add_tasks("s", tasks))
            assert blocked.wait(LIMIT)
            hub = reactor._hub
            assert hub is not None

            async def updates() -> int:
                """Show each task again and again, as polls and streams would."""
                return await show(hub, connection, tasks, rounds)

            shown = connection.run(updates())
            eventually(lambda: wide.count >= shown, "all of it", limit=60)
            assert len(registration.worker.mailbox) <= 100 + 3
            assert tasks <= registration.stats.queued <= tasks + 100 + 3, "each that is owed, once"
            gate.set()
            eventually(lambda: len(narrow.ends) == tasks, "every end", limit=60)
            eventually(lambda: "Blocked" in overflows, "the signal")
        assert set(narrow.ends.values()) == {1}
        stats = registration.stats
        assert stats.delivered + stats.coalesced == wide.count == shown
        assert shown > 100_000


async def show(hub: object, connection: ScriptedConnection, tasks: int, rounds: int) -> int:
    """Let every task run and wait in turn, then end; return how many events that makes."""
    from dataclasses import replace

    from flamepy.watching.hub import Hub
    from flamepy.watching.state.events import EventSource, Window

    assert isinstance(hub, Hub)
    present = [await connection.source.get_task("s", str(one)) for one in range(1, tasks + 1)]
    states = [TaskState.RUNNING, TaskState.PENDING] * rounds + [TaskState.SUCCEED]
    time = hub.now()
    for state in states:
        time = max(time, hub.now())
        for task in present:
            moved = replace(task, state=state)
            hub._reader.report(moved, Window(time, time), EventSource.WATCH, True)
        if state is TaskState.SUCCEED:
            for task in present:
                connection.source.succeed("s", task.id)
        await asyncio.sleep(0)
    return tasks * (1 + len(states))


class TestCallingBack:
    """An informer may do to its reactor, and its connection, whatever others may."""

    @pytest.mark.parametrize(
        "what", ["stop", "remove itself", "remove another", "register", "read", "submit"]
    )
    def test_fault_16_a_callback_may_call_back(
        self, engine: FakeEngine, connection: Connection, what: str
    ) -> None:
        reactor = Reactor(connection=connection, plugins=()).start()
        done, errors = threading.Event(), []
        other = reactor.register(RecordingInformer(), uid="other")
        held: list[Registration] = []
        session = connection.get_session("s")
        acts: dict[str, Callable[[TaskEvent], object]] = {
            "stop": lambda event: reactor.stop(1000.0),  # not for itself
            "remove itself": lambda event: held[0].remove(),
            "remove another": lambda event: other.remove(wait=True, timeout=LIMIT),
            "register": lambda event: reactor.register(RecordingInformer()).wait_synced(LIMIT),
            "read": lambda event: reactor.tasks.get("s", event.task.id),
            "submit": lambda event: session.get_task(session.run(b"more").task_id),
        }

        class Calling(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                if done.is_set():
                    return
                try:
                    acts[what](event)
                except BaseException as error:
                    errors.append(error)
                finally:
                    done.set()

        held.append(reactor.register(Calling()))
        engine.add_task("s")
        assert done.wait(LIMIT)
        assert errors == []
        if what == "stop":
            assert reactor.join(LIMIT)
        else:
            assert reactor.state is ReactorState.RUNNING
        reactor.stop()
        assert reactor.state is ReactorState.STOPPED
