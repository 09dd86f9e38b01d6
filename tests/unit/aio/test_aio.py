"""The same calls as coroutines, on the caller's own loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.loops import run
from support.waiting import eventually

from flamepy import aio
from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    SessionClosedError,
    SessionNotFoundError,
    TaskFailedError,
    TaskNotFoundError,
)
from flamepy.local.engine import Engine
from flamepy.local.state.refusal import Refusal
from flamepy.testing import FakeEngine
from flamepy.types import (
    ApplicationAttributes,
    RetryDetails,
    RetryPolicy,
    SessionAttributes,
    SessionState,
    TaskState,
)
from flamepy.watching.io.gatherer import Gatherer


def on(engine: FakeEngine, act: Callable[[aio.Connection], Awaitable[None]]) -> None:
    async def go() -> None:
        async with await aio.connect(engine.endpoint) as connection:
            await act(connection)

    run(go())


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("s")
    return fake_engine


def test_no_thread_of_ours_is_started(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        await connection.list_sessions()
        names = [one.name for one in threading.enumerate()]
        assert not [one for one in names if one == "flamepy-reactor"]

    on(engine, act)


def test_a_task_is_awaited(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        session = await connection.get_session("s")
        handle = await session.run(b"x")
        assert (handle.task_id, handle.session_id, handle.done()) == ("1", "s", False)
        await asyncio.to_thread(engine.succeed, "s", "1", b"out")
        assert await handle == b"out"
        other = await session.run(b"x")
        await asyncio.to_thread(engine.fail, "s", "2", "no way")
        with pytest.raises(TaskFailedError, match="no way"):
            await other

    on(engine, act)


def test_who_awaits_a_handle_has_a_stream_at_once(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gatherer, "ensure", lambda gatherer: None)  # which would look, too

    async def act(connection: aio.Connection) -> None:
        handle = await (await connection.get_session("s")).run(b"x")
        assert engine.open_streams == 0
        waiting = asyncio.ensure_future(handle.result(30))
        await asyncio.to_thread(eventually, lambda: engine.open_streams == 1, "a stream")
        engine.succeed("s", "1", b"out")
        assert await waiting == b"out"

    on(engine, act)


def test_many_tasks_may_be_awaited_at_once(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        session = await connection.get_session("s")
        handles = [await session.run(b"x") for _ in range(5)]
        for handle in reversed(handles):
            await asyncio.to_thread(engine.succeed, "s", handle.task_id, handle.task_id.encode())
        assert await asyncio.gather(*handles) == [b"1", b"2", b"3", b"4", b"5"]

    on(engine, act)


def test_a_timeout_ends_the_wait_and_not_the_task(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        session = await connection.get_session("s")
        handle = await session.run(b"x")
        with pytest.raises(DeadlineExceededError, match="it continues"):
            await handle.result(timeout=0.05)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.result(), 0.05)
        await asyncio.to_thread(engine.succeed, "s", "1", b"late")
        assert await handle.result(timeout=20) == b"late"

    on(engine, act)


def test_a_refusal_that_has_two_meanings_is_cleared_up(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(
        self: object, session_id: str, payload: object
    ) -> None:  # as the sqlite storage of engine 0.6
        raise Refusal("INTERNAL", "NOT NULL constraint failed: tasks.ssn_id")

    async def act(connection: aio.Connection) -> None:
        session = await connection.get_session("s")
        await session.close()
        monkeypatch.setattr(Engine, "create_task", refuse)
        with pytest.raises(SessionClosedError, match="session 's' is CLOSED: NOT NULL"):
            await session.create_task(b"x")
        await connection.delete_session("s")
        with pytest.raises(SessionNotFoundError):
            await session.create_task(b"x")

    on(engine, act)


def test_a_watch_is_an_async_iterator(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        session = await connection.get_session("s")
        task = await session.create_task(b"x")
        states = []
        async for update in session.watch_task(task.id):
            states.append(update.state)
            if update.state is TaskState.PENDING:
                await asyncio.to_thread(engine.start, "s", "1")
            elif update.state is TaskState.RUNNING:
                await asyncio.to_thread(engine.succeed, "s", "1", b"")
        assert states == [TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED]
        with pytest.raises(TaskNotFoundError):
            await anext(session.watch_task("9"))

    on(engine, act)


def test_sessions_and_applications(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        await connection.register_application("app", ApplicationAttributes(command="x"))
        await connection.update_application("app", {"command": "y"})
        assert (await connection.get_application("app")).command == "y"
        assert await connection.get_application("nothing") is None
        spec = SessionAttributes("app", priority=2)
        async with await connection.open_session("a", spec) as session:
            assert session.application == "app"
            assert [task async for task in session.list_tasks()] == []
        assert (await connection.get_session("a")).state is SessionState.CLOSED
        await connection.delete_session("a")
        assert [one.id for one in await connection.list_sessions()] == ["s"]
        await connection.unregister_application("app")

    on(engine, act)


def test_a_closed_connection_ends_waits(engine: FakeEngine) -> None:
    async def go() -> None:
        connection = await aio.connect(engine.endpoint)
        handle = await (await connection.get_session("s")).run(b"x")
        waiting = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(ConnectionClosedError):
            await waiting

    run(go())


def test_bad_attributes_are_refused_by_name(engine: FakeEngine) -> None:
    async def act(connection: aio.Connection) -> None:
        with pytest.raises(InvalidArgumentError, match="comand"):
            await connection.register_application("app", {"comand": "x"})
        with pytest.raises(InvalidArgumentError, match="min_instances"):
            await connection.create_session("fake", min_instances=2, max_instances=1)

    on(engine, act)


def test_a_close_ends_waits_at_once(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(self: Engine, *arguments: Any) -> Any:
        raise Refusal("INTERNAL", "database is locked")

    async def go() -> None:
        slow = RetryPolicy(wait_initial=60.0, wait_max=60.0, timeout=None)
        connection = await aio.connect(engine.endpoint, retry=slow)
        session = await connection.get_session("s")
        monkeypatch.setattr(Engine, "create_task", locked)
        call = asyncio.ensure_future(session.create_task(b"x", timeout=600.0))
        while connection.stats().retries < 1:
            await asyncio.sleep(0.01)
        await connection.close()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(call, 10.0)

    run(go())


def test_repeats_are_told_on_the_loop(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[RetryDetails] = []
    refusals = [Refusal("INTERNAL", "database is locked")]
    create_task = Engine.create_task

    def locked(self: Engine, *arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return create_task(self, *arguments)

    def broken(details: RetryDetails) -> None:
        raise ValueError("this one is broken")

    async def act(connection: aio.Connection) -> None:
        connection.on_retry(broken)
        undo = connection.on_retry(told.append)
        session = await connection.get_session("s")
        monkeypatch.setattr(Engine, "create_task", locked)
        assert (await session.create_task(b"x")).id == "1"
        undo()

    on(engine, act)
    assert [one.call for one in told] == ["CreateTask"]
    assert "this one is broken" in caplog.text
