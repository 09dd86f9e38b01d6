"""``map`` when something goes wrong or is left: nothing is lost, done twice, or left behind.

The promises of docs/performance.md#many-tasks.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from support.cluster_process import SERVICE, ClusterProcess
from support.forking import ask
from support.loops import run
from support.stubs import Stubs
from support.waiting import eventually

from flamepy import aio
from flamepy.core import Connection, connect
from flamepy.errors import (
    ConnectionClosedError,
    InvalidStateError,
    SessionClosedError,
    SessionLostError,
    SessionNotFoundError,
)
from flamepy.local.engine import Engine
from flamepy.local.state.refusal import Refusal
from flamepy.testing import FakeEngine
from flamepy.types import RetryPolicy, TaskState
from flamepy.watching.hub import Hub

MANY = RetryPolicy(attempts=100, timeout=None, wait_initial=0.001, wait_max=0.01, budget=False)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch, fake_engine: FakeEngine) -> FakeEngine:
    """An engine that ends each task with its input as output, in the moment of its creation."""
    create = Engine.create_task

    def create_ended(engine: Engine, session_id: str, payload: bytes | None) -> Any:
        task = create(engine, session_id, payload)
        session = engine.state.sessions[session_id]
        kept = session.tasks[int(task.id)]
        session.move(kept, TaskState.SUCCEED)
        kept.completed, kept.output = kept.created, payload
        return task

    monkeypatch.setattr(Engine, "create_task", create_ended)
    fake_engine.add_session("s")
    return fake_engine


@pytest.fixture
def connection(fake_engine: FakeEngine) -> Iterator[Connection]:
    with connect(fake_engine.endpoint, retry=MANY) as made:
        yield made


def numbers(taken: list[int] | None = None) -> Iterator[bytes]:
    """Yield inputs without end; note how far they were read."""
    for number in itertools.count():
        if taken is not None:
            taken.append(number)
        yield b"%d" % number


def is_idle(connection: Connection) -> bool:
    """Return True if a connection waits for nothing: no task awaited, sent or claimed."""

    async def look() -> bool:
        link = connection.link
        claims = link.frontend.claims._ledgers.values()
        busy = any(one.active or one._taken for one in claims) or link._calls._pending
        return not busy and not Hub.of(link)._waiters

    return connection.link.run(look())


async def forget(connection: Connection) -> None:
    """Let a connection know as little of the session as at first."""
    connection.link.frontend.claims.forget("s")


class TestLeaving:
    @pytest.mark.parametrize("ordered", [True, False])
    def test_inputs_may_be_endless_and_are_read_by_the_window(
        self, instant: FakeEngine, connection: Connection, ordered: bool
    ) -> None:
        taken: list[int] = []
        results = connection.get_session("s").map(numbers(taken), window=7, ordered=ordered)
        for seen, output in enumerate(results):
            assert not ordered or output == b"%d" % seen
            assert len(taken) - seen <= 7, "read and not handed on"
            if seen == 200:
                break
        del results
        eventually(lambda: is_idle(connection))
        assert 200 < instant.calls["CreateTask"] <= len(taken)

    def test_nothing_is_read_or_sent_before_the_first_result_is_asked_for(
        self, instant: FakeEngine, connection: Connection
    ) -> None:
        taken: list[int] = []
        results = connection.get_session("s").map(numbers(taken), window=5)
        assert (taken, instant.calls["CreateTask"]) == ([], 0)
        next(results)
        assert len(taken) == 5
        results.close()
        eventually(lambda: is_idle(connection))

    def test_tasks_that_run_on_are_not_waited_for(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        """A break in the middle leaves tasks running, and no stream, wait or claim of ours."""
        fake_engine.add_session("s")
        results = connection.get_session("s").map(numbers(), window=100)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(next, results)
            eventually(lambda: fake_engine.calls["CreateTask"] == 100)
            fake_engine.succeed("s", "1", b"out")
            assert first.result(30) == b"out"
        results.close()
        eventually(lambda: is_idle(connection))
        eventually(lambda: fake_engine.open_streams == 0)
        assert fake_engine.calls["CreateTask"] == 100

    def test_on_a_loop_too(self, instant: FakeEngine) -> None:
        closed = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                for one in numbers():
                    await asyncio.sleep(0)
                    yield one
            finally:
                closed.append(True)

        async def act() -> None:
            async with await aio.connect(instant.endpoint) as connection:
                session = await connection.get_session("s")
                before = len(asyncio.all_tasks())
                async with aclosing(endless()) as inputs, aclosing(session.map(inputs)) as results:
                    got = [await anext(results) for _ in range(50)]
                assert got == [b"%d" % number for number in range(50)]
                assert closed == [True]
                hub = Hub.of(session._link)
                while hub._waiters or len(asyncio.all_tasks()) > before + 1:  # the poll
                    await asyncio.sleep(0.01)

        run(act())

    def test_sixty_four_threads_at_once(self, instant: FakeEngine, connection: Connection) -> None:
        session = connection.get_session("s")

        def work(number: int) -> list[bytes | None]:
            return list(session.map((b"%d-%d" % (number, one) for one in range(40)), window=9))

        with ThreadPoolExecutor(64) as pool:
            for number, got in enumerate(pool.map(work, range(64))):
                assert got == [b"%d-%d" % (number, one) for one in range(40)]
        assert instant.calls["CreateTask"] == 64 * 40
        eventually(lambda: is_idle(connection))


class TestFaults:
    @pytest.mark.timeout(200)
    def test_kills_of_the_engine_are_ridden_out(self, tmp_path: Path) -> None:
        """2,000 of 2,000 right, in order, each task once in the engine, through two kills."""
        count = 2000
        spec = {"command": sys.executable, "arguments": [SERVICE]}
        cluster = ClusterProcess(
            tmp_path, executors=2, data=str(tmp_path / "d"), apps=[("echo", spec)], restart_pause=0
        )
        with cluster, connect(cluster.endpoint) as connection:
            session = connection.create_session("echo", session_id="many")
            inputs = (b"echo %d" % number for number in range(count))
            got: list[bytes | None] = []
            for output in session.map(inputs, window=256):
                got.append(output)
                if len(got) in (200, 900):
                    cluster.kill()
                    cluster.start()
            with Stubs(cluster.endpoint) as stubs:
                made = Counter(one.spec.input for one in stubs.ListTask(session_id="many"))
        assert got == [b"%d" % number for number in range(count)]
        assert len(made) == sum(made.values()) == count

    @pytest.mark.parametrize("mode", ["request", "reply"])
    def test_lost_requests_and_replies_make_no_task_twice(
        self,
        instant: FakeEngine,
        connection: Connection,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
    ) -> None:
        create, asked = Engine.create_task, itertools.count()

        def lossy(engine: Engine, *arguments: Any) -> Any:
            lost = next(asked) % 5 == 0
            if lost and mode == "request":
                raise Refusal("UNAVAILABLE", "Socket closed")
            task = create(engine, *arguments)
            if lost:
                raise Refusal("UNAVAILABLE", "Socket closed")
            return task

        monkeypatch.setattr(Engine, "create_task", lossy)
        session = connection.get_session("s")
        got = list(session.map(itertools.islice(numbers(), 300), window=32))
        assert got == [b"%d" % number for number in range(300)]
        inputs = Counter(task.input for task in session.list_tasks())
        assert len(inputs) == sum(inputs.values()) == 300
        eventually(lambda: is_idle(connection))

    def test_a_session_that_is_lost_is_an_error_for_each_task(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.add_session("s")
        session = connection.get_session("s")
        inputs = itertools.islice(numbers(), 20)
        with ThreadPoolExecutor(1) as pool:
            got = pool.submit(lambda: list(session.map(inputs, return_exceptions=True)))
            eventually(lambda: fake_engine.calls["CreateTask"] == 20)
            fake_engine.drop_session("s")
            assert [type(one) for one in got.result(60)] == [SessionLostError] * 20
        eventually(lambda: is_idle(connection))

    def test_a_closed_session_takes_nothing_more(
        self, instant: FakeEngine, connection: Connection
    ) -> None:
        """It is raised whatever ``return_exceptions`` says: else endless inputs never ended."""
        session = connection.get_session("s")
        results = session.map(numbers(), window=10, return_exceptions=True)
        assert next(results) == b"0"
        session.close()
        with pytest.raises(SessionClosedError):
            for _ in results:
                pass
        eventually(lambda: is_idle(connection))
        instant.drop_session("s")
        connection.link.run(forget(connection))
        with pytest.raises(SessionNotFoundError):
            next(session.map(numbers()))

    def test_a_connection_that_is_closed_ends_it(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.add_session("s")
        session = connection.get_session("s")
        results = session.map(numbers(), window=50)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(next, results)
            eventually(lambda: fake_engine.calls["CreateTask"] == 50)
            connection.close()
            with pytest.raises(ConnectionClosedError):
                waiting.result(30)
        with pytest.raises(ConnectionClosedError):
            next(session.map(numbers()))

    def test_a_forked_child_does_not_wait_for_what_is_under_way(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        fake_engine.add_session("s")
        results = connection.get_session("s").map([b"a", b"b"], ordered=False)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(next, results)
            eventually(lambda: fake_engine.calls["CreateTask"] == 2)
            fake_engine.succeed("s", "1", b"out")
            assert first.result(30) == b"out"

        def child() -> str:
            try:
                next(results)
            except InvalidStateError as error:
                return error.message
            return "went on"

        assert "before a fork" in ask(child)
        fake_engine.succeed("s", "2", b"last")
        assert list(results) == [b"last"], "the parent goes on"

    def test_an_interrupt_ends_the_wait(
        self, fake_engine: FakeEngine, connection: Connection
    ) -> None:
        """What the inputs raise that is no Exception is not held back."""
        fake_engine.add_session("s")

        def interrupted() -> Iterator[bytes]:
            yield b"x"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(connection.get_session("s").map(interrupted()))
        eventually(lambda: is_idle(connection))


def test_threads_are_none(instant: FakeEngine, connection: Connection) -> None:
    """A map starts no thread of its own; the connection has one for a list."""
    session = connection.get_session("s")
    session.list_tasks()
    before = set(threading.enumerate())
    for _ in zip(session.map(numbers()), range(10), strict=False):
        assert set(threading.enumerate()) <= before
