"""Peers that say nothing any more, and connections that are taken leave of (faults 5, 7 and 8).

A stopped process, a black hole and a half-open connection look alike to a client: nothing comes.
Keepalive ends what hangs on the connection; the poll is the heartbeat of those who watch. A
connection that ends because it is old, or pinged too often, is nobody's business.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.cluster_process import ClusterProcess
from support.frozen import freeze
from support.waiting import eventually

from flamepy.core import Connection, TaskFuture, connect
from flamepy.errors import DeadlineExceededError, FlameError, UnavailableError
from flamepy.informers import Reactor
from flamepy.testing import ChaosProxy, FakeEngine, RecordingInformer
from flamepy.types import ConnectionState
from flamepy.watching.hub import Hub

SOON = (1.0, 1.0)  # seconds of keepalive
LIMIT = 20.0
# Its service never opens its socket, so that its tasks wait.
IDLE = ("idle", {"command": "/bin/sleep", "arguments": ["600"]})


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterProcess]:
    with ClusterProcess(tmp_path, executors=1, apps=[IDLE]) as running:
        yield running


async def stream_ends(connection: Connection, session_id: str, task_id: str) -> FlameError | None:
    """Return the error by which a WatchTask stream ends; it has no deadline of its own."""
    stream = connection.link.frontend.watch_task(session_id, task_id)

    async def read() -> FlameError | None:
        try:
            async for _ in stream:
                pass
        except FlameError as error:
            return error
        return None

    return await asyncio.wait_for(read(), LIMIT)


@contextmanager
def stopped(cluster: ClusterProcess, proxy: ChaosProxy) -> Iterator[None]:
    freeze(cluster.pid)
    try:
        yield
    finally:
        os.kill(cluster.pid, signal.SIGCONT)


@contextmanager
def black_hole(cluster: ClusterProcess, proxy: ChaosProxy) -> Iterator[None]:
    proxy.black_hole()
    yield
    proxy.heal()


@contextmanager
def half_open(cluster: ClusterProcess, proxy: ChaosProxy) -> Iterator[None]:
    """The engine restarts, and the end of its connections never arrives."""
    proxy.black_hole(connections="existing")
    cluster.kill()
    yield
    cluster.start()


SILENCES = pytest.mark.parametrize("silence", [stopped, black_hole, half_open])


class TestKeepalive:
    @SILENCES
    def test_a_stream_to_a_silent_peer_ends_by_keepalive(
        self, cluster: ClusterProcess, silence
    ) -> None:
        with (
            ChaosProxy(cluster.endpoint) as proxy,
            connect(proxy.endpoint, keepalive=SOON) as connection,
        ):
            session = connection.create_session("idle")
            task = session.create_task(b"x")
            watching = asyncio.run_coroutine_threadsafe(
                stream_ends(connection, session.id, task.id), connection.link.reactor.loop
            )
            eventually(lambda: len(connection.link._calls.streams) == 1)
            with silence(cluster, proxy):
                error = watching.result(LIMIT)
            assert isinstance(error, UnavailableError)

    def test_a_peer_that_answers_pings_is_left_alone(self, cluster: ClusterProcess) -> None:
        """Nothing is said for many keepalives, and the one connection stays."""
        with (
            ChaosProxy(cluster.endpoint) as proxy,
            connect(proxy.endpoint, keepalive=(0.2, 5.0)) as connection,
        ):
            session = connection.create_session("idle")
            task = session.create_task(b"x")

            async def watch_a_while() -> None:
                watching = asyncio.ensure_future(stream_ends(connection, session.id, task.id))
                await asyncio.wait({watching}, timeout=2.0)
                assert not watching.done()
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

            connection.link.run(watch_a_while())
            assert proxy.accepted == 1


class Told:
    """Everything that somebody who watches is told of the engine."""

    def __init__(self, connection: Connection) -> None:
        self.informer = RecordingInformer()
        self.states: list[ConnectionState] = []
        self.link = connection.link
        self.link.add_observer(lambda change: self.states.append(change.state))

    @property
    def hub(self) -> Hub:
        async def of() -> Hub:
            return Hub.of(self.link)

        return self.link.run(of())


class TestHeartbeat:
    @SILENCES
    def test_fault_05_polls_notice_a_silent_peer_and_its_return_and_tell_each_once(
        self, cluster: ClusterProcess, silence
    ) -> None:
        """Keepalive is as it is by default, so the poll notices first."""
        with (
            ChaosProxy(cluster.endpoint) as proxy,
            connect(proxy.endpoint) as connection,
            Reactor(connection=connection, plugins=(), poll_timeout=0.5) as reactor,
        ):
            told = Told(connection)
            reactor.register(told.informer).wait_synced(LIMIT)
            health = told.hub.health
            with silence(cluster, proxy):
                eventually(lambda: told.informer.errors, "the silence is noticed", LIMIT)
                assert isinstance(told.informer.errors[0], DeadlineExceededError)
                polls = health.polls
                eventually(lambda: health.polls > polls + 3, "polls go on", LIMIT)
                assert connection.link.state is not ConnectionState.CONNECTED
            if silence is half_open:
                return  # the one connection hangs until keepalive's minute is over
            eventually(lambda: connection.link.state is ConnectionState.CONNECTED, limit=LIMIT)
            assert len(told.informer.errors) == health.outages == 1
            assert told.states == [ConnectionState.DEGRADED, ConnectionState.CONNECTED]

    def test_a_half_open_connection_is_replaced(
        self, cluster: ClusterProcess, tmp_path: Path
    ) -> None:
        with (
            ChaosProxy(cluster.endpoint) as proxy,
            connect(proxy.endpoint, keepalive=SOON) as connection,
            Reactor(connection=connection, plugins=(), poll_timeout=1.0) as reactor,
        ):
            told = Told(connection)
            reactor.register(told.informer).wait_synced(LIMIT)
            with half_open(cluster, proxy):
                eventually(lambda: told.informer.errors, "the silence is noticed", LIMIT)
            eventually(lambda: connection.link.state is ConnectionState.CONNECTED, limit=LIMIT)
            assert proxy.accepted >= 2
            assert connection.list_nodes()
            assert len(told.informer.errors) == 1


class TestGoodbye:
    @contextmanager
    def watched(
        self, engine: FakeEngine, keepalive: tuple[float, float] | None = None
    ) -> Iterator[tuple[ChaosProxy, Told, list[TaskFuture]]]:
        with (
            ChaosProxy(engine.endpoint) as proxy,
            connect(proxy.endpoint, keepalive=keepalive) as connection,
            Reactor(connection=connection, plugins=(), poll_interval=30.0) as reactor,
        ):
            engine.add_session("s")
            told = Told(connection)
            reactor.register(told.informer).wait_synced(LIMIT)
            futures = [connection.get_session("s").run(b"x") for _ in range(3)]
            yield proxy, told, futures
            for future in futures:
                engine.succeed("s", future.task_id, b"y")
                assert future.result(timeout=LIMIT) == b"y"
            told.informer.wait_for(lambda seen: len(seen.terminal()) == 3, LIMIT)
            assert told.states == [], "the state of the connection went to and fro"
            assert told.informer.errors == []
            assert len({event.key for event in told.informer.events}) == len(told.informer.events)

    def test_fault_07_connections_that_grow_old_are_nobodys_business(self) -> None:
        ageing = {"grpc.max_connection_age_ms": 500, "grpc.max_connection_age_grace_ms": 100}
        with FakeEngine(options=ageing) as engine, self.watched(engine) as (proxy, *_):
            eventually(lambda: proxy.accepted > 5, "connections grow old", LIMIT)

    def test_fault_08_too_many_pings_are_nobodys_business(self) -> None:
        """A server with gRPC's own limits, as ``FakeEngine`` has them, ends the connection."""
        with FakeEngine() as engine, self.watched(engine, (0.2, 5.0)) as (proxy, *_):
            eventually(lambda: proxy.accepted > 1, "the server takes pings amiss", 40.0)
