"""The thread behind a queue: in order, named, ended in time."""

from __future__ import annotations

import threading

from support.waiting import eventually

from flamepy.informers.dispatch import Worker


class TestWorker:
    def test_items_are_handled_in_order_on_one_named_thread(self) -> None:
        seen: list[tuple[object, str]] = []
        worker = Worker("w", lambda item: seen.append((item, threading.current_thread().name)))
        assert not any(one.name == "w" for one in threading.enumerate())
        for number in range(100):
            worker.put(number)
        assert worker.stop(10)
        assert seen == [(number, "w") for number in range(100)]

    def test_a_stop_without_time_drops_what_is_queued(self) -> None:
        gate, entered = threading.Event(), threading.Event()
        seen: list[object] = []

        def handle(item: object) -> None:
            entered.set()
            gate.wait(10)
            seen.append(item)

        worker = Worker("w", handle)
        for number in range(10):
            worker.put(number)
        assert entered.wait(10)
        assert worker.stop(0.05) is False
        gate.set()
        eventually(lambda: not any(one.name == "w" for one in threading.enumerate()), "its end")
        assert seen == [0]
        assert not worker.put(1)

    def test_it_may_stop_itself(self) -> None:
        done = threading.Event()

        def handle(item: object) -> None:
            assert worker.is_current
            worker.stop(10)
            done.set()

        worker = Worker("w", handle)
        worker.put(1)
        assert done.wait(10)

    def test_one_that_does_not_linger_ends_and_comes_back(self) -> None:
        seen: list[object] = []
        worker = Worker("w", seen.append, lingers=False)
        worker.put(1)
        eventually(lambda: not any(one.name == "w" for one in threading.enumerate()), "its end")
        worker.put(2)
        eventually(lambda: seen == [1, 2], "the second item")
        worker.stop(10)
