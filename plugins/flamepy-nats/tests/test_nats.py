"""From a reactor's events to a stream: each end once, in order, over outages and restarts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from flamepy_nats import Nats
from servers import Server, eventually

from flamepy.core import Connection, connect
from flamepy.informers import Reactor, Registration
from flamepy.informers.plugins.loading import discover
from flamepy.testing import FakeEngine, check_informer

QUICK = {"backoff_first": 0.05, "backoff_max": 0.1}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as made:
        made.add_session("s", application="render")
        yield made


@pytest.fixture
def connection(engine: FakeEngine) -> Iterator[Connection]:
    with connect(engine.endpoint) as made:
        yield made


def finish(engine: FakeEngine, count: int) -> None:
    for _ in range(count):
        task = engine.add_task("s")
        engine.start("s", task)
        engine.succeed("s", task)


def empty(registration: Registration) -> bool:
    return registration.outbox is not None and registration.outbox.waiting == 0


def ended(server: Server) -> list[str]:
    """Return the tasks whose end is in the stream, in its order."""
    return [body["task"] for subject, _, body in server.messages() if subject.endswith(".succeed")]


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "nats"]
    assert (info.distribution, info.problem) == ("flamepy-nats", None)


def test_each_end_is_once_in_the_stream_over_an_outage_and_a_restart(
    engine: FakeEngine, connection: Connection, server: Server, tmp_path: Path
) -> None:
    server.create(max_bytes=10_000_000)
    checkpoint = tmp_path / "state.db"
    with Reactor(connection=connection, checkpoint=checkpoint) as reactor:
        registration = reactor.register(Nats(url=server.url, outbox=QUICK), uid="nats")
        reactor.wait_synced(30)
        finish(engine, 5)
        eventually(lambda: len(ended(server)) == 5, "five ends")
        server.kill()
        finish(engine, 5)
        eventually(lambda: len(reactor.tasks.list()) == 10, "that they were seen")
    server.start()
    finish(engine, 5)
    with Reactor(connection=connection, checkpoint=checkpoint) as reactor:
        registration = reactor.register(Nats(url=server.url, outbox=QUICK), uid="nats")
        reactor.wait_synced(30)
        eventually(lambda: len(ended(server)) >= 15, "every end")
        eventually(lambda: empty(registration), "an empty outbox")
    assert sorted(map(int, ended(server))) == list(range(1, 16))
    by_task: dict[str, list[str]] = {}
    for _, _, body in server.messages():
        by_task.setdefault(body.get("task", "-"), []).append(body["state"])
    order = ["pending", "running", "succeed"]
    del by_task["-"]
    assert all(states == sorted(states, key=order.index) for states in by_task.values())


def test_a_stream_that_is_missing_is_waited_for(
    engine: FakeEngine,
    connection: Connection,
    server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
        registration = reactor.register(Nats(url=server.url, outbox=QUICK), uid="nats")
        reactor.wait_synced(30)
        finish(engine, 1)
        eventually(lambda: "no stream takes the subject" in caplog.text, "the warning")
        assert not empty(registration)
        server.create()
        eventually(lambda: empty(registration), "an empty outbox")
    assert ended(server) == ["1"]


def test_it_bears_everything_that_engines_do() -> None:
    check_informer(lambda: Nats(url="nats://127.0.0.1:1", timeout=0.05, durable=False))
