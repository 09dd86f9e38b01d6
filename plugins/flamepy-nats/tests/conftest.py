"""A server for each test, where there is a program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import PROGRAM, Server


def pytest_report_header() -> str | None:
    return None if PROGRAM else "left out, since the program is not installed: nats-server"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with JetStream and no stream."""
    if PROGRAM is None:
        pytest.skip("nats-server is not installed")
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()
