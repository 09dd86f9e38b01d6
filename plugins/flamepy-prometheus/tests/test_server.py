"""Silent and slow clients delay no scrape, are bounded, and end with the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from flamepy_prometheus import server as module
from flamepy_prometheus.server import MetricsServer
from prometheus_client import CollectorRegistry, Counter


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    Counter("seen", "what is served", registry=registry)
    made = MetricsServer("127.0.0.1", 0, registry)
    yield made
    with contextlib.suppress(OSError):
        made.close()


@pytest.fixture
def clients() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def opened(server: MetricsServer, clients: contextlib.ExitStack) -> socket.socket:
    return clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))


def scraped(server: MetricsServer) -> bool:
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return b"seen_total" in answer.read()


def test_silent_clients_delay_no_scrape_and_are_bounded(
    server: MetricsServer, clients: contextlib.ExitStack
) -> None:
    before = threading.active_count()
    oldest = opened(server, clients)
    for _ in range(2 * module.CONNECTION_LIMIT):
        opened(server, clients).sendall(b"GET /metrics HTTP/1.0\r\n")
    assert scraped(server)
    assert oldest.recv(1) == b"", "the oldest one ended"
    assert len(server._server._open) <= module.CONNECTION_LIMIT
    assert threading.active_count() <= before + 2 * module.CONNECTION_LIMIT


def test_a_close_ends_every_connection(
    server: MetricsServer, clients: contextlib.ExitStack
) -> None:
    silent = opened(server, clients)
    assert scraped(server)
    server.close()
    assert silent.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        scraped(server)


def test_without_a_thread_nothing_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def refuse(thread: threading.Thread) -> None:
        ports.append(thread._target.__self__.server_address[1])  # type: ignore[attr-defined]  # of the server
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        MetricsServer("127.0.0.1", 0, CollectorRegistry())
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", ports[0]), timeout=5)
