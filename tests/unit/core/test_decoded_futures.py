"""Futures of services, runners and sandboxes: what they add to the future of a task's output."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest

from flamepy.core.closing import ClosesAtExit
from flamepy.core.futures import DecodedFuture
from flamepy.errors import DeadlineExceededError, FlameError, InvalidArgumentError, TaskFailedError


class Length(DecodedFuture[int]):
    """Its result is the length of the output; notes the threads that decode."""

    def __init__(self, task: concurrent.futures.Future[bytes | None]) -> None:
        super().__init__(task)
        self.decoded_by: list[threading.Thread] = []

    def _decode(self, output: bytes | None) -> int:
        self.decoded_by.append(threading.current_thread())
        return len(output or b"")


@pytest.fixture
def task() -> concurrent.futures.Future[bytes | None]:
    return concurrent.futures.Future()


def test_the_thread_that_asks_decodes(task: concurrent.futures.Future[bytes | None]) -> None:
    future = Length(task)
    assert not future.done()
    task.set_result(b"abc")
    assert future.done()
    assert future.exception() is None
    assert future.decoded_by == []
    assert future.result() == 3
    assert future.decoded_by == [threading.current_thread()]
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    assert [one.result() for one in concurrent.futures.as_completed([future])] == [3]


def test_callbacks_get_the_future_itself(task: concurrent.futures.Future[bytes | None]) -> None:
    future, seen = Length(task), []
    future.add_done_callback(lambda one: seen.append(one.result()))
    task.set_result(b"ab")
    assert seen == [2]


def test_the_error_of_the_task_is_its_own(task: concurrent.futures.Future[bytes | None]) -> None:
    future, error = Length(task), TaskFailedError("no")
    task.set_exception(error)
    assert future.exception() is error
    with pytest.raises(TaskFailedError):
        future.result()
    assert concurrent.futures.wait([future], timeout=0).done == {future}


@pytest.mark.parametrize("error", [DeadlineExceededError, concurrent.futures.TimeoutError])
def test_a_wait_that_ends_is_both_time_outs(
    task: concurrent.futures.Future[bytes | None], error: type[Exception]
) -> None:
    future = Length(task)
    with pytest.raises(error, match=r"<Length of .*> had not ended within 0 s; the task cont"):
        future.result(0)
    with pytest.raises(error, match="had not ended"):
        future.exception(timeout=0)
    with pytest.raises(InvalidArgumentError, match="timeout must be seconds"):
        future.result(-1)
    assert not future.cancel()
    task.set_result(None)
    assert future.result(0) == 0


def test_a_time_out_that_the_task_ended_with_is_no_wait_that_ended(
    task: concurrent.futures.Future[bytes | None],
) -> None:
    future, error = Length(task), TimeoutError("the service's")
    task.set_exception(error)
    with pytest.raises(TimeoutError, match="the service's"):
        future.result(1)


@pytest.mark.parametrize("early", [True, False])
def test_it_can_be_awaited_and_decodes_off_the_loop(
    task: concurrent.futures.Future[bytes | None], early: bool
) -> None:
    async def main() -> int:
        future = Length(task)
        if early:
            task.set_result(b"four")
        else:
            asyncio.get_running_loop().call_soon(task.set_result, b"four")
        found = await future
        assert future.decoded_by != [threading.current_thread()]
        return found

    assert asyncio.run(main()) == 4


def test_awaiting_raises_the_error_of_the_task(
    task: concurrent.futures.Future[bytes | None],
) -> None:
    async def main() -> int:
        return await Length(task)

    task.set_exception(TaskFailedError("no"))
    with pytest.raises(TaskFailedError):
        asyncio.run(main())


class Thing(ClosesAtExit):
    def close(self) -> None:
        raise TaskFailedError("the closing")


def test_an_error_of_the_block_goes_before_one_of_the_closing() -> None:
    with pytest.raises(FlameError, match="the closing"), Thing():
        pass
    with pytest.raises(ValueError, match="the block"), Thing():
        raise ValueError("the block")
