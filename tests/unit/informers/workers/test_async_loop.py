"""The loops of coroutine callbacks, one for each owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.informers.workers.async_loop import AsyncCalls, _Active
from flamepy.informers.workers.thread_waits import waits_for_us


def test_who_waits_is_noted_before_the_coroutine_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, begun = threading.current_thread(), threading.Event()
    waited: list[bool] = []
    submit = _Active.submit

    def slowly(active: _Active) -> None:
        submit(active)
        begun.wait(10)

    async def callback() -> None:
        waited.append(waits_for_us(owner))
        begun.set()

    monkeypatch.setattr(_Active, "submit", slowly)
    calls = AsyncCalls()
    calls.run(callback())
    calls.close()
    assert waited == [True]


def test_its_stack_can_be_asked_for_as_soon_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    stacks: list[str] = []
    submit = _Active.submit

    def slowly(active: _Active) -> None:
        submit(active)
        begun.wait(10)

    async def callback() -> None:
        stacks.append(calls.stack())
        begun.set()

    monkeypatch.setattr(_Active, "submit", slowly)
    calls = AsyncCalls()
    calls.run(callback())
    assert calls.stack() == ""
    calls.close()
    assert "in callback" in stacks[0]


def blocking(calls: AsyncCalls, gate: threading.Event) -> threading.Thread:
    """Have a coroutine block the loop of ``calls`` until the gate opens."""
    entered = threading.Event()

    async def blocks() -> None:
        entered.set()
        gate.wait(30)

    thread = threading.Thread(target=calls.run, args=(blocks(),))
    thread.start()
    assert entered.wait(30)
    return thread


async def answer() -> int:
    return 42


def test_a_coroutine_that_blocks_holds_up_no_other_owner() -> None:
    blocked, free, gate = AsyncCalls(), AsyncCalls(), threading.Event()
    thread = blocking(blocked, gate)
    try:
        assert free.run(answer()) == 42
        assert "in blocks" in blocked.stack()
    finally:
        gate.set()
        thread.join(30)
        blocked.close()
        free.close()


def test_a_coroutine_that_is_held_up_by_what_another_left_behind_is_there() -> None:
    calls, gate, entered = AsyncCalls(), threading.Event(), threading.Event()

    def left_behind() -> None:
        entered.set()
        gate.wait(30)

    async def leaves() -> None:
        asyncio.get_running_loop().call_later(0.05, left_behind)

    calls.run(leaves())
    assert entered.wait(30)
    thread = threading.Thread(target=calls.run, args=(answer(),))
    thread.start()
    try:
        eventually(lambda: "in left_behind" in calls.stack(), "the stack")
    finally:
        gate.set()
        thread.join(30)
        calls.close()


def test_what_can_be_awaited_is_awaited_as_a_coroutine_is() -> None:
    class Answer:
        def __await__(self) -> Generator[Any, None, int]:
            return answer().__await__()

    calls = AsyncCalls()
    assert calls.run(Answer()) == 42
    calls.close()


def test_a_closed_owner_begins_anew() -> None:
    calls = AsyncCalls()
    calls.close()
    assert calls.run(answer()) == 42
    calls.close()
    calls.close()
    assert calls.run(answer()) == 42
    calls.close()


def test_jobs_of_coroutines_keep_no_process_from_ending() -> None:
    calls = AsyncCalls("jobs")
    try:
        thread = calls.run(asyncio.to_thread(threading.current_thread))
    finally:
        calls.close()
    assert isinstance(thread, threading.Thread)
    assert thread.daemon
