"""A reconciler runs each key that events name, with what is there now, until it succeeds."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers import (
    Backoff,
    PermanentError,
    Reactor,
    ReconcileContext,
    Reconciler,
    Result,
    TaskEvent,
    TemporaryError,
    signals,
)
from flamepy.testing import FakeEngine

SOON = Backoff(initial=0.01, maximum=0.02, jitter=0)


class Noting(Reconciler):
    """Notes each run: its key, and the totals that it saw."""

    backoff = SOON

    def __init__(self, act: Callable[[Any, ReconcileContext], Any] = lambda key, ctx: None) -> None:
        self.act = act
        self.seen: list[tuple[Any, int]] = []

    def reconcile(self, key: Any, ctx: ReconcileContext) -> Any:
        session = ctx.sessions.get(key) if isinstance(key, str) else None
        self.seen.append((key, session.counts.total if session else -1))
        return self.act(key, ctx)


class TestKeys:
    def test_everything_there_at_the_start_runs_once_and_then_what_changes(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        for _ in range(3):
            fake_engine.add_task("s")
        fake_engine.add_session("t")
        scale = Noting()
        running.register(scale)
        eventually(lambda: {key for key, _ in scale.seen} == {"s", "t"})
        assert Counter(key for key, _ in scale.seen) == {"s": 1, "t": 1}
        fake_engine.add_task("t")
        eventually(lambda: ("t", 1) in scale.seen)

    def test_a_session_that_is_gone_is_run_once_more_and_is_not_in_the_lister(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        scale = Noting()
        running.register(scale).wait_synced(20)
        fake_engine.drop_session("s")
        eventually(lambda: scale.seen and scale.seen[-1] == ("s", -1))

    def test_keys_are_the_users(self, fake_engine: FakeEngine, running: Reactor) -> None:
        class Tasks(Noting):
            def keys(self, event: Any) -> Any:
                return (event.session_id, event.task.id) if isinstance(event, TaskEvent) else None

        class Many(Noting):
            def keys(self, event: Any) -> Any:
                return [event.application, "all"]

        tasks, many = Tasks(), Many()
        fake_engine.add_task("s")
        running.register(tasks)
        running.register(many)
        eventually(lambda: {key for key, _ in tasks.seen} == {("s", "1")})
        eventually(lambda: {key for key, _ in many.seen} == {"fake", "all"})

    def test_events_while_a_key_runs_make_one_more_run(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        entered, gate = threading.Event(), threading.Event()

        def wait(key: Any, ctx: ReconcileContext) -> None:
            entered.set()
            gate.wait(30)

        scale = Noting(wait)
        running.register(scale).wait_synced(20)
        assert entered.wait(20)
        for _ in range(5):
            fake_engine.add_task("s")
        eventually(lambda: scale.stats.waiting == 1)
        gate.set()
        eventually(lambda: len(scale.seen) >= 2 and scale.seen[-1] == ("s", 5))
        eventually(lambda: scale.stats.running == scale.stats.waiting == 0)
        assert scale.stats.runs == len(scale.seen)

    def test_no_task_call_is_made_for_sessions_alone(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        class Sessions(Noting):
            watch_tasks = False

        scale = Sessions()
        fake_engine.add_task("s")
        running.register(scale)
        eventually(lambda: scale.seen)
        assert scale.seen[0] == ("s", 1)
        assert not {"ListTask", "WatchTask", "GetTask"} & set(fake_engine.calls)

    def test_a_key_can_be_added_by_hand(self, running: Reactor) -> None:
        scale = Noting()
        with pytest.raises(InvalidStateError, match="register it"):
            scale.enqueue("mine")
        running.register(scale).wait_synced(20)
        scale.enqueue("mine", after=0.01)
        eventually(lambda: ("mine", -1) in scale.seen)
        with pytest.raises(InvalidArgumentError, match="hashable"):
            scale.enqueue(["a"])  # type: ignore[arg-type]  # that is the test
        with pytest.raises(InvalidArgumentError, match="None"):
            scale.enqueue(None)


class TestErrors:
    def test_a_key_that_failed_is_run_again_until_it_succeeds(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        failures: list[int] = []

        def fail(key: Any, ctx: ReconcileContext) -> None:
            failures.append(ctx.failures)
            if len(failures) < 4:
                raise ValueError("not yet")

        reported: list[dict[str, Any]] = []
        with signals.handler_failed.connected_to(lambda sender, **v: reported.append(v)):
            scale = Noting(fail)
            running.register(scale, name="scale")
            eventually(lambda: failures == [0, 1, 2, 3])
            eventually(lambda: len(reported) == 3)
        assert {one["callback"] for one in reported} == {"reconcile"}
        assert [one["attempts"] for one in reported] == [1, 2, 3]
        assert scale.stats.failures == 3
        eventually(lambda: scale.stats.failing == 0)

    def test_a_permanent_error_waits_for_the_next_event(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        def fail(key: Any, ctx: ReconcileContext) -> None:
            raise PermanentError("never")

        scale = Noting(fail)
        running.register(scale)
        eventually(lambda: scale.stats.failures == 1)
        scale.enqueue("other")
        eventually(lambda: scale.stats.failures == 2)
        assert [key for key, _ in scale.seen] == ["s", "other"]
        fake_engine.add_task("s")
        eventually(lambda: scale.stats.failures >= 3)

    def test_a_temporary_error_says_how_long(self, running: Reactor) -> None:
        class Slow(Noting):
            backoff = Backoff(initial=1000, maximum=1000)

        def fail(key: Any, ctx: ReconcileContext) -> None:
            if not ctx.failures:
                raise TemporaryError("soon", delay=0.01)

        scale = Slow(fail)
        running.register(scale)
        eventually(lambda: scale.stats.runs == 2)

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
    def test_nothing_that_it_raises_ends_its_threads(self, running: Reactor, error) -> None:
        def fail(key: Any, ctx: ReconcileContext) -> None:
            if not ctx.failures:
                raise error

        scale = Noting(fail)
        running.register(scale)
        eventually(lambda: scale.stats.runs == 2)

    def test_a_wrong_answer_is_an_error(self, running: Reactor) -> None:
        errors: list[BaseException] = []

        class Wrong(Noting):
            def on_error(self, error: Any) -> None:
                errors.append(error)

        running.register(Wrong(lambda key, ctx: 5 if not ctx.failures else None))
        eventually(lambda: errors)
        assert "None or a Result, got 5" in str(errors[0])


class TestResults:
    def test_requeue_after_runs_the_key_without_an_event(self, running: Reactor) -> None:
        scale = Noting(lambda key, ctx: Result(requeue_after=0.01))
        running.register(scale)
        eventually(lambda: len(scale.seen) >= 5)

    def test_a_wrong_number_of_seconds_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="requeue_after"):
            Result(requeue_after=-1)

    def test_a_resync_runs_every_key(self, running: Reactor) -> None:
        class Often(Noting):
            resync = 0.02

        scale = Often()
        running.register(scale)
        eventually(lambda: len(scale.seen) >= 5)
        assert {key for key, _ in scale.seen} == {"s"}


class TestWorkers:
    def test_keys_run_side_by_side_and_never_one_twice(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        barrier = threading.Barrier(4, timeout=30)
        active: Counter[str] = Counter()
        twice: list[str] = []

        class Four(Noting):
            workers = 4

        def meet(key: str, ctx: ReconcileContext) -> None:
            active[key] += 1
            if active[key] > 1:
                twice.append(key)
            if not ctx.sessions.get(key).counts.total:  # type: ignore[union-attr]  # it is there
                barrier.wait()
            active[key] -= 1

        for name in "tuv":
            fake_engine.add_session(name)
        scale = Four(meet)
        running.register(scale)
        eventually(lambda: scale.stats.runs == 4)
        for _ in range(20):
            for name in "stuv":
                fake_engine.add_task(name)
        eventually(lambda: {("s", 20), ("t", 20), ("u", 20), ("v", 20)} <= set(scale.seen))
        assert twice == []

    def test_the_registration_may_ask_for_more(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        barrier, met = threading.Barrier(2, timeout=30), threading.Event()

        def meet(key: Any, ctx: ReconcileContext) -> None:
            if not met.is_set():
                barrier.wait()
                met.set()

        fake_engine.add_session("t")
        scale = Noting(meet)
        running.register(scale, workers=2)
        eventually(lambda: scale.stats.runs >= 2)

    def test_coroutines_share_one_loop_side_by_side(
        self, fake_engine: FakeEngine, running: Reactor
    ) -> None:
        loops: set[int] = set()
        met: list[str] = []

        class Four(Noting):
            workers = 4

        async def meet(key: str, ctx: ReconcileContext) -> Result:
            loops.add(id(asyncio.get_running_loop()))
            met.append(key)
            while len(met) < 4:
                await asyncio.sleep(0.001)
            return Result()

        for name in "tuv":
            fake_engine.add_session(name)
        scale = Four(meet)
        running.register(scale)
        eventually(lambda: scale.stats.runs >= 4)
        assert len(loops) == 1

    def test_runs_start_at_the_rate(self, running: Reactor) -> None:
        class Slow(Noting):
            rate = 0.001

        scale = Slow()
        running.register(scale).wait_synced(20)
        scale.enqueue("other")
        eventually(lambda: scale.stats.runs == 1 and scale.stats.waiting == 1)


class TestStops:
    def test_what_is_due_runs_before_the_stop_returns(
        self, fake_engine: FakeEngine, engine_connection: Connection
    ) -> None:
        with Reactor(connection=engine_connection) as reactor:
            scale = Noting()
            reactor.register(scale)
            reactor.wait_synced(20)
            fake_engine.add_session("last")
        assert "last" in {key for key, _ in scale.seen}

    def test_a_run_that_hangs_delays_the_stop_by_its_limit_alone(
        self, engine_connection: Connection
    ) -> None:
        gate, entered = threading.Event(), threading.Event()

        def hang(key: Any, ctx: ReconcileContext) -> None:
            entered.set()
            gate.wait(30)

        reactor = Reactor(connection=engine_connection).start()
        scale = Noting(hang)
        reactor.register(scale)
        assert entered.wait(20)
        scale.enqueue("later")
        reactor.stop(0.2)
        gate.set()
        eventually(lambda: not _threads(scale))
        assert [key for key, _ in scale.seen] == ["s"]

    def test_a_run_may_stop_its_own_reactor(self, engine_connection: Connection) -> None:
        reactor = Reactor(connection=engine_connection).start()
        scale = Noting(lambda key, ctx: ctx.reactor.stop(20))
        reactor.register(scale)
        assert reactor.join(20)
        eventually(lambda: not _threads(scale))

    def test_a_run_that_waits_on_stopping_ends_with_the_stop(
        self, engine_connection: Connection
    ) -> None:
        entered = threading.Event()

        def wait(key: Any, ctx: ReconcileContext) -> None:
            entered.set()
            ctx.stopping.wait(30)

        reactor = Reactor(connection=engine_connection).start()
        scale = Noting(wait)
        reactor.register(scale)
        assert entered.wait(20)
        reactor.stop(0.0)
        eventually(lambda: not _threads(scale))

    def test_removing_it_ends_its_threads(self, running: Reactor) -> None:
        scale = Noting()
        registration = running.register(scale)
        eventually(lambda: scale.seen)
        registration.remove(wait=True)
        eventually(lambda: not _threads(scale))


def _threads(scale: Reconciler) -> list[str]:
    name = type(scale).__name__
    return [one.name for one in threading.enumerate() if name in one.name]


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("workers", 0),
            ("workers", True),
            ("workers", "4"),
            ("resync", -1),
            ("rate", 0),
            ("rate", "fast"),
            ("backoff", 3),
        ],
    )
    def test_wrong_ones_are_refused_at_the_registration(
        self, running: Reactor, name: str, value: object
    ) -> None:
        scale = Noting()
        setattr(scale, name, value)
        with pytest.raises(InvalidArgumentError, match=name):
            running.register(scale)
        assert running.registrations == []

    def test_without_reconcile_it_is_refused(self, running: Reactor) -> None:
        class Empty(Reconciler):
            pass

        with pytest.raises(InvalidArgumentError, match="must define reconcile"):
            running.register(Empty())

    def test_a_reconcile_that_cannot_be_called_is_refused(self, running: Reactor) -> None:
        class Wrong(Reconciler):
            def reconcile(self, key: Any) -> None:  # type: ignore[override]  # that is the test
                pass

        with pytest.raises(InvalidArgumentError, match=r"wrong signature.*key, ctx"):
            running.register(Wrong())
