"""Coroutines of callbacks on a loop that the program runs itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from flamepy.errors import DeadlineExceededError, InvalidStateError
from flamepy.informers.workers import given_loop
from flamepy.informers.workers.async_loop import AsyncCalls, SharedLoop
from flamepy.informers.workers.given_loop import GivenLoop

Runs = Callable[[GivenLoop], "AsyncCalls | SharedLoop"]
both = pytest.mark.parametrize(
    "make",
    [lambda given: AsyncCalls("x", given), lambda given: SharedLoop("x", given)],
    ids=["AsyncCalls", "SharedLoop"],
)


async def taken() -> GivenLoop:
    given = GivenLoop()
    given.take()
    return given


@both
def test_a_coroutine_is_a_task_of_the_programs_loop(make: Runs) -> None:
    async def callback() -> object:
        return asyncio.get_running_loop(), threading.current_thread()

    async def go() -> None:
        calls = make(await taken())
        got = await asyncio.to_thread(calls.run, callback())
        assert got == (asyncio.get_running_loop(), threading.current_thread())
        calls.close()

    asyncio.run(go())


@both
def test_a_loop_that_was_taken_later_is_used_from_then_on(make: Runs) -> None:
    async def where() -> object:
        return asyncio.get_running_loop()

    async def go() -> None:
        given = GivenLoop()
        calls = make(given)
        given.take()
        assert await asyncio.to_thread(calls.run, where()) is asyncio.get_running_loop()
        calls.close()

    asyncio.run(go())


@both
def test_a_closed_loop_is_an_error_at_once(make: Runs) -> None:
    calls = make(asyncio.run(taken()))
    with pytest.raises(InvalidStateError, match="is closed"):
        calls.run(asyncio.sleep(0))


@both
@pytest.mark.parametrize("begun", [False, True])
def test_a_loop_that_stopped_is_an_error_and_no_wait_for_ever(
    make: Runs, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_loop, "STOPPED", 0.0)
    loop, entered = asyncio.new_event_loop(), asyncio.Event()
    errors: list[BaseException] = []

    async def callback() -> None:
        entered.set()
        await asyncio.Event().wait()

    calls = make(loop.run_until_complete(taken()))

    def ask() -> None:
        try:
            calls.run(callback())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    if begun:

        async def begin() -> None:
            thread.start()
            await entered.wait()

        loop.run_until_complete(begin())
    else:
        thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert "has not run" in str(errors[0])
    loop.run_until_complete(asyncio.sleep(0))  # what was left is cancelled; nothing begins late
    loop.run_until_complete(asyncio.sleep(0))
    assert entered.is_set() is begun
    assert not asyncio.all_tasks(loop)
    loop.close()


def test_a_loop_that_pauses_briefly_runs_the_coroutine_when_it_continues() -> None:
    loop = asyncio.new_event_loop()
    calls = AsyncCalls("x", loop.run_until_complete(taken()))
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(calls.run(asyncio.sleep(0, 42))))
    thread.start()

    async def joined() -> None:
        await asyncio.to_thread(thread.join, 30)

    loop.run_until_complete(joined())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert got == [42]


async def stuck(entered: asyncio.Event) -> None:
    entered.set()
    await asyncio.Event().wait()


def test_expire_and_cancel_end_the_task_on_the_programs_loop() -> None:
    async def go(act: Callable[[AsyncCalls, int], object]) -> BaseException | None:
        given, entered = await taken(), asyncio.Event()
        calls, idents = AsyncCalls("x", given), list[int]()

        def ask() -> None:
            idents.append(threading.get_ident())
            calls.run(stuck(entered))

        waiting = asyncio.ensure_future(asyncio.to_thread(ask))
        await entered.wait()
        assert "in stuck" in calls.stack(idents[0])
        act(calls, idents[0])
        error = (await asyncio.gather(waiting, return_exceptions=True))[0]
        await given.settled(30)
        assert given.taken is not None
        assert given.taken.tasks == set()
        return error

    expired = asyncio.run(go(lambda calls, thread: calls.expire(thread, 1.5)))
    assert isinstance(expired, DeadlineExceededError)
    cancelled = asyncio.run(go(lambda calls, thread: calls.cancel()))
    assert isinstance(cancelled, (CancelledError, asyncio.CancelledError))


def test_closing_a_shared_one_cancels_what_runs() -> None:
    async def go() -> object:
        entered, calls = asyncio.Event(), SharedLoop("x", await taken())
        waiting = asyncio.ensure_future(asyncio.to_thread(calls.run, stuck(entered)))
        await entered.wait()
        calls.close()
        return (await asyncio.gather(waiting, return_exceptions=True))[0]

    assert isinstance(asyncio.run(go()), (CancelledError, asyncio.CancelledError))


def test_an_exit_in_a_coroutine_is_the_callbacks_and_ends_no_program() -> None:
    async def leaves() -> None:
        raise SystemExit(3)

    def ask(calls: AsyncCalls) -> Any:
        try:
            calls.run(leaves())
        except SystemExit as error:
            return error.code

    async def go() -> Any:
        return await asyncio.to_thread(ask, AsyncCalls("x", await taken()))

    assert asyncio.run(go()) == 3


def test_what_the_loop_refuses_to_start_is_an_error_of_the_callback() -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise OSError("no tasks")

    async def go() -> BaseException:
        calls, loop = AsyncCalls("x", await taken()), asyncio.get_running_loop()
        job = loop.run_in_executor(None, calls.run, asyncio.sleep(0))
        loop.set_task_factory(refuses)
        try:
            while not job.done():  # no task may be made here
                await asyncio.sleep(0)
        finally:
            loop.set_task_factory(None)
        error = job.exception()
        assert error is not None
        return error

    assert "no tasks" in str(asyncio.run(go()))
