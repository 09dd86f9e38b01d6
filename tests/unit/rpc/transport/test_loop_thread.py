"""The reactor's thread: posts, refuses, and never hangs."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.moments import Calls, at_every_line
from support.waiting import eventually

from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    InvalidStateError,
    ResourceExhaustedError,
)
from flamepy.rpc.transport.loop_thread import NAME, ReactorLoop
from flamepy.runtime import threads


@pytest.fixture
def loop():
    made = ReactorLoop()
    yield made
    made.stop()


async def answer(value: int = 7) -> int:
    return value


def named() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == NAME]


def test_no_thread_before_the_first_use(loop: ReactorLoop) -> None:
    assert named() == []
    assert loop.run(answer()) == 7
    assert named() == [NAME]


def test_a_blocking_call_on_its_own_thread_is_refused_instead_of_dead_locking(
    loop: ReactorLoop,
) -> None:
    async def nested() -> int:
        return loop.run(answer())

    with pytest.raises(InvalidStateError, match="wait for itself for ever"):
        loop.run(nested())


def test_a_wait_ends_after_its_time(loop: ReactorLoop) -> None:
    with pytest.raises(DeadlineExceededError, match=r"0\.05 s"):
        loop.run(asyncio.sleep(60), timeout=0.05)


def test_a_call_after_the_stop_is_refused_and_its_coroutine_closed(loop: ReactorLoop) -> None:
    loop.run(answer())
    loop.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "never awaited" would come here
        with pytest.raises(ConnectionClosedError):
            loop.run(answer())
        with pytest.raises(ConnectionClosedError):
            loop.call_soon(print)
    assert named() == []


def test_a_stop_ends_who_waits(loop: ReactorLoop) -> None:
    started = threading.Event()
    got: list[BaseException] = []

    async def wait() -> None:
        started.set()
        await asyncio.sleep(60)

    def call() -> None:
        try:
            loop.run(wait())
        except BaseException as error:
            got.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert started.wait(10)
    loop.stop()
    thread.join(10)
    assert isinstance(got[0], ConnectionClosedError)


def test_errors_and_cancellation_come_through_as_they_are(loop: ReactorLoop) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.run(fail())


def test_it_may_be_stopped_from_its_own_thread(loop: ReactorLoop) -> None:
    loop.call_soon(loop.stop)
    thread = next((one for one in threading.enumerate() if one.name == NAME), None)
    if thread is not None:
        thread.join(10)
    assert named() == []


def test_many_threads_may_call_at_once(loop: ReactorLoop) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(loop.run(answer(n)))) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == list(range(20))


def test_a_thread_that_cannot_be_started_leaves_nothing_and_the_next_call_tries_again(
    loop: ReactorLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ResourceExhaustedError, match=r"'flamepy-reactor'.*ulimit -u"):
            loop.run(answer())
        with pytest.raises(ResourceExhaustedError):
            loop.call_soon(print)
    assert loop.run(answer()) == 7


def test_every_thread_that_serves_others_refuses_to_block(loop: ReactorLoop) -> None:
    other = ReactorLoop()

    async def nested() -> int:
        return other.run(answer())

    try:
        with pytest.raises(InvalidStateError, match=f"on the thread '{NAME}'"):
            loop.run(nested())
        assert other.run(answer()) == 7
    finally:
        other.stop()


def test_two_threads_that_start_it_at_once_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ReactorLoop] = [ReactorLoop()]
    start, inside = threads.start, []

    def start_twice(*arguments: Any, **options: Any) -> threading.Thread:
        if not inside:
            inside.append(True)
            assert made[0].run(answer(1)) == 1  # as a signal handler does, or another thread
        return start(*arguments, **options)

    monkeypatch.setattr(threads, "start", start_twice)
    try:
        assert made[0].run(answer(2)) == 2
        eventually(lambda: len(named()) == 1, "the end of the second thread")
    finally:
        made[0].stop()
    assert named() == []


@pytest.mark.parametrize("inner", ["run", "call_soon", "stop"])
@pytest.mark.parametrize("outer", ["run", "call_soon", "stop"])
def test_a_signal_handler_may_call_it_at_every_line_of_another_call(outer: str, inner: str) -> None:
    @contextmanager
    def made() -> Iterator[Calls]:
        loop = ReactorLoop()
        calls: dict[str, Callable[[], object]] = {
            "run": lambda: loop.run(answer()),
            "call_soon": lambda: loop.call_soon(lambda: None),
            "stop": lambda: loop.stop(60),
        }
        loop.run(answer())
        yield calls[outer], calls[inner]
        loop.stop()

    assert at_every_line(made, allowed=(ConnectionClosedError,)) > 5
    assert named() == []


def test_what_is_posted_while_it_ends_is_refused_and_never_left(loop: ReactorLoop) -> None:
    """The stop is posted before the coroutine, and the check before the stop."""
    running = loop._started()
    running.stop()
    with pytest.raises(ConnectionClosedError):
        loop.run(answer())
    with pytest.raises(ConnectionClosedError):
        loop.run(answer())
