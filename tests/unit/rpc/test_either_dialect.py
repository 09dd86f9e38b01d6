"""Every call works with an engine of either dialect, and while one is replaced by the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.renaming_proxy import RenamingProxy

from flamepy import aio
from flamepy._proto import frontend_pb2
from flamepy.errors import (
    InternalError,
    InvalidArgumentError,
    SessionNotFoundError,
    TaskNotFoundError,
)
from flamepy.testing import FakeEngine
from flamepy.types import Dialect, SessionState, Task, TaskOptions, TaskState
from flamepy.wire.services import FRONTEND, NEW_NAMES


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        engine.add_session("s", "app")
        yield engine


@pytest.fixture
def proxy(engine: FakeEngine) -> Iterator[RenamingProxy]:
    with RenamingProxy(engine.endpoint) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: RenamingProxy, **options: Any) -> AsyncIterator[aio.Connection]:
    async with await aio.connect(proxy.endpoint, **options) as connection:
        yield connection


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30.0))


def test_an_engine_of_0_6_gets_the_calls_of_0_6_alone(proxy: RenamingProxy) -> None:
    proxy.newer = False

    async def main() -> None:
        async with connected(proxy) as connection:
            assert connection.dialect is Dialect.UNKNOWN
            await connection.list_sessions()
            await connection.list_applications()
            await connection.list_executors()
            assert connection.dialect is Dialect.OLD

    run(main())
    assert not set(proxy.calls) & set(NEW_NAMES.values())


def test_the_name_that_is_unknown_is_called_once(proxy: RenamingProxy) -> None:
    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            for _ in range(3):
                assert [one.id for one in await connection.list_sessions()] == ["s"]
            assert [one.name for one in await connection.list_applications()]
            assert await connection.list_executors() == []
            assert [task async for task in session.list_tasks()] == []
            assert connection.dialect is Dialect.NEXT
            assert connection.stats().failures == 0

    run(main())
    assert {name: proxy.calls[name] for name in NEW_NAMES} == {
        "ListApplication": 0,
        "ListExecutor": 0,
        "ListSession": 1,
        "ListTask": 0,
        "WatchTask": 0,
    }
    assert proxy.calls["ListSessions"] == 3


def test_a_stream_of_tasks_finds_its_name_by_itself(
    engine: FakeEngine, proxy: RenamingProxy
) -> None:
    engine.add_task("s", b"x")

    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            for newer in (True, False, True):
                proxy.newer = newer
                assert [task.input async for task in session.list_tasks()] == [b"x"]
            with pytest.raises(SessionNotFoundError):
                await connection.link.frontend.collect_tasks("nobody")

    run(main())
    assert (proxy.calls["ListTask"], proxy.calls["ListTasks"]) == (3, 3 + 1)


def test_upgrades_and_downgrades_lose_no_call(proxy: RenamingProxy) -> None:
    async def main() -> None:
        async with connected(proxy) as connection:
            for newer in (False, True, True, False, True):
                proxy.newer = newer
                found = await asyncio.gather(*(connection.list_sessions() for _ in range(20)))
                assert [[one.id for one in sessions] for sessions in found] == [["s"]] * 20
                assert connection.dialect is (Dialect.NEXT if newer else Dialect.OLD)

    run(main())


def test_an_engine_that_knows_neither_name_gives_the_error_of_the_old_one(
    proxy: RenamingProxy,
) -> None:
    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            for newer in (False, True):
                proxy.nothing, proxy.newer = False, newer
                await connection.list_sessions()
                proxy.nothing = True
                for call, name in (
                    (connection.list_sessions(), "ListSession"),
                    (_all(session), "ListTask"),
                ):
                    with pytest.raises(InternalError, match=f"does not know {name} ") as caught:
                        await call
                    assert caught.value.grpc_code == "UNIMPLEMENTED"
                assert connection.dialect is (Dialect.NEXT if newer else Dialect.OLD)

    run(main())


async def _all(session: aio.Session) -> list[Task]:
    return [task async for task in session.list_tasks()]


@pytest.mark.parametrize("newer", [False, True])
def test_a_task_is_watched_to_its_end(
    engine: FakeEngine, proxy: RenamingProxy, *, newer: bool
) -> None:
    proxy.newer = newer

    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            handle = await session.run(b"x")
            seen = []
            async for task in session.watch_task(handle.task_id):
                seen.append(task.state)
                if task.state is TaskState.PENDING:
                    engine.start("s", handle.task_id)
                elif task.state is TaskState.RUNNING:
                    engine.succeed("s", handle.task_id, b"y")
            assert seen[-1] is TaskState.SUCCEED
            assert await handle == b"y"

    run(main())
    assert proxy.calls["WatchTasks" if newer else "WatchTask"] > 0
    assert proxy.calls["WatchTask" if newer else "WatchTasks"] <= newer


@pytest.mark.parametrize("newer", [False, True])
def test_a_watch_of_a_task_that_is_not_there_ends(proxy: RenamingProxy, *, newer: bool) -> None:
    proxy.newer = newer

    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            with pytest.raises(TaskNotFoundError):
                async for _ in session.watch_task("7"):
                    pass

    run(main())


class TestExchange:
    """One stream for the tasks of a session."""

    def test_each_task_comes_in_its_present_state_and_then_at_its_changes(
        self, engine: FakeEngine, proxy: RenamingProxy
    ) -> None:
        for payload in (b"1", b"2"):
            engine.add_task("s", payload)
        engine.start("s", "1")

        async def main() -> None:
            async with connected(proxy) as connection:
                stream = connection.link.frontend.watch_tasks("s")
                added = asyncio.ensure_future(_add(stream, "1", "2"))
                seen: dict[str, list[str]] = {"1": [], "2": []}
                async for task in stream:
                    seen[task.id].append(task.state.name)
                    if seen == {"1": ["RUNNING"], "2": ["PENDING"]}:
                        await added
                        engine.succeed("s", "1", b"y")
                        engine.start("s", "2")
                        engine.fail("s", "2", "broken")
                        await stream.finish()
                assert seen["1"] == ["RUNNING", "SUCCEED"]
                assert seen["2"][0], seen["2"][-1] == ("PENDING", "FAILED")
                assert await stream.add("1") is False, "it is over"
                assert connection.link.frontend.can_exchange

        run(main())
        assert proxy.calls["WatchTasks"] == 1

    def test_a_task_that_is_not_there_ends_it(
        self, engine: FakeEngine, proxy: RenamingProxy
    ) -> None:
        engine.add_task("s", b"1")

        async def main() -> None:
            async with connected(proxy) as connection:
                stream = connection.link.frontend.watch_tasks("s")
                adding = asyncio.ensure_future(_add(stream, "1", "7"))
                with pytest.raises(TaskNotFoundError):
                    async for _ in stream:
                        pass
                await adding

        run(main())

    def test_an_engine_of_0_6_has_none(self, proxy: RenamingProxy) -> None:
        async def main() -> None:
            async with connected(proxy) as connection:
                await connection.list_sessions()  # so it speaks the newer dialect ...
                proxy.newer = False  # ... until it is replaced
                frontend = connection.link.frontend
                assert frontend.can_exchange
                stream = frontend.watch_tasks("s")
                adding = asyncio.ensure_future(_add(stream, "1"))
                with pytest.raises(InternalError):
                    async for _ in stream:
                        pass
                assert not frontend.can_exchange
                await adding

        run(main())
        assert proxy.calls["WatchTask"] == 0

    def test_whoever_waits_to_add_to_a_stream_that_is_ended_goes_on(
        self, proxy: RenamingProxy
    ) -> None:
        async def main() -> None:
            async with connected(proxy) as connection:
                stream = connection.link.frontend.watch_tasks("s")
                adding = asyncio.ensure_future(stream.add("1"))
                await asyncio.sleep(0)
                stream.cancel()
                assert await adding is False

        run(main())


async def _add(stream: Any, *ids: str) -> None:
    for number in ids:
        await stream.add(number)


def test_lists_of_sessions_are_filtered_whether_the_engine_does_it_or_not(
    engine: FakeEngine, proxy: RenamingProxy
) -> None:
    engine.add_session("t", "other")

    async def main() -> None:
        async with connected(proxy) as connection:
            frontend = connection.link.frontend
            found = await frontend.list_sessions(application="other", state=SessionState.OPEN)
            assert [one.id for one in found] == ["t"]
            assert await frontend.list_sessions(state=SessionState.CLOSED) == []

    run(main())
    sent = frontend_pb2.ListSessionRequest.FromString(proxy.requests["ListSessions"])
    assert (sent.HasField("application"), sent.state) == (False, 1)


def test_affinity_goes_with_the_task(engine: FakeEngine, proxy: RenamingProxy) -> None:
    async def main() -> None:
        async with connected(proxy) as connection:
            session = await connection.get_session("s")
            for options in ({"affinity": [b"a", b"b"]}, {"option": TaskOptions((b"a", b"b"))}):
                await session.run(b"x", **options)  # type: ignore[arg-type]  # of two types
                raw = proxy.requests.pop("CreateTask")
                sent = frontend_pb2.CreateTaskRequest.FromString(raw).task
                assert list(sent.affinity) == [b"a", b"b"]
            with pytest.raises(InvalidArgumentError):
                await session.create_task(b"x", affinity=[b""])
            assert "CreateTask" not in proxy.requests

    run(main())


def test_every_call_of_a_workspace_names_it(engine: FakeEngine, proxy: RenamingProxy) -> None:
    async def main() -> None:
        async with connected(proxy, workspace="team-a") as connection:
            assert connection.workspace == "team-a"
            await connection.register_application("new", {})
            await connection.update_application("new", {})
            await connection.get_application("new")
            await connection.unregister_application("new")
            await connection.list_applications()
            await connection.list_executors()
            session = await connection.create_session("app", session_id="mine")
            await connection.open_session("mine")
            await connection.get_session("mine")
            await connection.list_sessions()
            task = await session.create_task(b"x")
            await session.get_task(task.id)
            assert len([one async for one in session.list_tasks()]) == 1
            watch = session.watch_task(task.id)
            await watch.__anext__()
            while "WatchTasks" not in proxy.requests:
                await asyncio.sleep(0.005)
            await watch.aclose()
            await connection.close_session("mine")
            await connection.delete_session("mine")

    run(main())
    without = {"ListNodes", "GetNode"}
    assert set(proxy.requests) == {NEW_NAMES.get(name, name) for name in FRONTEND} - {"GetNode"}
    for name in FRONTEND:
        if name not in without:
            sent = FRONTEND[name].request.FromString(proxy.requests[NEW_NAMES.get(name, name)])
            assert sent.workspace == "team-a", name  # type: ignore[attr-defined]  # of all of them
