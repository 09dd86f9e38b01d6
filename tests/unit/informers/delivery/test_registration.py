"""One informer's options, batches, hooks, reports and counters, without an engine."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.made import made_task
from support.waiting import eventually

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InternalError,
    InvalidArgumentError,
)
from flamepy.errors import InvalidStateError as Refused
from flamepy.informers import predicates
from flamepy.informers.delivery import starting
from flamepy.informers.delivery.inbox import LagMarker, Synced
from flamepy.informers.delivery.invocation import Failure, RunningCall
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.delivery.watchdog import Watchdog
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer, TemporaryError
from flamepy.informers.options import Options
from flamepy.types import ConnectionState, RetryPolicy, SessionInfo, SessionState, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.subscriptions import Scope


def event(number: int, state: TaskState = TaskState.PENDING) -> TaskEvent:
    return TaskEvent(kind=EventKind.ADDED, task=made_task(number, state), application="app")


class Noted:
    """What a registration told its reactor."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.told: list[str] = []
        self.hooks = Hooks(
            lambda _: self.told.append("removed"),
            self.failures.append,
            lambda _: self.told.append("synced"),
            lambda _: self.told.append("behind"),
        )


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def register(noted: Noted) -> Iterator[Callable[..., Registration]]:
    made: list[Registration] = []

    def make(informer: Informer, **options: Any) -> Registration:
        registration = Registration(informer, Scope(), Options(**options), hooks=noted.hooks)
        registration.begin()
        made.append(registration)
        return registration

    yield make
    for registration in made:
        registration.close(0.0)


class Seeing(TaskInformer):
    """Notes the numbers of the tasks that it is told of, and its hooks."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def start(self) -> None:
        self.seen.append("start")

    def close(self) -> None:
        self.seen.append("close")

    def on_transition(self, event: TaskEvent) -> None:
        self.seen.append(int(event.task.id))

    def on_synced(self) -> None:
        self.seen.append("synced")


class TestFilters:
    def test_a_transform_changes_or_drops_and_where_sees_what_it_made(self, register) -> None:
        def transform(event: TaskEvent) -> TaskEvent | None:
            number = int(event.task.id)
            return None if number == 2 else replace(event, task=made_task(number * 10))

        informer = Seeing()
        registration = register(
            informer, transform=transform, where=lambda event: event.task.id != "30"
        )
        for number in range(1, 5):
            registration.put(event(number))
        registration.close(30)
        assert informer.seen == ["start", 10, 40, "close"]
        assert registration.stats.delivered == 2

    @pytest.mark.parametrize("name", ["where", "transform"])
    def test_one_that_raises_leaves_the_event_out_and_is_told(
        self, register, noted, caplog, name
    ) -> None:
        errors: list[FlameError] = []

        class Mine(Seeing):
            def on_error(self, error: FlameError) -> None:
                errors.append(error)

        def raising(event: TaskEvent) -> TaskEvent:
            if event.task.id == "1":
                raise SystemExit(1)
            return event

        informer = Mine()
        registration = register(informer, **{name: raising})
        registration.put(event(1))
        registration.put(event(2))
        registration.close(30)
        assert informer.seen == ["start", 2, "close"]
        assert [(one.callback, type(one.error)) for one in noted.failures] == [(name, SystemExit)]
        assert (len(errors), registration.stats.failures, len(caplog.records)) == (1, 1, 1)

    @pytest.mark.parametrize("name", ["where", "transform"])
    def test_one_that_raises_is_tried_again_and_loses_no_event(self, register, noted, name) -> None:
        raised: list[TaskEvent] = []

        def once(event: TaskEvent) -> TaskEvent:
            if event.task.id == "1" and not raised:
                raised.append(event)
                raise ConnectionError
            return event

        informer = Seeing()
        policy = RetryPolicy(attempts=3, wait_initial=0.001, wait_jitter=0)
        registration = register(informer, retry=policy, **{name: once})
        registration.put(event(1))
        registration.put(event(2))
        registration.close(30)
        first, *between, last = informer.seen
        assert (first, set(between), last) == ("start", {1, 2}, "close")
        assert noted.failures == []
        assert (registration.stats.failures, registration.stats.retries) == (0, 1)

    def test_they_are_asked_of_sessions_too(self, register) -> None:
        class Sessions(SessionInformer):
            def __init__(self) -> None:
                self.seen: list[str] = []

            def on_opened(self, event: SessionEvent) -> None:
                self.seen.append(event.session.id)

        informer = Sessions()
        registration = register(
            informer,
            where=lambda event: event.session.id != "hidden",
            transform=lambda event: None if event.session.id == "dropped" else event,
        )
        made = datetime(2025, 1, 1, tzinfo=timezone.utc)
        for name in ("hidden", "shown", "dropped"):
            session = SessionInfo(name, "a", SessionState.OPEN, made)
            registration.put(SessionEvent(kind=SessionEventKind.OPENED, session=session))
        registration.close(30)
        assert informer.seen == ["shown"]

    def test_a_predicate_of_tasks_alone_is_refused_for_sessions(self, register) -> None:
        class Sessions(SessionInformer):
            def on_opened(self, event: SessionEvent) -> None:
                """Refused before."""

        with pytest.raises(InvalidArgumentError, match="state_in"):
            register(Sessions(), where=predicates.state_in(TaskState.FAILED))

    def test_a_transform_that_returns_something_else_is_told(self, register, noted) -> None:
        informer = Seeing()
        registration = register(informer, transform=lambda event: event.task)
        registration.put(event(1))
        registration.close(30)
        assert informer.seen == ["start", "close"]
        assert "TaskEvent or None" in str(noted.failures[0].error)

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("queue_size", 0, "queue_size must be 1 or more, got 0"),
            ("batch_size", 0, "batch_size must be 1 or more"),
            ("batch_delay", -1.0, "batch_delay must be seconds, 0 or more"),
            ("timeout", 0.0, "None reports no slow callback"),
            ("replay", "some", "'all', 'active', 'none', got 'some'"),
            ("where", "state", "where must be callable"),
            ("transform", 3, "transform must be callable"),
        ],
    )
    def test_a_wrong_option_is_refused_with_the_rule(self, name, value, says) -> None:
        with pytest.raises(InvalidArgumentError, match=says):
            Options(**{name: value})


class Batching(TaskInformer):
    """Notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.synced_after = -1

    def on_batch(self, events: Sequence[TaskEvent]) -> None:
        self.batches.append([int(one.task.id) for one in events])

    def on_synced(self) -> None:
        self.synced_after = len(self.batches)


class TestBatches:
    def test_a_full_one_is_told_at_once_and_the_rest_at_the_end(self, register) -> None:
        informer = Batching()
        registration = register(informer, batch_size=3, batch_delay=3600)
        for number in range(1, 8):
            registration.put(event(number))
        eventually(lambda: len(informer.batches) == 2, "two full ones")
        assert registration.stats.delivered == 6
        registration.close(30)
        assert informer.batches == [[1, 2, 3], [4, 5, 6], [7]]
        assert registration.stats.delivered == 7

    def test_one_that_is_not_full_is_told_when_it_is_old_enough(self, register) -> None:
        informer = Batching()
        registration = register(informer, batch_size=100, batch_delay=0.01)
        registration.put(event(1))
        eventually(lambda: informer.batches == [[1]], "the batch")
        registration.put(event(2))
        eventually(lambda: informer.batches == [[1], [2]], "the next one")

    def test_synced_comes_behind_what_was_there(self, register) -> None:
        informer = Batching()
        registration = register(informer, batch_size=100, batch_delay=3600)
        registration.put(event(1))
        registration.put(Synced())
        registration.wait_synced(30)
        assert (informer.batches, informer.synced_after) == ([[1]], 1)

    def test_a_stop_that_drops_drops_the_batch_as_well(self, register) -> None:
        informer = Batching()
        registration = register(informer, batch_delay=3600)
        registration.put(event(1))
        eventually(lambda: registration.stats.queued == 1 and not len(registration.worker.mailbox))
        registration.close(0.0)
        eventually(lambda: not registration.worker.thread.is_alive(), "its end")
        assert informer.batches == []


class TestHooks:
    def test_start_before_the_first_and_close_behind_the_last(self, register) -> None:
        informer = Seeing()
        registration = register(informer)
        registration.put(event(1))
        registration.put(Synced())
        registration.close(30)
        assert informer.seen == ["start", 1, "synced", "close"]

    def test_close_is_called_after_a_stop_that_dropped_everything(self, register) -> None:
        gate, entered = threading.Event(), threading.Event()

        class Slow(Seeing):
            def on_transition(self, event: TaskEvent) -> None:
                super().on_transition(event)
                entered.set()
                gate.wait(30)

        informer = Slow()
        registration = register(informer)
        registration.put(event(1))
        registration.put(event(2))
        assert entered.wait(30)
        registration.remove()
        gate.set()
        eventually(lambda: informer.seen == ["start", 1, "close"], "the close")

    def test_close_is_called_where_nothing_ever_came(self, register) -> None:
        seen: list[str] = []

        class Mine(TaskInformer):
            def close(self) -> None:
                seen.append(threading.current_thread().name)

        register(Mine(), name="mine").close(30)
        assert seen == ["flamepy-handler-mine"]

    def test_one_that_never_began_is_not_closed(self, noted) -> None:
        informer = Seeing()
        Registration(informer, Scope(), Options(), hooks=noted.hooks).close(30)
        assert informer.seen == []

    def test_an_async_close_runs_although_the_stop_cancels_coroutines(self, register) -> None:
        seen: list[str] = []

        class Mine(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                seen.append("added")

            async def close(self) -> None:
                await asyncio.sleep(0.001)
                seen.append("closed")

        registration = register(Mine())
        registration.put(event(1))
        eventually(lambda: seen == ["added"], "the event")
        registration.remove()
        eventually(lambda: seen == ["added", "closed"], "the close")

    def test_a_close_that_raises_is_reported_and_changes_nothing_else(
        self, register, noted, caplog
    ) -> None:
        class Mine(Seeing):
            def close(self) -> None:
                raise SystemExit("close")

        informer = Mine()
        registration = register(informer)
        registration.put(event(1))
        assert registration.close(30)
        assert informer.seen == ["start", 1]
        assert [one.callback for one in noted.failures] == ["close"]
        assert len(caplog.records) == 1

    def test_events_wait_until_the_start_works(self, register, noted, caplog, monkeypatch) -> None:
        monkeypatch.setattr(starting, "FIRST_DELAY", 0.01)
        repaired = threading.Event()

        class Mine(Seeing):
            def start(self) -> None:
                if not repaired.is_set():
                    Path("/no/such/folder/file").read_text()
                super().start()

        informer = Mine()
        registration = register(informer)
        registration.put(event(1))
        eventually(lambda: len(noted.failures) > 2, "three attempts")
        assert registration.state.startswith("not started: start raised FileNotFoundError: ")
        assert "/no/such/folder/file" in registration.state
        assert registration.is_held
        with pytest.raises(DeadlineExceededError, match="start raised FileNotFoundError"):
            registration.wait_synced(0.05)
        assert informer.seen == []
        repaired.set()
        eventually(lambda: informer.seen == ["start", 1], "the event")
        assert registration.state == "active"
        assert registration.close(30)
        assert informer.seen == ["start", 1, "close"]
        assert {one.callback for one in noted.failures} == {"start"}
        assert "FileNotFoundError" in caplog.text

    def test_what_waits_says_for_which_callback(self, register, noted, caplog) -> None:
        gate = threading.Event()

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                gate.wait(60)

        registration = register(Mine())
        registration.put(event(1))
        registration.put(event(2))
        eventually(lambda: registration.running, "the callback")
        runs = r"on_transition has been running for \d+\.\d s at "
        with pytest.raises(DeadlineExceededError, match=f"was not synced within .* s; {runs}"):
            registration.wait_synced(0.05)
        explained = registration.explain(event(2).session_id, "2")
        assert re.search(f"1 waiting for this: {runs}{event(1).key}", explained.text)
        assert not registration.close(0.05)
        assert re.search(f"1 events dropped: it still runs a callback: {runs}", caplog.text)
        assert "gate.wait(60)" in caplog.text, "its stack"
        gate.set()

    def test_a_stop_does_not_wait_for_a_start_that_fails(self, register, noted, caplog) -> None:
        class Mine(Seeing):
            def start(self) -> None:
                raise ValueError("start")

        informer = Mine()
        registration = register(informer)
        registration.put(event(1))
        eventually(lambda: noted.failures, "the attempt")
        eventually(lambda: registration.is_held)
        registration.close(600)
        assert informer.seen == [], "neither events nor a close without a start"


class TestOrder:
    def test_everything_comes_in_the_order_in_which_it_was_put(self, register, noted) -> None:
        seen: list[object] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                seen.append(event.task.id)

            def on_connection(self, state: ConnectionState) -> None:
                seen.append(state)

            def on_error(self, error: FlameError) -> None:
                seen.append(error)

        error = InternalError("away")
        registration = register(Mine())
        items = [event(1), error, ConnectionState.DISCONNECTED, event(2), LagMarker(), Synced()]
        for item in items:
            registration.put(item)
        registration.close(30)
        assert seen == ["1", error, ConnectionState.DISCONNECTED, "2"]
        assert noted.told == ["behind", "synced"]

    def test_a_callback_that_removes_its_informer_is_the_last_one(self, register) -> None:
        seen: list[str] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                seen.append("transition")
                registration.remove()

            def on_update(self, task: object) -> None:
                seen.append("update")

        registration = register(Mine())
        for number in range(100):
            registration.put(event(number))
        eventually(lambda: not registration.worker.thread.is_alive(), "its end")
        assert seen == ["transition"]


class TestSynced:
    def test_it_is_awaited_with_a_limit(self, register) -> None:
        with pytest.raises(DeadlineExceededError, match=r"within 0\.01 s; is the engine reachable"):
            register(Seeing(), name="mine").wait_synced(0.0099998)

    def test_who_waits_is_let_go_by_a_remove_and_by_a_failure(self, register) -> None:
        removed, failed = register(Seeing()), register(Seeing())
        error = InternalError("a bug")
        threading.Timer(0.01, removed.remove).start()
        with pytest.raises(Refused, match="was removed"):
            removed.wait_synced(30)
        threading.Timer(0.01, failed.close, (0.0, error)).start()
        with pytest.raises(Refused, match=r"ended with its reactor: .*a bug") as refused:
            failed.wait_synced(30)
        assert refused.value.__cause__ is error

    @pytest.mark.parametrize("kind", ["plain", "async"])
    @pytest.mark.parametrize("what", ["wait_synced", "remove"])
    def test_waiting_for_oneself_is_refused(self, register, kind, what) -> None:
        refused: list[Refused] = []

        def wait() -> None:
            try:
                if what == "remove":
                    registration.remove(wait=True)
                else:
                    registration.wait_synced()
            except Refused as error:
                refused.append(error)

        class Plain(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                wait()

        class Async(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                wait()

        registration = register(Plain() if kind == "plain" else Async())
        registration.put(event(1))
        eventually(lambda: bool(refused), "the refusal")
        assert "own callback" in refused[0].message
        assert registration.active


class TestWatchdog:
    """A callback that runs longer than its timeout is reported once, with where it is."""

    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_once_with_its_stack_its_age_and_its_task(self, register, caplog, kind) -> None:
        entered, gate = threading.Event(), threading.Event()

        class Plain(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                entered.set()
                gate.wait(30)

        class Async(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                entered.set()
                while not gate.is_set():
                    with suppress(asyncio.CancelledError):  # it is cancelled once it is reported
                        await asyncio.sleep(0.001)

        registration = register(Plain() if kind == "plain" else Async(), name="mine", timeout=5.0)
        now = [0.0]
        told: list[tuple[RunningCall, float, str]] = []
        watchdog = Watchdog(
            lambda: [registration],
            lambda one, running, age, stack: told.append((running, age, stack)),
            clock=lambda: now[0],
        )
        watchdog.look()
        registration.put(event(7))
        assert entered.wait(30)
        running = registration.running
        assert running is not None
        now[0] = running.since + 4.9
        watchdog.look()
        assert told == []
        now[0] = running.since + 6.0
        watchdog.look()
        watchdog.look()
        ((reported, age, stack),) = told
        assert (reported, round(age, 3)) == (running, 6.0)
        assert "in on_added" in stack
        assert len(caplog.records) == 1
        assert caplog.records[0].levelno == logging.WARNING
        assert all(one in caplog.text for one in ("mine.on_added", "6.0 s", "s1/7@", "in on_added"))
        assert registration.stats.slow == 1
        gate.set()
        registration.close(30)

    def test_none_for_never(self, register) -> None:
        entered, gate = threading.Event(), threading.Event()

        class Mine(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                entered.set()
                gate.wait(30)

        registration = register(Mine(), timeout=None)
        registration.put(event(1))
        assert entered.wait(30)
        told: list[object] = []
        clock = float("1e12")
        Watchdog(lambda: [registration], lambda *a: told.append(a), clock=lambda: clock).look()
        assert told == []
        gate.set()


class TestDepth:
    """``stats.queued`` counts what was accepted and not finished, wherever it is."""

    def test_what_the_thread_has_taken_counts_and_has_an_age(self, register) -> None:
        turns, entered = threading.Semaphore(0), threading.Semaphore(0)

        class Slow(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                entered.release()
                turns.acquire(timeout=30)

        registration = register(Slow(), queue_size=100)
        assert registration.stats.oldest_age == 0.0
        for number in range(40):
            registration.put(event(number))
        ages = []
        for left in range(40, 0, -1):
            assert entered.acquire(timeout=30)
            stats = registration.stats
            assert stats.queued == left
            ages.append(stats.oldest_age)
            turns.release()
        assert min(ages) > 0
        registration.close(30)
        assert (registration.stats.queued, registration.stats.oldest_age) == (0, 0.0)

    def test_a_batch_that_is_collected_counts_and_so_does_one_that_is_told(self, register) -> None:
        entered, gate = threading.Event(), threading.Event()

        class Batches(TaskInformer):
            def on_batch(self, events: list[TaskEvent]) -> None:
                entered.set()
                gate.wait(30)

        registration = register(
            Batches(), batch_size=5, batch_delay=1e6, where=lambda event: event.task.id != "3"
        )
        for number in range(1, 5):
            registration.put(event(number))
        eventually(lambda: registration.stats.queued == 3, "all but the one that is left out")
        for number in range(5, 9):
            registration.put(event(number))
        assert entered.wait(30)
        eventually(lambda: registration.stats.queued == 7, "five are told, two wait")
        gate.set()
        registration.close(30)
        assert registration.stats.queued == 0

    def test_a_batch_larger_than_the_queue_is_told_when_the_queue_is_full(self, register) -> None:
        told: list[int] = []

        class Batches(TaskInformer):
            def on_batch(self, events: list[TaskEvent]) -> None:
                told.append(len(events))

        registration = register(Batches(), batch_size=100, batch_delay=1e6, queue_size=4)
        for number in range(8):
            eventually(lambda: registration.worker.mailbox.room, "a place")
            assert registration.put(event(number))
        eventually(lambda: told == [4, 4], "two batches")

    def test_one_that_waits_to_be_tried_again_counts(self, register) -> None:
        tried = threading.Event()

        class Raising(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                tried.set()
                raise TemporaryError(delay=1e6)

        registration = register(Raising())
        registration.put(event(1))
        assert tried.wait(30)
        eventually(lambda: registration.running is None, "the pause")
        assert registration.stats.queued == 1
        registration.close(0.0)
        eventually(lambda: registration.stats.queued == 0, "nothing waits after a stop")


def test_the_counters(register) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Mine(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            entered.set()
            gate.wait(30)
            raise ValueError

    registration = register(Mine(), queue_size=2)
    registration.put(event(1))
    assert entered.wait(30)
    for state in (TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED):
        changed = replace(event(2, state), kind=EventKind.UPDATED)
        registration.put(changed)
        registration.put(replace(event(3, state), kind=EventKind.UPDATED))
    stats = registration.stats
    assert (stats.delivered, stats.queued, stats.coalesced) == (1, 3, 4)
    assert stats.running_for is not None
    gate.set()
    registration.close(30)
    stats = registration.stats
    assert (stats.delivered, stats.queued, stats.failures) == (3, 0, 1)
    assert stats.running_for is None
    assert stats.handler_seconds > 0
