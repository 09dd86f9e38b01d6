"""G20 to G22 and G25 of docs/delivery.md: workers and keys, waits, deadlines, live events first."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import DeadlineExceededError, InformerError
from flamepy.informers import Reactor, TaskEvent, TaskInformer, TemporaryError, signals
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import RetryPolicy

LIMIT = 30


class TestG20KeysSideBySide:
    """Of each key one event at a time, in order; those of others beside them."""

    @pytest.mark.parametrize("kind", ["threads", "coroutines"])
    def test_sessions_run_beside_each_other_and_each_in_order(
        self, engine: FakeEngine, reactor: Reactor, kind: str
    ) -> None:
        names = ["s", "t", "u", "v"]
        seen: dict[str, list[str]] = defaultdict(list)
        running: set[str] = set()
        everybody = threading.Event()

        def begin(event: TaskEvent) -> None:
            assert event.session_id not in running, "two of a session at once"
            running.add(event.session_id)
            seen[event.session_id].append(event.task.id)
            if running == set(names):
                everybody.set()

        class Plain(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                begin(event)
                everybody.wait(LIMIT)
                running.discard(event.session_id)

        class Coroutine(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                begin(event)
                while not everybody.is_set():
                    await asyncio.sleep(0.01)
                running.discard(event.session_id)

        for name in names[1:]:
            engine.add_session(name)
        informer = Plain() if kind == "threads" else Coroutine()
        registration = reactor.register(informer, workers=4, key="session")
        for _ in range(5):
            for name in names:
                engine.add_task(name)
        eventually(lambda: sum(map(len, seen.values())) == 20, "every task")
        assert seen == {name: ["1", "2", "3", "4", "5"] for name in names}
        assert registration.stats.failures == 0

    def test_a_full_queue_loses_no_end(self, engine: FakeEngine, reactor: Reactor) -> None:
        gate = threading.Event()

        class Slow(RecordingInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(LIMIT)
                super().on_transition(event)

        informer = Slow()
        registration = reactor.register(informer, workers=3, queue_size=4)
        for number in range(1, 51):
            engine.add_task("s")
            engine.succeed("s", str(number))
        eventually(lambda: registration.stats.coalesced > 0, "an overflow")
        gate.set()
        informer.wait_for(lambda seen: len(seen.terminal()) == 50, LIMIT)
        eventually(lambda: registration.stats.queued == 0, "nothing to wait")
        assert len(set(informer.terminal())) == len(informer.terminal()) == 50

    def test_synced_is_said_when_everything_was_handled(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        for _ in range(20):
            engine.add_task("s")
        handled: list[str] = []
        first = threading.Event()

        class Mine(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                if event.task.id == "1":
                    first.wait(LIMIT)
                handled.append(event.task.id)

            def on_synced(self) -> None:
                handled.append("synced")

        registration = reactor.register(Mine(), workers=4)
        eventually(lambda: len(handled) == 19, "all but one")
        assert not registration.synced
        first.set()
        registration.wait_synced(LIMIT)
        assert handled[-1] == "synced"

    def test_a_restart_repeats_nothing_that_was_handled(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        """Handled out of order, and one cut off: that one comes again, and no other."""
        for number in range(1, 31):
            engine.add_task("s")
            engine.succeed("s", str(number))
        gate, cut = threading.Event(), threading.Event()
        handled: list[str] = []

        class Mine(TaskInformer):
            def on_terminal(self, event: TaskEvent) -> None:
                if event.task.id == "3" and not cut.is_set():
                    cut.set()
                    gate.wait(LIMIT)
                    raise TemporaryError(delay=1e6)  # so that it has not been handled
                handled.append(event.task.id)

        def life() -> Reactor:
            made = Reactor(connection=connection, checkpoint=tmp_path / "state.db", plugins=())
            made.register(Mine(), uid="mine", workers=4)
            return made.start()

        first = life()
        eventually(lambda: len(handled) == 29, "all but one")
        gate.set()
        first.stop(0.0)
        assert len(set(handled)) == 29
        second = life()
        second.wait_synced(LIMIT)
        second.stop(LIMIT)
        assert handled[29:] == ["3"]


class TestG25LiveBeforeInitial:
    def test_what_happens_now_is_not_after_everything_that_was_there(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        for _ in range(300):
            engine.add_task("s")
        engine.add_session("t")
        gate, seen = threading.Event(), list[tuple[str, bool]]()

        class Slow(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(LIMIT)
                seen.append((event.session_id, event.initial))

        known: list[str] = []

        class Witness(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                known.append(event.key)

        reactor.register(Witness())
        eventually(lambda: len(known) == 300, "what is there")
        registration = reactor.register(Slow(), queue_size=20)
        eventually(lambda: registration.stats.queued > 10, "the first of them to be queued")
        for count in (301, 302):  # the first one may be in the poll that decides what is initial
            engine.add_task("t")
            eventually(lambda count=count: len(known) == count, "the new one")
        gate.set()
        registration.wait_synced(LIMIT)
        eventually(lambda: len(seen) == 302, "all of them")
        assert seen.index(("t", False)) < 100


class TestG21AWaitHoldsItsKeyAlone:
    @pytest.mark.parametrize("workers", [1, 4])
    def test_other_tasks_are_handled_meanwhile(
        self, engine: FakeEngine, reactor: Reactor, workers: int
    ) -> None:
        seen: list[str] = []

        class Mine(TaskInformer):
            def on_terminal(self, event: TaskEvent) -> None:
                if event.task.id == "1":
                    raise TemporaryError(delay=1e6)
                seen.append(event.task.id)

        registration = reactor.register(Mine(), workers=workers)
        for number in range(1, 6):
            engine.add_task("s")
            engine.succeed("s", str(number))
        eventually(lambda: sorted(seen) == ["2", "3", "4", "5"], "the others")
        assert registration.stats.queued >= 1, "it, and what comes when it has been handled"
        registration.remove()


class TestG22DeadlinesHold:
    def test_a_coroutine_is_cancelled_and_tried_again(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        ended: list[str] = []

        class Mine(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                try:
                    await asyncio.sleep(0 if ended else 1e6)
                    ended.append("well")
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise

        policy = RetryPolicy(attempts=2, wait_initial=0.001, wait_jitter=0)
        registration = reactor.register(Mine(), timeout=0.05, retry=policy)
        engine.add_task("s")
        eventually(lambda: ended == ["cancelled", "well"], "the second attempt")
        assert registration.stats.failures == 0

    def test_without_a_retry_it_has_failed(self, engine: FakeEngine, reactor: Reactor) -> None:
        errors: list[InformerError] = []

        class Mine(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                await asyncio.sleep(1e6)

            def on_error(self, error: object) -> None:
                assert isinstance(error, InformerError)
                errors.append(error)

        reactor.register(Mine(), timeout=0.05)
        engine.add_task("s")
        eventually(lambda: errors, "the error")
        assert isinstance(errors[0].__cause__, DeadlineExceededError)

    def test_a_stuck_thread_is_shown_and_replaced(
        self, engine: FakeEngine, reactor: Reactor
    ) -> None:
        gate, seen, slow = threading.Event(), list[str](), list[str]()

        class Mine(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                if event.task.id == "1":
                    gate.wait(LIMIT)
                seen.append(event.task.id)

        def note(sender: str, stack: str, **_: object) -> None:
            slow.append(stack)

        with signals.handler_slow.connected_to(note):
            reactor.register(Mine(), name="mine", timeout=0.05, on_stuck="replace")
            for _ in range(3):
                engine.add_task("s")
            eventually(lambda: sorted(seen) == ["2", "3"], "the others")
            eventually(lambda: slow, "the report")
            assert "gate.wait" in slow[0]
            health = reactor.health()
            assert health.stuck == ("mine",)
            assert health.to_dict()["stuck"] == ["mine"]
            gate.set()
            eventually(lambda: sorted(seen) == ["1", "2", "3"], "the stuck one")
        assert reactor.health().stuck == ()
