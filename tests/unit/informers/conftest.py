"""An engine whose tasks do what a test says, a connection to it, and receivers that go again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flamepy.core import Connection, connect
from flamepy.informers import Reactor, signals
from flamepy.testing import FakeEngine


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("s")
    return fake_engine


@pytest.fixture
def engine_connection(engine: FakeEngine) -> Iterator[Connection]:
    with connect(engine.endpoint) as made:
        yield made


@pytest.fixture
def running(engine_connection: Connection) -> Iterator[Reactor]:
    with Reactor(connection=engine_connection) as made:
        yield made


@pytest.fixture(autouse=True)
def receivers_restored() -> Iterator[None]:
    yield
    for signal in signals.namespace.values():
        for receiver in list(signal.receivers):
            signal.receivers.pop(receiver, None)
        signal._clear_state()
