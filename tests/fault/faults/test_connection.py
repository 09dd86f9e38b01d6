"""Faults of the connection: restarts, resets, refusals, and an engine that is not there.

Faults 5, 7 and 8 are in ``test_silence``, 11 in ``test_tls``.
"""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from support.inline_engine import InlineEngine, connect
from support.waiting import eventually

from flamepy import core
from flamepy.errors import UnavailableError
from flamepy.informers import Reactor, ReactorState
from flamepy.testing import ChaosProxy, FakeClock, FakeEngine, RecordingInformer
from flamepy.types import ConnectionState

LIMIT = 30.0


class Watching(RecordingInformer):
    """Also notes what it is told of the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: list[ConnectionState] = []

    def on_connection(self, state: ConnectionState) -> None:
        self.connection.append(state)

    @property
    def story(self) -> list[tuple[str, str, str]]:
        return [(one.kind.value, one.task.id, one.task.state.name) for one in self.events]


def three_tasks(engine: FakeEngine, informer: Watching) -> None:
    """One stays pending, one runs, one has ended."""
    for _ in range(3):
        engine.add_task("s")
    informer.wait_for(lambda seen: len(seen.events) == 3, LIMIT)
    engine.start("s", "2")
    engine.start("s", "3")
    informer.wait_for(lambda seen: len(seen.events) == 5, LIMIT)
    engine.succeed("s", "3", b"x")
    informer.wait_for(lambda seen: len(seen.events) == 6, LIMIT)


def test_fault_01_a_restart_mid_watch_is_told_at_once_and_then_only_what_differs(
    engine: FakeEngine, reactor: Reactor, connection: core.Connection
) -> None:
    informer = Watching()
    reactor.register(informer).wait_synced(LIMIT)
    three_tasks(engine, informer)
    future = reactor.future(("s", "2"))  # a stream is open
    before = len(informer.events)
    engine.kill()
    informer.wait_for(lambda seen: bool(seen.errors), LIMIT)
    assert connection.link.state is ConnectionState.DISCONNECTED
    engine.succeed("s", "1", b"meanwhile")
    engine.restart()  # what ran is pending again
    informer.wait_for(lambda seen: len(seen.events) == before + 2, LIMIT)
    engine.start("s", "2")
    informer.wait_for(lambda seen: len(seen.events) == before + 3, LIMIT)
    engine.succeed("s", "2", b"again")
    assert future.result(LIMIT).output == b"again"
    informer.wait_for(lambda seen: len(seen.events) == before + 4, LIMIT)
    after = informer.story[before:]
    assert sorted(after[:2]) == [("updated", "1", "SUCCEED"), ("updated", "2", "PENDING")]
    assert after[2:] == [("updated", "2", "RUNNING"), ("updated", "2", "SUCCEED")]
    assert informer.connection == [ConnectionState.DISCONNECTED, ConnectionState.CONNECTED]
    assert len(informer.errors) == 1


def test_fault_06_a_connection_that_is_reset_loses_and_repeats_nothing(engine: FakeEngine) -> None:
    with (
        ChaosProxy(engine.endpoint) as proxy,
        core.connect(proxy.endpoint) as connection,
        Reactor(connection=connection, plugins=()) as reactor,
    ):
        informer = Watching()
        reactor.register(informer).wait_synced(LIMIT)
        three_tasks(engine, informer)
        future = reactor.future(("s", "2"))
        eventually(lambda: engine.open_streams, "the stream")
        accepted = proxy.accepted
        for _ in range(3):
            proxy.reset(connections="existing")
            eventually(lambda before=accepted: proxy.accepted > before, "another connection")
            accepted = proxy.accepted
        engine.succeed("s", "2", b"through")
        assert future.result(LIMIT).output == b"through"
        assert connection.get_session("s").succeed == 2
        informer.wait_for(lambda seen: len(seen.terminal()) == 2, LIMIT)
    assert informer.story[6:] == [("updated", "2", "SUCCEED")]


def test_fault_09_an_engine_that_refuses_for_minutes_is_asked_ever_less_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten minutes, of fake time, in which calls and polls wait for it."""
    clock = FakeClock()

    async def ten_minutes() -> tuple[list[int], float]:
        engine = InlineEngine(clock)
        engine.add_session("s")
        async with connect(engine, patience=3600.0) as connection:
            session = await connection.get_session("s")
            handle = await session.run(b"x")  # polls begin, and a stream
            engine.kill()
            calls = [asyncio.ensure_future(session.refresh(timeout=3600.0)) for _ in range(20)]
            minutes = []
            for _ in range(10):
                before = engine.tried
                await asyncio.sleep(60.0)
                minutes.append(engine.tried - before)
            engine.restart()
            back = clock.now
            engine.succeed("s", handle.task_id, b"y")
            await asyncio.gather(*calls)
            assert await handle == b"y"
            return minutes, clock.now - back

    with caplog.at_level(logging.INFO, logger="flamepy"):
        minutes, late = clock.run(ten_minutes())
    assert minutes[0] < 60 * 8 / 0.1, "a crowd asks about as often as eight would"
    assert minutes[-1] * 20 < minutes[0]
    assert late < 31.0
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warnings) == 2, warnings
    assert "lost the engine" in warnings[0]
    assert "answers again, after 6" in warnings[1]


@pytest.mark.parametrize("where", ["nobody listens", "no such host"])
def test_fault_10_a_wrong_address_is_an_error_for_who_waits_and_is_tried_on_for_who_does_not(
    where: str,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        host = "127.0.0.1" if where == "nobody listens" else "no-such-host.invalid"
        endpoint = f"http://{host}:{port}"
        waiting = Reactor(endpoint=endpoint, plugins=())
        with pytest.raises(UnavailableError, match=f"{host}:{port}"):
            waiting.start(wait=True, timeout=0.5)
        assert waiting.state is ReactorState.STOPPED
    informer = Watching()
    with Reactor(endpoint=endpoint, plugins=()) as reactor:
        registration = reactor.register(informer)
        informer.wait_for(lambda seen: bool(seen.errors), LIMIT)
        assert reactor.state is ReactorState.RUNNING
        if where == "nobody listens":
            with FakeEngine() as late:
                late._port = port  # it comes where it is waited for
                late.kill()
                late.restart()
                registration.wait_synced(LIMIT)
                assert informer.connection[-1] is ConnectionState.CONNECTED
