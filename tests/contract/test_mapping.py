"""``map`` and ``run_many``: docs/performance.md#many-tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from contract.conftest import Target

from flamepy import aio
from flamepy.errors import InvalidArgumentError, TaskFailedError


def echoes(count: int) -> Iterator[bytes]:
    return (b"echo %d" % number for number in range(count))


def outputs(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_results_come_in_the_order_of_the_inputs(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        assert list(session.map(echoes(300))) == outputs(300)
        assert list(session.map([])) == []
        assert list(session.map([b"none", b"empty", b"echo x"])) == [None, None, b"x"]


def test_results_come_as_tasks_end(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        got = list(session.map(echoes(300), ordered=False))
        assert sorted(got) == sorted(outputs(300))
        inputs = [b"sleep 3000", *(b"echo x" for _ in range(8))]
        assert next(session.map(inputs, ordered=False)) == b"x"


def test_futures_come_in_the_order_of_the_inputs(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        futures = session.run_many(echoes(300), window=50)
        assert [future.result(60) for future in futures] == outputs(300)
        assert len({future.task_id for future in futures}) == 300
        assert session.run_many([]) == []


def test_a_failure_is_raised_in_its_place(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        results = session.map([b"echo a", b"fail boom", b"echo b"])
        assert next(results) == b"a"
        with pytest.raises(TaskFailedError, match="boom"):
            next(results)
        assert list(results) == [], "it is over"


def test_failures_take_the_place_of_results(target: Target, application: str) -> None:
    inputs = [b"echo a", b"fail boom", "text", b"echo b", b"x" * (4 << 20)]
    with target.connection.create_session(application) as session:
        got = list(session.map(inputs, return_exceptions=True))  # type: ignore[arg-type]  # on purpose
    assert (got[0], got[3]) == (b"a", b"b")
    assert isinstance(got[1], TaskFailedError)
    assert got[1].message == "boom"
    assert isinstance(got[2], InvalidArgumentError)
    assert "input 2 must be bytes" in got[2].message
    assert isinstance(got[4], InvalidArgumentError)


@pytest.mark.parametrize("ordered", [True, False])
def test_what_the_inputs_raise_comes_behind_the_results(
    target: Target, application: str, ordered: bool
) -> None:
    def inputs() -> Iterator[bytes]:
        yield from echoes(20)
        raise KeyError("no more")

    with target.connection.create_session(application) as session:
        results = session.map(inputs(), ordered=ordered, return_exceptions=True)
        assert sorted(next(results) for _ in range(20)) == sorted(outputs(20))
        with pytest.raises(KeyError, match="no more"):
            next(results)
        with pytest.raises(KeyError, match="no more"):
            session.run_many(inputs())


def test_on_an_event_loop(target: Target, application: str) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for one in echoes(20):
            await asyncio.sleep(0.001)
            yield one

    async def act() -> None:
        async with (
            await aio.connect(target.endpoint) as connection,
            await connection.create_session(application) as session,
        ):
            assert [one async for one in session.map(echoes(200))] == outputs(200)
            assert [one async for one in session.map(slowly(), window=3)] == outputs(20)
            unordered = [one async for one in session.map(slowly(), ordered=False)]
            assert sorted(unordered) == sorted(outputs(20))
            handles = await session.run_many(slowly())
            assert await asyncio.gather(*handles) == outputs(20)
            failing = session.map([b"echo a", b"fail no"], return_exceptions=True)
            first, second = [one async for one in failing]
            assert (first, type(second)) == (b"a", TaskFailedError)

    asyncio.run(act())


def test_inputs_that_await_what_was_cancelled(target: Target, application: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"echo 0"
        gone: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        gone.cancel()
        yield await gone

    async def act() -> None:
        async with (
            await aio.connect(target.endpoint) as connection,
            await connection.create_session(application) as session,
        ):
            results = session.map(broken())
            assert await anext(results) == b"0"
            with pytest.raises(asyncio.CancelledError):
                await anext(results)
            with pytest.raises(asyncio.CancelledError):
                await session.run_many(broken())

    asyncio.run(asyncio.wait_for(act(), 30))


@pytest.mark.parametrize("window", [0, -1, 1.5, True, None])
def test_a_window_is_a_number_of_tasks(target: Target, application: str, window: object) -> None:
    with target.connection.create_session(application) as session:
        for call in (session.map, session.run_many):
            with pytest.raises(InvalidArgumentError, match="window must be a whole number"):
                call([b"x"], window=window)


@pytest.mark.parametrize("inputs", [b"bytes", "text", None, 7])
def test_inputs_are_an_iterable(target: Target, application: str, inputs: object) -> None:
    with target.connection.create_session(application) as session:
        for call in (session.map, session.run_many):
            with pytest.raises(InvalidArgumentError, match="inputs must be an iterable of bytes"):
                call(inputs)
