"""The thread behind a queue: in order, named, ended in time, and never waiting for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.informers.workers import async_loop as async_handlers
from flamepy.informers.workers import thread_waits as joining
from flamepy.informers.workers.queue import Work
from flamepy.informers.workers.worker import Worker, WorkSource


def running(name: str) -> bool:
    return any(one.name == name for one in threading.enumerate())


class Source(WorkSource):
    """What a worker does, from functions."""

    def __init__(
        self,
        handle: Callable[[object], object],
        *,
        due: Callable[[], float | None] = lambda: None,
        idle: Callable[[], None] = lambda: None,
        interrupt: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
        admits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._all = handle, due, idle, interrupt, ended
        self.admits = admits  # type: ignore[method-assign]  # a function of the test's

    def handle(self, item: object, work: Work) -> None:
        self._all[0](item)

    def due(self) -> float | None:
        return self._all[1]()

    def idle(self) -> None:
        self._all[2]()

    def interrupt(self) -> None:
        self._all[3]()

    def ended(self) -> None:
        self._all[4]()


def made(name: str, handle: Callable[[object], object], **more: Any) -> Worker:
    lingers = more.pop("lingers", True)
    return Worker(name, Source(handle, **more), lingers=lingers)


class Held:
    """A worker whose handler waits at a gate, and what it has handled."""

    def __init__(self, name: str = "w") -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.seen: list[object] = []
        self.worker = made(name, self._handle)

    def _handle(self, item: object) -> None:
        self.seen.append(item)
        self.entered.set()
        self.gate.wait(30)

    def enter(self, *items: object) -> None:
        for item in items:
            self.worker.put(item)
        assert self.entered.wait(30)


class TestWorker:
    def test_items_are_handled_in_order_on_one_named_thread(self) -> None:
        seen: list[tuple[object, str]] = []
        worker = made("w", lambda item: seen.append((item, threading.current_thread().name)))
        assert not running("w")
        for number in range(100):
            worker.put(number)
        assert worker.stop(10)
        assert seen == [(number, "w") for number in range(100)]

    def test_what_a_handler_raises_ends_no_thread(self, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[object] = []

        def handle(item: object) -> None:
            seen.append(item)
            raise SystemExit(1)

        worker = made("w", handle)
        for number in range(3):
            worker.put(number)
        assert worker.stop(10)
        assert seen == [0, 1, 2]
        once, again = caplog.messages
        assert once == "w: an error in the handling of 0"
        assert again.startswith("w: an error in the handling of 2 (2 times")

    def test_what_is_not_admitted_yet_waits_and_what_a_stop_meets_there_is_dropped(self) -> None:
        asked, gate, handled = threading.Event(), threading.Event(), list[object]()

        def admits() -> bool:
            asked.set()
            return gate.wait(30) and "last" not in handled

        worker = made("admitting", handled.append, admits=admits)
        worker.put("last")
        assert asked.wait(30)
        assert worker.mailbox.waiting == 1
        worker.put("not admitted")
        gate.set()
        eventually(lambda: worker.mailbox.unfinished == 0)
        assert handled == ["last"]
        assert worker.stop(10)

    def test_an_error_before_an_item_loses_no_item(self, caplog: pytest.LogCaptureFixture) -> None:
        handled: list[object] = []
        worker = made("broken", handled.append, admits=lambda: bool(1 / 0))
        worker.put("item")
        assert worker.stop(10)
        assert handled == ["item"]
        assert "broken: an error before the next item" in caplog.text

    def test_one_that_does_not_linger_ends_and_comes_back(self) -> None:
        seen: list[object] = []
        ends: list[int] = []
        worker = made("w", seen.append, lingers=False, ended=lambda: ends.append(1))
        worker.put(1)
        eventually(lambda: not running("w"), "its end")
        assert ends == [1]
        worker.put(2)
        eventually(lambda: seen == [1, 2], "the second item")
        worker.stop(10)
        assert ends == [1, 1]

    @pytest.mark.parametrize("again", ["its own", "another worker's"])
    def test_a_thread_that_cannot_start_is_tried_again_at_the_next_item(
        self, again: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[object] = []
        worker, other = made("w", seen.append), made("other", lambda _: None)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _cannot_start)
            assert worker.put(1)
            assert worker.put(2)
            assert worker.thread is None
        assert caplog.text.count("'w' cannot be started: can't start new thread") == 1
        (worker if again == "its own" else other).put(3)
        eventually(lambda: seen[:2] == [1, 2], "what waited")
        assert worker.stop(10)
        assert other.stop(10)

    def test_on_a_loop_a_thread_that_cannot_start_is_tried_again_by_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[object] = []
        worker = made("w", seen.append)

        async def put() -> None:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", _cannot_start)
                worker.put(1)
            while not seen:
                await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(put(), 30))
        assert worker.stop(10)

    def test_a_stop_says_what_no_thread_took(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(threading.Thread, "start", _cannot_start)
        for name in ("w", "v"):
            worker = made(name, lambda _: None)
            worker.put(1)
            assert not worker.stop(10)
            assert f"{name}: 1 events dropped: it could not be started" in caplog.text
            assert caplog.text.count(f"{name!r} cannot be started") == 1, "of the second one, too"


def _cannot_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestStop:
    """At every stage: nothing is handled after it, and it is bounded."""

    def test_before_anything_was_queued(self) -> None:
        worker = made("w", lambda item: None)
        assert worker.stop(10)
        assert not worker.put(1)
        assert worker.thread is None

    def test_while_idle_calls_the_end_once(self) -> None:
        ends: list[str] = []
        worker = made("w", lambda item: None, ended=lambda: ends.append("end"))
        worker.put(1)
        eventually(lambda: not len(worker.mailbox), "the item to be taken")
        assert worker.stop(10)
        assert worker.stop(10)
        assert (ends, running("w")) == (["end"], False)

    def test_in_a_callback_it_drains_when_there_is_time(self) -> None:
        held = Held()
        held.enter(1, 2, 3)
        threading.Timer(0.01, held.gate.set).start()
        assert held.worker.stop(30)
        assert held.seen == [1, 2, 3]

    @pytest.mark.parametrize("timeout", [0.0, 0.05])
    def test_in_a_callback_that_does_not_end_the_rest_is_dropped(self, timeout: float) -> None:
        held = Held()
        held.enter(*range(10))
        assert held.worker.stop(timeout) is False
        assert held.worker.stopping.is_set()
        held.gate.set()
        eventually(lambda: not running("w"), "its end")
        assert held.seen == [0]
        assert not held.worker.put(1)

    def test_in_its_own_callback_nothing_is_handled_after_it(self) -> None:
        """What is queued cannot drain before the stop returns, so it is dropped."""
        seen: list[object] = []
        queued = threading.Event()

        def handle(item: object) -> None:
            queued.wait(30)
            worker.stop(30)
            seen.append(item)

        worker = made("w", handle)
        for number in range(100):
            worker.put(number)
        queued.set()
        eventually(lambda: not running("w"), "its end")
        assert seen == [0]

    def test_items_of_a_thread_that_has_not_come_far_are_drained(self) -> None:
        """Queued by one thread, which has not started the worker's when another one stops it."""
        seen: list[object] = []
        worker = made("w", seen.append)
        worker.mailbox.put(1)
        assert worker.stop(10)
        assert seen == [1]

    def test_a_pause_that_is_due_is_not_waited_for(self) -> None:
        calls: list[str] = []
        due: list[float | None] = [None]

        def handle(item: object) -> None:
            due[0] = float("1e9")

        def idle() -> None:
            calls.append("idle")
            due[0] = None

        worker = made("w", handle, due=lambda: due[0], idle=idle)
        worker.put(1)
        eventually(lambda: due[0] is not None, "the item")
        assert worker.stop(30)
        assert calls == ["idle"]

    def test_whoever_joins_is_let_go_by_abandon_though_the_callback_hangs(self) -> None:
        held = Held()
        held.enter(1, 2)
        results: list[bool] = []
        stopper = threading.Thread(target=lambda: results.append(held.worker.stop(3600)))
        stopper.start()
        held.worker.abandon()
        stopper.join(30)
        assert results == [False]
        held.gate.set()
        eventually(lambda: not running("w"), "its end")
        assert held.seen == [1]


class TestWaitingForEachOther:
    @pytest.mark.parametrize("count", [2, 3])
    def test_workers_in_a_ring_that_end_and_await_each_other_all_return(self, count: int) -> None:
        barrier = threading.Barrier(count, timeout=30)
        done: list[int] = []
        workers: list[Worker] = []

        def handle(number: int) -> Callable[[object], None]:
            def ending(item: object) -> None:
                barrier.wait()
                other = workers[(number + 1) % count]
                other.stop(0)
                other.join(3600)
                done.append(number)

            return ending

        workers += [made(f"w{number}", handle(number)) for number in range(count)]
        for worker in workers:
            worker.put(1)
        eventually(lambda: len(done) == count, "all of them")
        assert not joining._waits.edges

    def test_a_stop_by_one_that_is_waited_for_drops_at_once(self) -> None:
        """A's callback waits for B; B's stops A, which cannot drain before B has returned."""
        in_b, waiting = threading.Event(), threading.Event()
        seen: list[object] = []

        def of_a(item: object) -> None:
            seen.append(item)
            in_b.wait(30)
            waiting.set()
            b.join(3600)

        def of_b(item: object) -> None:
            in_b.set()
            waiting.wait(30)
            eventually(lambda: a.waits_for_us, "a to wait for b")
            a.stop(3600)
            seen.append("b")

        a, b = made("a", of_a), made("b", of_b)
        a.put(1)
        a.put(2)
        b.put(1)
        eventually(lambda: "b" in seen, "the stop to return")
        b.stop(30)
        eventually(lambda: not running("a"), "its end")
        assert seen == [1, "b"]

    def test_a_coroutine_that_stops_its_own_worker_waits_for_nothing(self) -> None:
        calls = async_handlers.AsyncCalls("w")
        done: list[object] = []

        async def stopping() -> None:
            worker.stop(3600)
            done.append("stopped")

        worker = made(
            "w", lambda item: calls.run(stopping()), interrupt=calls.cancel, ended=calls.close
        )
        worker.put(1)
        worker.put(2)
        eventually(lambda: not running("w"), "its end")
        assert done == ["stopped"]
        eventually(lambda: not running("flamepy-async-w"), "the end of the coroutines' thread")
