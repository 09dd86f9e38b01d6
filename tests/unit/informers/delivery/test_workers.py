"""One informer on several threads: of each key one event at a time, in order; nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.made import made_session, made_task
from support.waiting import eventually

from flamepy.errors import DeadlineExceededError, InformerError, InvalidArgumentError
from flamepy.informers.delivery.inbox import LagMarker, Synced
from flamepy.informers.delivery.invocation import Failure
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.delivery.watchdog import Watchdog
from flamepy.informers.informer import (
    Informer,
    PermanentError,
    SessionInformer,
    TaskInformer,
    TemporaryError,
)
from flamepy.informers.options import Options
from flamepy.informers.workers.worker_pool import Bell
from flamepy.types import ConnectionState, RetryPolicy, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.subscriptions import Scope

LIMIT = 30


def event(number: int, session: str = "s1", **more: Any) -> TaskEvent:
    task = made_task(number, TaskState.RUNNING, session=session)
    return replace(TaskEvent(kind=EventKind.UPDATED, task=task, application="app"), **more)


class Noted:
    """What a registration reported."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.synced = threading.Event()
        self.lagging = 0
        self.hooks = Hooks(
            lambda _: None, self.failures.append, lambda _: self.synced.set(), self._lag
        )

    def _lag(self, _: object) -> None:
        self.lagging += 1


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


class Watching(TaskInformer):
    """Notes what it receives by session, and how many run at the same time, by key and at all."""

    def __init__(self, key: Callable[[TaskEvent], object]) -> None:
        self.key = key
        self.seen: dict[object, list[int]] = defaultdict(list)
        self.now: Counter[object] = Counter()
        self.most_of_key = self.most = 0
        self.threads: set[str] = set()
        self._lock = threading.Lock()
        self.wait: Callable[[], object] = lambda: None

    def on_transition(self, event: TaskEvent) -> None:
        key = self.key(event)
        with self._lock:
            self.now[key] += 1
            self.most_of_key = max(self.most_of_key, self.now[key])
            self.most = max(self.most, self.now.total())
            self.seen[key].append(event.sequence)
            self.threads.add(threading.current_thread().name)
        self.wait()
        with self._lock:
            self.now[key] -= 1


def by_task(event: TaskEvent) -> object:
    return event.task.session_id, event.task.id


def by_session(event: TaskEvent) -> object:
    return event.task.session_id


def by_application(event: TaskEvent) -> object:
    return event.application


def by_parity(event: TaskEvent) -> object:
    return int(event.task.id) % 2


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "function"),
        [
            ("task", by_task),
            ("session", by_session),
            ("application", by_application),
            (by_parity, by_parity),
            (None, by_task),
        ],
    )
    def test_of_each_key_one_at_a_time_in_order(self, register, key, function) -> None:
        informer = Watching(function)
        registration = register(informer, workers=4, key=key)
        wanted: dict[object, list[int]] = defaultdict(list)
        for number in range(600):
            one = event(number % 7, f"s{number % 3}", sequence=number)
            wanted[function(one)].append(number)
            registration.put(one)
        assert registration.close(LIMIT)
        assert informer.seen == wanted
        assert informer.most_of_key == 1
        assert informer.most <= 4

    def test_different_keys_run_side_by_side_on_named_threads(self, register) -> None:
        informer = Watching(by_session)
        informer.wait = threading.Barrier(4, timeout=LIMIT).wait
        registration = register(informer, workers=4, key="session", name="mine")
        for number in range(4):
            registration.put(event(1, f"s{number}"))
        assert registration.close(LIMIT)
        assert informer.most == 4
        first, *others = sorted(informer.threads)
        assert first == "flamepy-handler-mine"
        assert all(one.startswith("flamepy-handler-mine-") for one in others)

    def test_no_more_run_than_there_are_workers(self, register) -> None:
        turns = threading.Semaphore(0)
        informer = Watching(by_task)
        informer.wait = lambda: turns.acquire(timeout=LIMIT)
        registration = register(informer, workers=3)
        for number in range(50):
            registration.put(event(number))
        eventually(lambda: informer.now.total() == 3, "three at once")
        turns.release(50)
        assert registration.close(LIMIT)
        assert informer.most == 3
        assert sum(map(len, informer.seen.values())) == 50

    def test_coroutines_run_as_tasks_of_one_loop(self, register) -> None:
        seen: list[tuple[asyncio.AbstractEventLoop, str]] = []
        together: list[asyncio.Event] = []

        class Mine(TaskInformer):
            async def on_transition(self, event: TaskEvent) -> None:
                seen.append((asyncio.get_running_loop(), event.task.id))
                gate = asyncio.Event()
                together.append(gate)
                if len(together) == 4:
                    for one in together:
                        one.set()
                await gate.wait()

        registration = register(Mine(), workers=4)
        for number in range(4):
            registration.put(event(number))
        assert registration.close(LIMIT)
        assert {one for _, one in seen} == set("0123")
        assert len({loop for loop, _ in seen}) == 1

    @pytest.mark.parametrize("wrong", ["raises", "unhashable"])
    def test_a_key_function_that_fails_is_reported_and_the_event_delivered(
        self, register, noted, wrong
    ) -> None:
        informer = Watching(by_task)

        def key(event: TaskEvent) -> Any:
            if wrong == "raises":
                raise ValueError("mine")
            return []

        registration = register(informer, workers=2, key=key)
        registration.put(event(1))
        registration.put(event(1))
        assert registration.close(LIMIT)
        assert len(informer.seen["s1", "1"]) == 2
        assert {one.callback for one in noted.failures} == {"key"}
        assert informer.most_of_key == 1

    def test_a_task_keeps_its_key_while_an_event_of_it_is_unfinished(self, register) -> None:
        """A function that answers differently for one task breaks no order of its events."""
        informer = Watching(by_task)
        registration = register(informer, workers=4, key=lambda event: event.sequence)
        for number in range(200):
            registration.put(event(number % 3, sequence=number))
        assert registration.close(LIMIT)
        assert informer.most_of_key == 1
        assert all(seen == sorted(seen) for seen in informer.seen.values())

    def test_events_of_sessions_come_in_the_order_of_their_session(self, register) -> None:
        seen: dict[str, list[SessionEventKind]] = defaultdict(list)

        class Mine(SessionInformer):
            def on_opened(self, event: SessionEvent) -> None:
                seen[event.session.id].append(event.kind)

            on_closed = on_deleted = on_opened

        kinds = [SessionEventKind.OPENED, SessionEventKind.CLOSED, SessionEventKind.DELETED]
        registration = register(Mine(), workers=4)
        for kind in kinds:
            for name in "abcdefgh":
                registration.put(SessionEvent(kind=kind, session=made_session(name)))
        assert registration.close(LIMIT)
        assert list(seen.values()) == [kinds] * 8


@pytest.mark.parametrize("options", [{}, {"workers": 1, "key": "task"}, {"workers": 2}])
class TestRetries:
    def test_a_wait_holds_its_key_alone(self, register, options) -> None:
        seen: list[str] = []
        tried = threading.Event()

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                if event.task.id == "1" and not tried.is_set():
                    tried.set()
                    raise TemporaryError(delay=1e6)
                seen.append(f"{event.task.id}:{event.sequence}")

        registration = register(Mine(), **options)
        for number in (1, 2, 1, 3):
            registration.put(event(number, sequence=number * 10))
        eventually(lambda: seen == ["2:20", "3:30"], "the other keys")
        assert registration.stats.queued == 2, "the one that waits, and the next one of its task"
        registration.close(0.0)
        assert seen == ["2:20", "3:30"]

    def test_it_continues_with_the_callback_that_failed(self, register, options) -> None:
        calls: list[str] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                calls.append(f"transition {event.task.id}")

            def on_update(self, task: Any) -> None:
                calls.append(f"update {task.id}")
                if calls.count(f"update {task.id}") < 3:
                    raise ConnectionError

            def on_running(self, event: TaskEvent) -> None:
                calls.append(f"running {event.task.id}")

        policy = RetryPolicy(attempts=5, wait_initial=0.001, wait_jitter=0)
        registration = register(Mine(), retry=policy, **options)
        registration.put(event(1))
        assert registration.close(LIMIT)
        assert calls == ["transition 1", *["update 1"] * 3, "running 1"]
        assert (registration.stats.retries, registration.stats.failures) == (2, 0)

    def test_what_fails_for_good_is_reported_once_and_the_next_of_its_key_follows(
        self, register, noted, options
    ) -> None:
        seen: list[int] = []
        errors: list[InformerError] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                seen.append(event.sequence)
                if event.sequence == 1:
                    raise ConnectionError

            def on_error(self, error: Any) -> None:
                errors.append(error)
                if len(errors) == 1:
                    raise TemporaryError(delay=0)

        policy = RetryPolicy(attempts=3, wait_initial=0.001, wait_jitter=0)
        registration = register(Mine(), retry=policy, **options)
        for number in (1, 2):
            registration.put(event(1, sequence=number))
        assert registration.close(LIMIT)
        assert seen == [1, 1, 1, 2]
        assert [(one.callback, one.attempts) for one in noted.failures] == [("on_transition", 3)]
        assert [one.attempts for one in errors] == [3, 3], "on_error itself is tried again"

    def test_a_permanent_error_is_not_tried_again(self, register, noted, options) -> None:
        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                raise PermanentError

        registration = register(Mine(), retry=RetryPolicy(attempts=3), **options)
        registration.put(event(1))
        assert registration.close(LIMIT)
        assert [one.attempts for one in noted.failures] == [1]

    def test_a_stop_waits_for_what_is_tried_again(self, register, options) -> None:
        calls: list[int] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                calls.append(event.sequence)
                if len(calls) == 1:
                    raise TemporaryError(delay=0.05)

        registration = register(Mine(), **options)
        for number in (1, 2):
            registration.put(event(1, sequence=number))
        assert registration.close(LIMIT)
        assert calls == [1, 1, 2]


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 1, "key": "session"}])
def test_a_live_event_goes_before_initial_ones_of_other_keys(register, options) -> None:
    gate, seen = threading.Event(), list[str]()

    class Mine(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            gate.wait(LIMIT)
            seen.append(f"{event.session_id}/{event.task.id}")

    registration = register(Mine(), **options)
    for number in range(300):
        registration.put(event(number, "old", initial=True))
    registration.put(event(1, "new"))
    registration.put(event(299, "old"))
    gate.set()
    assert registration.close(LIMIT)
    assert seen.index("new/1") < 150
    places = [at for at, one in enumerate(seen) if one == "old/299"]
    assert len(places) == 2, "its first event, then the live one"
    assert len(seen) == 302


class TestMarkers:
    def test_synced_comes_after_everything_before_it_and_holds_up_nothing(self, register) -> None:
        done: list[str] = []
        gate = threading.Event()

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                if event.task.id == "1":
                    gate.wait(LIMIT)
                done.append(event.task.id)

            def on_synced(self) -> None:
                done.append("synced")

        registration = register(Mine(), workers=3)
        registration.put(event(1))
        registration.put(event(2))
        registration.put(Synced())
        registration.put(event(3))
        eventually(lambda: set(done) == {"2", "3"}, "what does not wait")
        assert not registration.synced
        gate.set()
        registration.wait_synced(LIMIT)
        assert (len(done), done[-1]) == (4, "synced")

    def test_start_is_before_everything_and_close_after_it(self, register) -> None:
        seen: list[str] = []
        inside = Counter[str]()

        class Mine(TaskInformer):
            def start(self) -> None:
                seen.append("start")

            def on_transition(self, event: TaskEvent) -> None:
                seen.append(event.task.id)

            def close(self) -> None:
                seen.append("close")

        registration = register(Mine(), workers=4)
        for number in range(100):
            registration.put(event(number))
        assert registration.close(LIMIT)
        assert (seen[0], seen[-1], len(seen)) == ("start", "close", 102)
        assert not inside

    def test_the_connection_is_told_in_order(self, register) -> None:
        seen: list[ConnectionState] = []

        class Mine(TaskInformer):
            def on_connection(self, state: ConnectionState) -> None:
                seen.append(state)
                if len(seen) == 1:
                    raise TemporaryError(delay=0.01)

        registration = register(Mine(), workers=4)
        states = [ConnectionState.DISCONNECTED, ConnectionState.CONNECTED]
        for state in states:
            registration.put(state)
        assert registration.close(LIMIT)
        assert seen == [states[0], *states]

    def test_room_is_asked_for_when_half_of_the_queue_is_free(self, register, noted) -> None:
        turns = threading.Semaphore(0)

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                turns.acquire(timeout=LIMIT)

        registration = register(Mine(), workers=2, key="session", queue_size=4)
        assert all(registration.put(event(number)) for number in range(4))
        eventually(lambda: len(registration.calls) == 1, "the first one")
        assert registration.put(event(4))
        assert not registration.put(event(5)), "the queue is full"
        registration.put(LagMarker())
        turns.release()
        eventually(lambda: registration.stats.queued == 5, "one to be handled")
        turns.release()
        eventually(lambda: noted.lagging == 1, "the marker")
        turns.release(5)
        assert registration.close(LIMIT)


class TestBatches:
    def test_with_a_key_each_batch_has_events_of_one(self, register) -> None:
        batches: list[list[TaskEvent]] = []
        running = Counter[str]()

        class Mine(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                name = events[0].task.session_id
                running[name] += 1
                assert running[name] == 1
                batches.append(list(events))
                running[name] -= 1

        registration = register(Mine(), workers=4, key="session", batch_size=5, batch_delay=1e6)
        for number in range(62):
            registration.put(event(number, f"s{number % 3}", sequence=number))
        assert registration.close(LIMIT)
        assert registration.stats.delivered == 62
        assert registration.stats.failures == 0
        by_name: dict[str, list[int]] = defaultdict(list)
        for batch in batches:
            assert len({one.task.session_id for one in batch}) == 1
            assert len(batch) <= 5
            by_name[batch[0].task.session_id] += [one.sequence for one in batch]
        assert all(one == sorted(one) for one in by_name.values())

    def test_one_that_is_old_enough_comes_without_others(self, register) -> None:
        batches: list[int] = []

        class Mine(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                batches.append(len(events))

        registration = register(Mine(), workers=2, key="session", batch_delay=0.01)
        registration.put(event(1))
        eventually(lambda: batches == [1], "the batch")
        assert registration.stats.queued == 0

    @pytest.mark.parametrize("options", [{}, {"workers": 2, "key": "session"}])
    def test_one_that_fails_is_tried_again_whole_and_counts_until_then(
        self, register, options
    ) -> None:
        tried: list[int] = []

        class Mine(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                tried.append(len(events))
                if len(tried) == 1:
                    raise TemporaryError(delay=0.2)

        registration = register(Mine(), batch_size=3, batch_delay=1e6, **options)
        for number in range(3):
            registration.put(event(number))
        eventually(lambda: tried == [3], "the first try")
        assert registration.stats.queued == 3
        eventually(lambda: tried == [3, 3], "the second one")
        assert registration.close(LIMIT)
        assert registration.stats.queued == 0

    def test_synced_comes_after_the_batches_before_it(self, register) -> None:
        seen: list[object] = []

        class Mine(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                seen.append(len(events))

            def on_synced(self) -> None:
                seen.append("synced")

        registration = register(Mine(), workers=2, key="session", batch_delay=1e6)
        for number in range(4):
            registration.put(event(number, f"s{number % 2}"))
        registration.put(Synced())
        registration.wait_synced(LIMIT)
        assert seen == [2, 2, "synced"]

    def test_several_workers_need_a_key(self, register) -> None:
        class Mine(TaskInformer):
            def on_batch(self, events: Sequence[TaskEvent]) -> None:
                """Refused before."""

        with pytest.raises(InvalidArgumentError, match=r"workers=4 and on_batch need a key, such"):
            register(Mine(), workers=4)


class TestEnds:
    def test_one_that_removes_itself_is_called_no_more(self, register) -> None:
        seen: list[str] = []
        entered = threading.Barrier(3, timeout=LIMIT)

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                entered.wait()
                registration.remove()
                seen.append(event.task.id)

        registration = register(Mine(), workers=3)
        for number in range(100):
            registration.put(event(number))
        eventually(lambda: not running_threads(registration), "its end")
        assert len(seen) == 3, "those that ran already"

    def test_a_stop_that_drops_ends_every_thread(self, register) -> None:
        gate = threading.Event()
        informer = Watching(by_task)
        informer.wait = lambda: gate.wait(LIMIT)
        registration = register(informer, workers=4)
        for number in range(20):
            registration.put(event(number))
        eventually(lambda: informer.now.total() == 4, "four at once")
        assert not registration.close(0.01)
        gate.set()
        eventually(lambda: not running_threads(registration), "their end")
        assert sum(map(len, informer.seen.values())) == 4

    def test_waiting_for_itself_is_refused_on_each_thread(self, register) -> None:
        errors: list[str] = []
        entered = threading.Barrier(2, timeout=LIMIT)

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                entered.wait()
                for wait in (registration.wait_synced, lambda: registration.remove(wait=True)):
                    try:
                        wait()
                    except Exception as error:
                        errors.append(str(error))

        registration = register(Mine(), workers=2)
        for number in range(2):
            registration.put(event(number))
        assert registration.close(LIMIT)
        assert len(errors) == 4
        assert all("cannot wait for itself" in one for one in errors)

    def test_an_idle_pool_ends(self, register) -> None:
        informer = Watching(by_task)
        registration = register(informer, workers=4)
        registration.put(event(1))
        eventually(lambda: informer.seen and not registration.stats.queued, "the event")
        assert registration.close(LIMIT)
        eventually(lambda: not running_threads(registration), "the threads to end")


def running_threads(registration: Registration) -> list[str]:
    name = f"flamepy-handler-{registration.name}"
    return [one.name for one in threading.enumerate() if one.name.startswith(name)]


class TestBell:
    """Only a pool has waiting threads to wake: a ring for each event of one thread is dear."""

    @pytest.mark.parametrize(("options", "rings"), [({}, 0), ({"workers": 2}, 5)])
    def test_one_thread_needs_no_rings(
        self,
        register: Callable[..., Registration],
        monkeypatch: pytest.MonkeyPatch,
        options: dict[str, Any],
        rings: int,
    ) -> None:
        rung: list[Bell] = []
        monkeypatch.setattr(Bell, "ring", lambda bell: rung.append(bell))
        registration = register(Watching(lambda one: one.session_id), **options)
        for number in range(5):
            registration.worker.mailbox.put(event(number))  # which starts no thread
        assert len(rung) == rings


class TestDeadlines:
    @pytest.mark.parametrize("options", [{}, {"workers": 2}])
    def test_a_coroutine_that_runs_too_long_is_cancelled_and_tried_again(
        self, register, noted, options
    ) -> None:
        ended: list[str] = []

        class Mine(TaskInformer):
            async def on_transition(self, event: TaskEvent) -> None:
                try:
                    await asyncio.sleep(1e6 if len(ended) < 2 else 0)
                    ended.append("well")
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise

        policy = RetryPolicy(attempts=5, wait_initial=0.001, wait_jitter=0)
        registration = register(Mine(), timeout=0.01, retry=policy, **options)
        slow: list[str] = []
        watchdog = Watchdog(lambda: [registration], lambda *seen: slow.append(seen[3]))
        registration.put(event(1))

        def looked() -> bool:
            watchdog.look()
            return ended == ["cancelled", "cancelled", "well"]

        eventually(looked, "two deadlines and a good end")
        assert registration.close(LIMIT)
        assert noted.failures == []
        assert registration.stats.retries == 2
        assert len(slow) == registration.stats.slow == 2
        assert all("on_transition" in stack for stack in slow)

    def test_without_a_policy_it_has_failed(self, register, noted) -> None:
        class Mine(TaskInformer):
            async def on_transition(self, event: TaskEvent) -> None:
                await asyncio.sleep(1e6)

        registration = register(Mine(), timeout=0.01)
        watchdog = Watchdog(lambda: [registration], lambda *seen: None)
        registration.put(event(1))

        def looked() -> bool:
            watchdog.look()
            return bool(noted.failures)

        eventually(looked, "the failure")
        assert registration.close(LIMIT)
        (failure,) = noted.failures
        assert isinstance(failure.error, DeadlineExceededError)
        assert "0.01 s" in str(failure.error)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_stuck_thread_is_replaced_and_its_key_set_aside(self, register, workers) -> None:
        gate, entered = threading.Event(), threading.Semaphore(0)
        seen: list[str] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                if event.session_id == "stuck" and event.sequence == 0:
                    entered.release()
                    gate.wait(LIMIT)
                seen.append(f"{event.session_id}:{event.task.id}:{event.sequence}")

        registration = register(
            Mine(), workers=workers, key="session", timeout=0.01, on_stuck="replace"
        )
        for number in range(workers):
            registration.put(event(number, "stuck"))
            registration.put(event(number, "stuck", sequence=1))
        assert entered.acquire(timeout=LIMIT)
        watchdog = Watchdog(lambda: [registration], lambda *seen: None)
        registration.put(event(1, "free"))

        def looked() -> bool:
            watchdog.look()
            return "free:1:0" in seen and registration.stats.stuck == 1

        eventually(looked, "another thread to work")
        assert seen == ["free:1:0"]
        gate.set()
        assert registration.close(LIMIT)
        assert len(seen) == 1 + 2 * workers
        assert registration.stats.stuck == 0
        eventually(lambda: not running_threads(registration), "the threads to end")

    def test_it_needs_a_timeout(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"on_stuck='replace' needs a timeout"):
            Options(on_stuck="replace", timeout=None)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("workers", 0, "workers must be 1 or more, got 0"),
        ("workers", True, "workers must be 1 or more, got True"),
        ("key", "node", "one of 'task', 'session', 'application', or a function .*got 'node'"),
        ("key", 3, "key must be one of .*got 3"),
        ("on_stuck", "kill", "on_stuck must be one of 'report', 'replace', got 'kill'"),
    ],
)
def test_a_wrong_option_is_refused_with_the_rule(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        Options(**{name: value})
