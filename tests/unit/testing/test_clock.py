"""Time that stands still, and a loop that jumps over waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.testing import FakeClock


def test_the_clock_moves_only_by_hand() -> None:
    clock = FakeClock(5.0)
    assert clock() == clock() == 5.0
    clock.advance(2.5)
    assert clock() == 7.5
    with pytest.raises(InvalidArgumentError, match="does not go back"):
        clock.advance(-1.0)


def test_a_day_of_timers_passes_at_once_and_in_order() -> None:
    clock = FakeClock(0.0)
    order: list[tuple[str, float]] = []

    async def tick(name: str, every: float, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(every)
            order.append((name, clock.now))

    async def day() -> None:
        await asyncio.gather(tick("hour", 3600.0, 24), tick("day", 86_400.0, 1))

    clock.run(day())
    assert clock.now == 86_400.0
    assert [at for name, at in order if name == "hour"] == [3600.0 * n for n in range(1, 25)]


def test_a_timeout_of_asyncio_lives_in_its_time() -> None:
    clock = FakeClock()

    async def forever() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 1000.0)

    clock.run(forever())
    assert clock.now == 2000.0


def test_another_thread_is_heard() -> None:
    clock = FakeClock()

    async def main() -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(future.set_result, "hello")
        )
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    assert clock.run(main()) == "hello"


def test_inside_a_running_loop_it_says_so_and_leaves_nothing_behind() -> None:
    clock = FakeClock()

    async def never() -> None:
        raise AssertionError("it ran")

    async def main() -> None:
        coroutine = never()
        with pytest.raises(InvalidStateError, match="an event loop already runs in this thread"):
            clock.run(coroutine)
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await coroutine

    asyncio.run(main())
