"""The queue to a callback's thread: ordered, bounded, and nothing terminal is lost (G8)."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.made import made_task
from support.waiting import eventually

from flamepy.informers.dispatch import Mailbox, Worker, fold
from flamepy.types import TaskState
from flamepy.watching.events import EventKind, TaskEvent


def event(number: int, state: TaskState, old: TaskState | None = None, **more: object) -> TaskEvent:
    before = None if old is None else made_task(number, old)
    kind = EventKind.ADDED if old is None else EventKind.UPDATED
    return replace(TaskEvent(kind=kind, task=made_task(number, state), old=before), **more)


class TestFold:
    def test_two_changes_become_one_that_says_so(self) -> None:
        first = event(1, TaskState.PENDING, initial=True)
        second = event(1, TaskState.RUNNING, TaskState.PENDING)
        folded = fold(first, second)
        assert folded is not None
        assert (folded.kind, folded.old, folded.initial) == (EventKind.ADDED, None, True)
        assert (folded.task.state, folded.coalesced) == (TaskState.RUNNING, 1)

    def test_an_end_and_another_incarnation_are_never_folded_away(self) -> None:
        ended = event(1, TaskState.SUCCEED, TaskState.RUNNING)
        again = event(1, TaskState.PENDING)
        assert fold(ended, again) is None
        assert fold(event(1, TaskState.PENDING), again) is None
        other = replace(again, task=made_task(1, born=5), kind=EventKind.UPDATED)
        assert fold(event(1, TaskState.PENDING), other) is None


HISTORY = [TaskState.PENDING, TaskState.RUNNING, TaskState.PENDING, TaskState.RUNNING]


@given(st.integers(1, 5), st.lists(st.integers(1, 4), max_size=40), st.data())
def test_a_slow_reader_gets_every_task_and_its_end_in_order(limit, puts, data) -> None:
    """However full the queue: per task an ordered part of what happened, its end included."""
    mailbox = Mailbox(limit)
    step = dict.fromkeys(range(1, 5), 0)
    got: list[TaskEvent] = []
    for number in puts:
        if step[number] > len(HISTORY):
            continue
        states = [*HISTORY, TaskState.SUCCEED]
        old = states[step[number] - 1] if step[number] else None
        mailbox.put(event(number, states[step[number]], old))
        step[number] += 1
        if data.draw(st.booleans()) and len(mailbox):
            got.append(mailbox.get(0))
    while len(mailbox):
        got.append(mailbox.get(0))
    for number, done in step.items():
        told = [one for one in got if one.task.id == str(number)]
        if done:
            assert told[-1].task.state == [*HISTORY, TaskState.SUCCEED][done - 1]
            assert sum(1 + one.coalesced for one in told) == done
        for before, after in pairwise(told):
            assert after.old is not None
            assert after.old.state == before.task.state


def test_over_its_limit_the_queue_is_bounded_by_the_tasks() -> None:
    mailbox = Mailbox(2)
    for _ in range(100):
        for number in (1, 2, 3):
            mailbox.put(event(number, TaskState.RUNNING, TaskState.PENDING))
    assert len(mailbox) == 3
    assert mailbox.coalesced == 297


def test_after_the_close_nothing_is_taken() -> None:
    mailbox = Mailbox()
    mailbox.put("a")
    mailbox.close()
    assert not mailbox.put("b")
    assert (mailbox.get(0), mailbox.get(0)) == ("a", None)


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

    def test_a_coroutine_function_is_awaited(self) -> None:
        import asyncio

        seen: list[str] = []

        async def callback(text: str) -> None:
            await asyncio.sleep(0)
            seen.append(text)

        worker = Worker("w", lambda item: worker.call(callback, (item,)))
        worker.put("a")
        worker.put("b")
        assert worker.stop(10)
        assert seen == ["a", "b"]
