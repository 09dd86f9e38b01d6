"""G1 to G6 of docs/delivery.md: what is told of a task, in which order, how often."""

from __future__ import annotations

import dataclasses
import random
import threading
from itertools import pairwise

import pytest
from support.waiting import eventually

from flamepy.informers import Reactor, TaskEvent, TaskInformer, signals
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import TaskState

ORDER = {"PENDING": 0, "RUNNING": 1, "SUCCEED": 2, "FAILED": 2, "CANCELLED": 2}


def states(informer: RecordingInformer, task: str) -> list[str]:
    return [one.task.state.name for one in informer.events if one.task.id == task]


class TestG1Order:
    """One after another, and per task in the order of observation."""

    def test_callbacks_never_overlap_and_follow_each_task(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        inside, overlaps = threading.Lock(), []
        seen: list[TaskEvent] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                if not inside.acquire(blocking=False):
                    overlaps.append(event)
                    return
                threading.Event().wait(0.001)
                seen.append(event)
                inside.release()

        reactor.register(Mine())
        chance = random.Random(1)
        for number in range(1, 31):
            engine.add_task("s")
            if chance.random() < 0.7:
                engine.start("s", str(number))
            if chance.random() < 0.7:
                engine.succeed("s", str(number))
        for number in range(1, 31):
            engine.succeed("s", str(number))
        eventually(lambda: sum(one.task.state.is_terminal for one in seen) == 30, "thirty ends")
        assert not overlaps
        for number in range(1, 31):
            told = [one for one in seen if one.task.id == str(number)]
            ranks = [ORDER[one.task.state.name] for one in told]
            assert ranks == sorted(set(ranks))
            assert [one.sequence for one in told] == sorted(one.sequence for one in told)
            for before, after in pairwise(told):
                assert after.old is not None
                assert after.old.state == before.task.state

    def test_what_waits_in_the_queue_keeps_its_order(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        gate, seen = threading.Event(), []

        class Waiting(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(60)
                seen.append((event.task.id, event.task.state.name))

        watcher = RecordingInformer()
        reactor.register(watcher)
        reactor.register(Waiting())
        for _ in range(3):
            engine.add_task("s")
        watcher.wait_for(lambda told: len(told.events) == 3, 30)
        for move, count in ((engine.start, 6), (engine.succeed, 9)):
            for number in ("1", "2", "3"):
                move("s", number)
            watcher.wait_for(lambda told, count=count: len(told.events) == count, 30)
        gate.set()
        eventually(lambda: len(seen) == 9, "all nine")
        for number in ("1", "2", "3"):
            states = [state for task, state in seen if task == number]
            assert states == ["PENDING", "RUNNING", "SUCCEED"]


class TestG2Truth:
    """An ordered part of the true states; each end once; the first end is final."""

    def test_each_end_is_told_once_whatever_shows_it(
        self, engine: FakeEngine, reactor: Reactor, connection
    ) -> None:
        informer = RecordingInformer()
        reactor.register(informer)
        session = connection.get_session("s")
        futures = [session.run(b"x") for _ in range(20)]  # watched, polled and probed
        for future in futures:
            engine.start("s", future.task_id)
            engine.succeed("s", future.task_id, b"y")
        assert [future.result(30) for future in futures] == [b"y"] * 20
        informer.wait_for(lambda seen: len(seen.terminal()) == 20, 30)
        engine.add_task("s")
        informer.wait_for(lambda seen: bool(states(seen, "21")), 30)  # later polls told nothing new
        assert len(informer.terminal()) == len(set(informer.terminal())) == 20

    @pytest.mark.parametrize("second", ["failed", "runs again", "runs again and fails"])
    def test_an_end_that_the_engine_overwrites_stays_the_first(
        self, engine: FakeEngine, connection, second: str
    ) -> None:
        """Counters, lists of audits and GetTask show the second one; no informer gets it."""
        drifts: list[tuple[str, str]] = []

        def drifted(sender: str, *, event: TaskEvent, told: TaskState, **_: object) -> None:
            drifts.append((told.name, event.task.state.name))

        informer, newcomer = RecordingInformer(), RecordingInformer()
        with (
            signals.task_drift.connected_to(drifted),
            Reactor(connection=connection, audit=0.3) as reactor,
        ):
            reactor.register(informer).wait_synced(30)
            engine.add_task("s")
            engine.succeed("s", "1")
            informer.wait_for(lambda seen: bool(seen.terminal()), 30)
            if second.startswith("runs again"):
                engine.set_state("s", "1", TaskState.RUNNING)
                eventually(lambda: drifts[-1:] == [("SUCCEED", "RUNNING")], "the drift")
            if second != "runs again":
                engine.fail("s", "1", "late")
                eventually(lambda: drifts[-1:] == [("SUCCEED", "FAILED")], "the drift")
            lists = engine.calls["ListTask"]
            eventually(lambda: engine.calls["ListTask"] > lists + 1, "two audits more")
            assert connection.get_session("s").get_task("1").state != TaskState.SUCCEED
            reactor.register(newcomer).wait_synced(30)
            assert newcomer.terminal() == informer.terminal() == [("s", "1", "SUCCEED")]
            assert states(informer, "1")[-1] == "SUCCEED"
            task = reactor.tasks.get("s", "1")
            assert task is not None
            assert task.state is TaskState.SUCCEED


class TestG3Reading:
    """The store shows a state before a callback gets it; what is handed out is frozen."""

    def test_a_callback_reads_at_least_what_it_is_told(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        behind: list[TaskEvent] = []
        done = threading.Event()

        class Reading(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                known = reactor.tasks.get(event.task.session_id, event.task.id)
                if known is None or ORDER[known.state.name] < ORDER[event.task.state.name]:
                    behind.append(event)
                if event.task.id == "20" and event.task.state.is_terminal:
                    done.set()

        assert reactor.tasks.list() == []
        reactor.register(Reading())
        for number in range(1, 21):
            engine.add_task("s")
            engine.start("s", str(number))
            engine.succeed("s", str(number))
        assert done.wait(30)
        assert not behind

    def test_what_is_handed_out_cannot_be_changed(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        informer = RecordingInformer()
        reactor.register(informer)
        engine.add_task("s")
        informer.wait_for(lambda seen: bool(seen.events), 30)
        event = informer.events[0]
        for target, name in ((event, "task"), (event.task, "state")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(target, name, None)


class TestG4Backwards:
    """States may go back, and numbers without a name are kept."""

    def test_a_requeue_is_told_as_one(self, engine: FakeEngine, reactor: Reactor) -> None:
        informer = RecordingInformer()
        requeued: list[str] = []

        class Mine(TaskInformer):
            def on_requeued(self, event: TaskEvent) -> None:
                requeued.append(event.task.id)

        reactor.register(informer).wait_synced(30)
        reactor.register(Mine())
        engine.add_task("s")
        engine.start("s", "1")
        informer.wait_for(lambda seen: states(seen, "1")[-1:] == ["RUNNING"], 30)
        engine.requeue("s", "1")
        informer.wait_for(lambda seen: states(seen, "1")[-1:] == ["PENDING"], 30)
        assert informer.events[-1].is_requeue
        eventually(lambda: requeued == ["1"], "on_requeued")

    def test_a_state_without_a_name_is_kept(self, engine: FakeEngine, reactor: Reactor) -> None:
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(30)
        engine.add_task("s")
        engine.set_state("s", "1", 9)
        engine.add_task("s")
        informer.wait_for(lambda seen: "UNKNOWN_9" in states(seen, "1"), 30)
        assert not informer.errors


class TestG5Outage:
    """After an outage the differences are told, and no task is added twice."""

    def test_what_happened_meanwhile_is_told_once(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(30)
        for number in range(1, 11):
            engine.add_task("s")
            engine.start("s", str(number))
        informer.wait_for(lambda seen: len({one.task.id for one in seen.events}) == 10, 30)
        engine.kill()
        informer.wait_for(lambda seen: bool(seen.errors), 30)
        for number in range(1, 6):
            engine.succeed("s", str(number))
        for _ in range(5):
            engine.add_task("s")
        engine.restart()  # what ran is pending again
        informer.wait_for(lambda seen: len(seen.terminal()) == 5 and states(seen, "15") != [], 30)
        adds = [one.task.id for one in informer.events if one.kind.value == "added"]
        assert len(adds) == len(set(adds)) == 15
        assert len(informer.terminal()) == len(set(informer.terminal()))
        assert {one.epoch for one in informer.events} == {informer.events[0].epoch}


class TestG6Deletes:
    """What vanishes is deleted once, and it is said whether its end was known."""

    def test_each_task_of_a_vanished_session_once(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        informer = RecordingInformer()
        reactor.register(informer).wait_synced(30)
        for _ in range(2):
            engine.add_task("s")
        engine.succeed("s", "1")
        informer.wait_for(lambda seen: bool(seen.terminal()) and states(seen, "2") != [], 30)
        engine.drop_session("s")
        engine.add_session("t")
        engine.add_task("t")
        informer.wait_for(
            lambda seen: (
                any(one.task.session_id == "t" for one in seen.events)
                and sum(one.kind.value == "deleted" for one in seen.events) >= 2
            ),
            30,
        )
        gone = [one for one in informer.events if one.kind.value == "deleted"]
        assert {one.task.id: one.final_state_known for one in gone} == {"1": True, "2": False}
        assert len(gone) == 2
