"""G7 to G9 of docs/delivery.md: slow and broken informers, full queues, newcomers."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.informers import Reactor, TaskEvent, TaskInformer, signals
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task


class TestG7Isolation:
    """An informer that raises, is slow or hangs delays nobody."""

    def test_others_the_reactor_and_calls_go_on(
        self, engine: FakeEngine, reactor: Reactor, connection
    ) -> None:
        gate = threading.Event()

        class Hanging(TaskInformer):
            def on_update(self, task: Task) -> None:
                gate.wait(60)

        class Raising(TaskInformer):
            def on_update(self, task: Task) -> None:
                raise SystemExit(3)

        try:
            reactor.register(Hanging())
            reactor.register(Raising())
            with signals.task_updated.connected_to(_raise):
                informer = RecordingInformer()
                reactor.register(informer)
                for number in range(1, 51):
                    engine.add_task("s")
                    engine.succeed("s", str(number))
                informer.wait_for(lambda seen: len(seen.terminal()) == 50, 30)
                assert connection.get_session("s").succeed == 50
                future = connection.get_session("s").run(b"x")
                engine.succeed("s", future.task_id, b"y")
                assert future.result(30) == b"y"
        finally:
            gate.set()

    def test_a_coroutine_that_blocks_is_reported_and_holds_up_no_other_informer(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        gate, slow = threading.Event(), []

        class Blocking(TaskInformer):
            async def on_terminal(self, event: TaskEvent) -> None:
                gate.wait(60)

        class Other(TaskInformer):
            def __init__(self) -> None:
                self.told: list[str] = []

            async def on_terminal(self, event: TaskEvent) -> None:
                self.told.append(event.task.id)

        def note(sender: str, *, informer: str, stack: str, **_: object) -> None:
            slow.append((informer, "gate.wait" in stack))

        other = Other()
        try:
            with signals.handler_slow.connected_to(note):
                reactor.register(other, timeout=0.05)
                reactor.register(Blocking(), timeout=0.05)
                for number in range(1, 6):
                    engine.add_task("s")
                    engine.succeed("s", str(number))
                eventually(lambda: len(other.told) == 5, "the other informer's events")
                eventually(lambda: slow, "the report")
        finally:
            gate.set()
        assert set(slow) == {("Blocking", True)}

    def test_a_receiver_that_hangs_delays_no_other_one(
        self, engine: FakeEngine, connection
    ) -> None:
        gate, told = threading.Event(), list[str]()

        def hang(sender: str, **_: object) -> None:
            gate.wait(60)

        def note(sender: str, *, event: TaskEvent, **_: object) -> None:
            told.append(event.task.id)

        try:
            with (
                signals.task_added.connected_to(hang),
                signals.reactor_started.connected_to(hang),
                signals.task_added.connected_to(note),
                Reactor(connection=connection),
            ):
                for _ in range(10):
                    engine.add_task("s")
                eventually(lambda: sorted(told, key=int) == [str(one) for one in range(1, 11)])
                gate.set()
        finally:
            gate.set()


def _raise(sender: str, **_: object) -> None:
    raise ValueError("mine")


class TestG8Overflow:
    """A full queue folds and catches up: no end is lost or repeated, and the counts are exact."""

    def test_ends_survive_a_queue_of_ten(self, engine: FakeEngine, reactor: Reactor) -> None:
        gate, told = threading.Event(), Counter[tuple[str, str]]()
        overflows: list[str] = []

        class Slow(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(60)
                told[event.task.id, event.task.state.name] += 1

        def note(sender: str, *, informer: str, **_: object) -> None:
            overflows.append(informer)

        everything = RecordingInformer()
        reactor.register(everything)
        with signals.queue_overflow.connected_to(note):
            registration = reactor.register(Slow(), queue_size=10)
            for number in range(1, 201):
                engine.add_task("s")
                engine.start("s", str(number))
                engine.succeed("s", str(number))
            everything.wait_for(lambda seen: len(seen.terminal()) == 200, 60)
            assert len(registration.worker.mailbox) <= 10 + 3, "events and a few markers"
            assert registration.stats.queued >= 200, "what found no place is counted"
            gate.set()
            eventually(lambda: sum(key[1] == "SUCCEED" for key in told) == 200, "200 ends")
            eventually(lambda: overflows == ["Slow"] or len(overflows) > 1, "the signal")
        assert all(count == 1 for key, count in told.items() if key[1] == "SUCCEED")
        eventually(lambda: registration.stats.queued == 0, "nothing waits")
        stats = registration.stats
        assert stats.delivered + stats.coalesced == len(everything.events)

    def test_a_delete_is_late_and_not_lost(self, engine: FakeEngine, reactor: Reactor) -> None:
        gate = threading.Event()

        class Slow(RecordingInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(60)
                super().on_transition(event)

        everything, slow = RecordingInformer(), Slow()
        reactor.register(everything)
        reactor.register(slow, queue_size=2)
        for number in range(1, 21):
            engine.add_task("s")
            engine.succeed("s", str(number))
        everything.wait_for(lambda seen: len(seen.terminal()) == 20, 30)
        engine.drop_session("s")
        everything.wait_for(lambda seen: seen.events[-1].kind.value == "deleted", 30)
        gate.set()

        def gone() -> list[str]:
            return [one.task.id for one in slow.events if one.kind.value == "deleted"]

        eventually(lambda: len(gone()) >= 20, "twenty deletes")
        assert len(gone()) == len(set(gone())) == 20
        ends = [
            one.task.id
            for one in slow.events
            if one.kind.value != "deleted" and one.task.state.is_terminal
        ]
        assert len(ends) == len(set(ends)) == 20, "each end before its delete"

    def test_a_delete_does_not_swallow_an_end_that_waits(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        """The queue is exactly full of ends when their session goes."""
        gate, entered = threading.Event(), threading.Event()

        class Slow(RecordingInformer):
            def on_transition(self, event: TaskEvent) -> None:
                if event.task.session_id == "blocker":
                    entered.set()
                    gate.wait(60)
                super().on_transition(event)

        everything, slow = RecordingInformer(), Slow()
        reactor.register(everything)
        reactor.register(slow, queue_size=10).wait_synced(30)
        for _ in range(10):
            engine.add_task("s")
        slow.wait_for(lambda seen: len(seen.events) == 10, 30)
        engine.add_session("blocker")
        engine.add_task("blocker")
        assert entered.wait(30)
        for number in range(1, 11):
            engine.succeed("s", str(number))
        everything.wait_for(lambda seen: len(seen.terminal()) == 10, 30)
        engine.drop_session("s")
        everything.wait_for(lambda seen: seen.events[-1].kind.value == "deleted", 30)
        gate.set()
        eventually(
            lambda: sum(one.kind.value == "deleted" for one in slow.events) == 10, "ten deletes"
        )
        told = [one for one in slow.events if one.kind.value != "deleted"]
        ends = [one.task.id for one in told if one.task.state.is_terminal]
        assert sorted(ends, key=int) == [str(number) for number in range(1, 11)]


class TestG9Newcomers:
    """First what is there, flagged, then the changes; no gap, no repetition."""

    def test_one_that_comes_in_the_middle_of_everything(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        first = RecordingInformer()
        reactor.register(first).wait_synced(30)
        stop = threading.Event()
        done: list[int] = []

        def work() -> None:
            number = 0
            while not stop.is_set() and number < 400:
                number += 1
                engine.add_task("s")
                engine.start("s", str(number))
                engine.succeed("s", str(number))
            done.append(number)

        worker = threading.Thread(target=work)
        worker.start()
        later = []
        for size in (10_000, 5, 10_000, 5):
            informer = RecordingInformer()
            reactor.register(informer, queue_size=size).wait_synced(30)
            assert all(one.initial for one in informer.events if one.source.value == "replay")
            later.append(informer)
        stop.set()
        worker.join(60)
        for informer in (first, *later):
            informer.wait_for(lambda seen: len(seen.terminal()) >= done[0], 60)
            ends = informer.terminal()
            assert len(ends) == len(set(ends)) == done[0]
            adds = [one.task.id for one in informer.events if one.kind.value == "added"]
            assert len(adds) == len(set(adds)) == done[0]

    def test_the_three_replays(self, engine: FakeEngine, reactor: Reactor) -> None:
        for _ in range(2):
            engine.add_task("s")
        engine.succeed("s", "1")
        informers = {name: RecordingInformer() for name in ("all", "active", "none")}
        for name, informer in informers.items():
            reactor.register(informer, replay=name).wait_synced(30)
        told = {name: {one.task.id for one in seen.events} for name, seen in informers.items()}
        assert told == {"all": {"1", "2"}, "active": {"2"}, "none": set()}
        engine.succeed("s", "2")
        for informer in informers.values():
            informer.wait_for(lambda seen: ("s", "2", "SUCCEED") in seen.terminal(), 30)

    @pytest.mark.parametrize("replay", ["active", "none"])
    @pytest.mark.parametrize("checkpoint", [False, True])
    @pytest.mark.parametrize("polled", [False, True])
    def test_what_is_created_after_the_registration_is_delivered_however_fast_it_ends(
        self,
        engine: FakeEngine,
        connection: Connection,
        tmp_path: Path,
        *,
        replay: str,
        checkpoint: bool,
        polled: bool,
    ) -> None:
        def run() -> str:
            made = engine.add_task("s")
            engine.start("s", made)
            engine.succeed("s", made)
            return made

        run()
        file = str(tmp_path / "state.db") if checkpoint else None
        with Reactor(connection=connection, checkpoint=file) as reactor:
            if polled:
                reactor.register(RecordingInformer(), uid="other").wait_synced(30)
            for number in range(5):
                informer = RecordingInformer()
                reactor.register(informer, uid=f"i{number}", replay=replay)
                made = run()
                informer.wait_for(
                    lambda seen, made=made: ("s", made, "SUCCEED") in seen.terminal(), 30
                )
                assert {one.task.id for one in informer.events} == {made}
        early = RecordingInformer()
        reactor = Reactor(connection=connection)
        reactor.register(early, replay=replay)
        with reactor:
            made = run()
            early.wait_for(lambda seen: ("s", made, "SUCCEED") in seen.terminal(), 30)

    @pytest.mark.parametrize("replay", ["active", "none"])
    @pytest.mark.parametrize("before", [False, True])
    def test_so_it_is_by_a_stream(
        self, engine: FakeEngine, connection: Connection, *, replay: str, before: bool
    ) -> None:
        engine.succeed("s", engine.add_task("s"))
        reactor = Reactor(connection=connection)
        early = reactor.stream(replay=replay) if before else None
        with reactor:
            stream = early or reactor.stream(replay=replay)
            made = engine.add_task("s")
            engine.succeed("s", made)
            first = next(stream)
            assert isinstance(first, TaskEvent)
            assert first.task.id == made
            stream.close()

    def test_synced_comes_behind_the_last_of_what_was_there(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        for _ in range(50):
            engine.add_task("s")
        at_sync: list[int] = []

        class Counting(RecordingInformer):
            def on_synced(self) -> None:
                at_sync.append(len(self.events))

        for size in (10_000, 7):
            reactor.register(Counting(), queue_size=size, uid=f"c{size}").wait_synced(30)
        assert at_sync == [50, 50]

    def test_receivers_of_signals_get_live_events_only(
        self, engine: FakeEngine, connection
    ) -> None:
        """An alert pages nobody for what failed before it was there."""
        paged: list[str] = []

        def alert(sender: str, *, event: TaskEvent, **_: object) -> None:
            paged.append(event.task.id)

        for number in range(1, 301):
            engine.add_task("s")
            engine.fail("s", str(number), "long ago")
        with signals.task_failed.connected_to(alert), Reactor(connection=connection) as reactor:
            reactor.register(RecordingInformer()).wait_synced(30)
            engine.fail("s", engine.add_task("s"), "now")
            eventually(lambda: paged, "the alert")
        assert paged == ["301"]
