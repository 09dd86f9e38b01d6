"""Databases for the tests: SQLite, and the servers that are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sql_servers import SERVERS, Server, missing, server_of
from sqlalchemy import Engine, create_engine

KINDS = ("sqlite", *SERVERS)


def pytest_report_header() -> list[str]:
    return [text for text in map(missing, SERVERS) if text is not None]


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Servers that were started so far; each is started when a test first wants it."""
    started: dict[str, Server] = {}
    yield started
    for server in started.values():
        server.close()


@pytest.fixture
def postgresql(servers: dict[str, Server]) -> Server:
    return server_of("postgresql", servers)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, servers: dict[str, Server], tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'flame.db'}"
    return server_of(request.param, servers).database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    yield made
    made.dispose()
