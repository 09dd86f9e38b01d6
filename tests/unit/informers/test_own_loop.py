"""``async with Reactor(...)``: coroutines of callbacks run on the program's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from support.loops import run

from flamepy import aio
from flamepy.core import Connection
from flamepy.errors import ConnectionClosedError, InvalidStateError
from flamepy.informers import Reactor, ReconcileContext, Reconciler, TaskEvent, TaskInformer
from flamepy.testing import FakeEngine
from flamepy.types import RetryPolicy

which: contextvars.ContextVar[str] = contextvars.ContextVar("which", default="none")


class Noting(TaskInformer):
    """Notes where its callbacks run, in a queue of the program's loop."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    async def on_added(self, event: TaskEvent) -> None:
        await self.seen.put((asyncio.get_running_loop(), which.get()))


@pytest.fixture
def connection(engine_connection: Connection) -> Connection:
    return engine_connection


@pytest.mark.parametrize("before", [True, False])
def test_callbacks_are_tasks_on_the_running_loop_with_its_context(
    engine: FakeEngine, connection: Connection, before: bool
) -> None:
    async def go() -> None:
        informer, reactor = Noting(), Reactor(connection=connection)
        if before:
            reactor.register(informer)
        which.set("the program's")
        async with reactor:
            if not before:
                reactor.register(informer)
            engine.add_task("s")
            got = await asyncio.wait_for(informer.seen.get(), 20)
        assert got == (asyncio.get_running_loop(), "the program's")

    run(go())


def test_with_workers_tasks_run_side_by_side_there(
    engine: FakeEngine, connection: Connection
) -> None:
    async def go() -> None:
        together, left = asyncio.Event(), 3

        class Meeting(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                nonlocal left
                left -= 1
                if not left:
                    together.set()
                await together.wait()  # all three are needed at the same time

        for _ in range(3):
            engine.add_task("s")
        async with Reactor(connection=connection) as reactor:
            reactor.register(Meeting(), workers=3)
            await asyncio.wait_for(together.wait(), 20)

    run(go())


def test_a_timeout_cancels_the_task_and_retry_repeats_it(
    engine: FakeEngine, connection: Connection
) -> None:
    async def go() -> None:
        cancelled, done = 0, asyncio.Event()

        class Slow(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                nonlocal cancelled
                try:
                    await asyncio.sleep(0 if cancelled else 3600)
                except asyncio.CancelledError:
                    cancelled += 1
                    raise
                done.set()

        engine.add_task("s")
        async with Reactor(connection=connection) as reactor:
            retry = RetryPolicy(attempts=50, wait_initial=0.01)
            reactor.register(Slow(), timeout=0.1, retry=retry)
            await asyncio.wait_for(done.wait(), 20)
        assert cancelled >= 1

    run(go())


def test_the_end_of_the_block_cancels_what_runs_and_waits_for_its_end(
    engine: FakeEngine, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reactor.stop, "__defaults__", (0.2,))

    async def go() -> None:
        entered, ended = asyncio.Event(), False

        class Endless(TaskInformer):
            async def on_added(self, event: TaskEvent) -> None:
                nonlocal ended
                entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.05)  # a pool that is released, say
                    ended = True

        engine.add_task("s")
        async with Reactor(connection=connection) as reactor:
            reactor.register(Endless())
            await asyncio.wait_for(entered.wait(), 20)
        assert ended

    run(go())


def test_a_wait_that_would_block_the_callbacks_loop_is_refused(
    engine: FakeEngine, connection: Connection
) -> None:
    async def go() -> None:
        async with Reactor(connection=connection) as reactor:
            plain = reactor.register(TaskInformer())
            await asyncio.to_thread(plain.wait_synced, 20)
            plain.wait_synced(20)  # needs no loop
            registration = reactor.register(Noting())
            with pytest.raises(InvalidStateError, match=r"asyncio\.to_thread"):
                reactor.wait_synced(20)
            await asyncio.to_thread(reactor.wait_synced, 20)
            assert registration.synced

    run(go())


def test_a_reconciler_runs_there_as_well(engine: FakeEngine, connection: Connection) -> None:
    async def go() -> None:
        seen: asyncio.Queue[object] = asyncio.Queue()

        class Keeps(Reconciler):
            async def reconcile(self, key: Any, ctx: ReconcileContext) -> None:
                await seen.put(threading.current_thread())

        engine.add_task("s")
        async with Reactor(connection=connection) as reactor:
            reactor.register(Keeps())
            assert await asyncio.wait_for(seen.get(), 20) is threading.current_thread()

    run(go())


def test_without_async_with_callbacks_have_a_loop_of_their_own(
    engine: FakeEngine, connection: Connection
) -> None:
    seen: list[object] = []
    called = threading.Event()

    class Plain(TaskInformer):
        async def on_added(self, event: TaskEvent) -> None:
            seen.append(threading.current_thread())
            called.set()

    engine.add_task("s")

    async def go() -> None:
        with Reactor(connection=connection) as reactor:
            reactor.register(Plain())
            await asyncio.to_thread(called.wait, 20)

    run(go())
    assert seen != [threading.current_thread()]
    assert len(seen) == 1


def test_a_stream_can_be_the_subject_of_async_with(
    engine: FakeEngine, connection: Connection
) -> None:
    async def go() -> None:
        async with Reactor(connection=connection) as reactor:
            engine.add_task("s")
            async with reactor.stream() as events:
                async for event in events:
                    assert event.session_id == "s"
                    break
            assert [one async for one in events] == []  # it is closed

    run(go())


class TestAwait:
    """Futures of tasks can be awaited on any loop."""

    def test_it_returns_the_result(self, engine: FakeEngine, connection: Connection) -> None:
        async def go() -> None:
            async with Reactor(connection=connection) as reactor:
                session = await asyncio.to_thread(connection.open_session, "s")
                futures = [session.run(b"1"), session.run(b"2")]
                ends = [reactor.future(one) for one in futures]
                for one in futures:
                    engine.succeed("s", one.task_id, output=b"out")
                assert await asyncio.wait_for(asyncio.gather(*futures), 20) == [b"out"] * 2
                assert [(await one).id for one in ends] == [one.task_id for one in futures]

        run(go())

    def test_to_cancel_the_await_leaves_the_future_alone(
        self, engine: FakeEngine, connection: Connection
    ) -> None:
        async def go() -> None:
            session = await asyncio.to_thread(connection.open_session, "s")
            future = session.run(b"1")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(future, 0.05)
            assert not future.done()
            engine.succeed("s", future.task_id, output=b"out")
            assert await future == b"out"

        run(go())


class TestConnectionOfAio:
    """``Reactor(connection=...)`` makes a link of its own from a connection of ``flamepy.aio``."""

    def test_it_is_like_the_connection_and_is_closed_with_the_reactor(
        self, engine: FakeEngine
    ) -> None:
        tokens: list[object] = []

        async def token() -> str:
            tokens.append(asyncio.get_running_loop())
            return "secret"

        async def go() -> None:
            connecting = aio.connect(engine.endpoint, patience=7, token=token)
            async with await connecting as connection:
                informer, before = Noting(), len(tokens)
                async with Reactor(connection=connection) as reactor:
                    reactor.register(informer)
                    engine.add_task("s")
                    got = await asyncio.wait_for(informer.seen.get(), 20)
                    assert got[0] is asyncio.get_running_loop()
                    link = reactor._link
                    assert link is not None
                    assert link is not connection.link
                    assert link.patience == 7
                    assert link.context is connection.link.context
                assert link.closed
                assert (await connection.get_session("s")).id == "s"  # it stays open
                assert tokens[0] is asyncio.get_running_loop()
                assert tokens[before] is not asyncio.get_running_loop()  # of the reactor's calls

        run(go())

    def test_a_closed_one_is_refused(self, engine: FakeEngine) -> None:
        async def go() -> None:
            connection = await aio.connect(engine.endpoint)
            await connection.close()
            with pytest.raises(ConnectionClosedError):
                async with Reactor(connection=connection):
                    pass

        run(go())
