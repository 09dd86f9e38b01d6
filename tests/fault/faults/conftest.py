"""A fake engine with a session ``s``, a connection to it, and a running reactor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flamepy.core import Connection, connect
from flamepy.informers import Reactor
from flamepy.testing import FakeEngine


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("s")
    return fake_engine


@pytest.fixture
def connection(engine: FakeEngine) -> Iterator[Connection]:
    with connect(engine.endpoint) as made:
        yield made


@pytest.fixture
def reactor(connection: Connection) -> Iterator[Reactor]:
    with Reactor(connection=connection, plugins=()) as made:
        yield made
