"""Through real proxies everything goes on, and what they cut is no outage (docs/proxies.md).

A proxy whose program is missing is left out; a line of the report's header says so. All of them
cut a stream that is quiet for two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.proxies import KINDS, through
from support.waiting import eventually

from flamepy import aio
from flamepy.core import connect
from flamepy.core.service import FlameService, TaskContext
from flamepy.errors import FlameError
from flamepy.informers import Reactor, signals
from flamepy.local import LocalCluster
from flamepy.testing import RecordingInformer

PROXIES = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.timeout(120)
QUIET = 7.0  # seconds: three times over what a quiet stream is given


class Echo(FlameService):
    """Gives back its input; of "slow" a while later."""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        if context.input == b"slow":
            threading.Event().wait(QUIET)
        return context.input


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with LocalCluster(cache_port=None, executors=4) as cluster:
        cluster.register_service("echo", Echo, delay_release=0)
        yield cluster.endpoint


@contextmanager
def words(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Give what is said of an outage: warnings, and changes of the connection's state."""
    said: list[str] = []

    def note(sender: object, *, state: object, **_: object) -> None:
        said.append(f"connection_changed: {state}")

    caplog.clear()
    with caplog.at_level(logging.WARNING, "flamepy"):
        signals.connection_changed.connect(note)
        try:
            yield said
        finally:
            signals.connection_changed.disconnect(note)
            said += [one.getMessage() for one in caplog.records if one.name.startswith("flamepy")]


@PROXIES
def test_a_map_of_500_and_what_an_informer_is_told_of_it(
    kind: str, engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = [b"%d" % number for number in range(500)]
    informer = RecordingInformer()
    with (
        words(caplog) as said,
        through(kind, engine, tmp_path) as endpoint,
        connect(endpoint) as connection,
        Reactor(connection=connection, plugins=()) as reactor,
    ):
        reactor.register(informer)
        reactor.wait_synced(timeout=30)
        with connection.create_session("echo") as session:
            assert list(session.map(inputs)) == inputs
            informer.wait_for(lambda seen: len(mine(seen, session.id)) >= 500, timeout=30)
        assert sorted(map(int, mine(informer, session.id))) == list(range(1, 501))
    assert said == []


def mine(informer: RecordingInformer, session_id: str) -> list[str]:
    """Return the tasks of a session whose end was told, as often as it was."""
    ends = informer.terminal()
    return [task for session, task, state in ends if (session, state) == (session_id, "SUCCEED")]


@PROXIES
def test_a_burst_of_200_calls_at_once(kind: str, engine: str, tmp_path: Path) -> None:
    async def burst(endpoint: str) -> Counter[str]:
        async with await aio.connect(endpoint) as connection:

            async def one() -> str:
                try:
                    return f"{len(await connection.list_nodes(timeout=60))} node"
                except FlameError as error:
                    return repr(error)

            return Counter(await asyncio.gather(*(one() for _ in range(200))))

    with through(kind, engine, tmp_path) as endpoint:
        assert asyncio.run(burst(endpoint)) == {"1 node": 200}


@PROXIES
def test_a_task_longer_than_the_proxys_patience_has_its_result_and_nobody_is_told_of_an_outage(
    kind: str, engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy cuts its watch, quiet for two seconds, again and again."""
    informer = RecordingInformer()
    with (
        words(caplog) as said,
        through(kind, engine, tmp_path) as endpoint,
        connect(endpoint) as connection,
        Reactor(connection=connection, plugins=()) as reactor,
    ):
        reactor.register(informer)
        with connection.create_session("echo") as session:
            states = [task.state.name for task in session.watch_task(session.run(b"slow").task_id)]
            assert states[-1] == "SUCCEED"
            assert session.invoke(b"slow", timeout=60) == b"slow"
            eventually(lambda: mine(informer, session.id) == ["1", "2"], "both ends to be told")
        assert reactor.health().ready
    assert said == []
    if kind == "nginx":  # and it was really cut
        log = (tmp_path / "error.log").read_text()
        assert "upstream timed out" in log


@PROXIES
@pytest.mark.parametrize(("streams", "count"), [(8, 200), (1, 60)])
def test_few_streams_at_once_are_enough(
    kind: str, streams: int, count: int, engine: str, tmp_path: Path
) -> None:
    inputs = [b"%d" % number for number in range(count)]
    with (
        through(kind, engine, tmp_path, streams=streams) as endpoint,
        connect(endpoint) as connection,
        connection.create_session("echo") as session,
    ):
        assert list(session.map(inputs)) == inputs
        assert session.invoke(b"slow", timeout=60) == b"slow"


@pytest.mark.skipif("nginx" not in KINDS, reason="nginx is not installed")
def test_a_proxy_that_takes_leave_of_connections_is_no_outage(
    engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = [b"%d" % number for number in range(300)]
    with (
        words(caplog) as said,
        through("nginx", engine, tmp_path, requests=20) as endpoint,
        connect(endpoint) as connection,
        Reactor(connection=connection, plugins=()),
        connection.create_session("echo") as session,
    ):
        assert list(session.map(inputs)) == inputs
    assert said == []


@pytest.mark.skipif("nginx" not in KINDS, reason="nginx is not installed")
def test_a_body_that_the_proxy_refuses_is_said_with_its_size_and_the_way_out(
    engine: str, tmp_path: Path
) -> None:
    with (
        through("nginx", engine, tmp_path, body="1m") as endpoint,
        connect(endpoint) as connection,
        connection.create_session("echo") as session,
    ):
        with pytest.raises(FlameError, match=r"(?s)413|refuses") as caught:
            session.invoke(bytes(2 << 20), timeout=20)
        assert "object cache" in caught.value.message
        assert not caught.value.retryable
        assert session.invoke(b"small", timeout=20) == b"small"
