"""The reactor's thread: posts, refuses, and never hangs."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

from flamepy.errors import ConnectionClosedError, DeadlineExceededError, InvalidStateError
from flamepy.rpc.loop import NAME, ReactorLoop


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
