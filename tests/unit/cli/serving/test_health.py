"""Health over HTTP: status, body, other paths, and clients that do not behave."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from flamepy.cli.serving.health import HealthServer, parse_address
from flamepy.errors import ConfigError


@dataclass
class Made:
    live: bool = True
    ready: bool = True

    def to_dict(self) -> dict[str, object]:
        return {"live": self.live, "ready": self.ready}


@pytest.fixture
def health() -> Made:
    return Made()


@pytest.fixture
def server(health: Made) -> Iterator[HealthServer]:
    made = HealthServer("127.0.0.1", 0, lambda: health)
    made.start()
    yield made
    made.stop()


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("live", "ready", "path", "status"),
    [
        (True, True, "/healthz", 200),
        (True, True, "/readyz?verbose", 200),
        (True, False, "/healthz", 200),
        (True, False, "/readyz", 503),
        (False, False, "/healthz", 503),
    ],
)
def test_the_status_says_it_and_the_body_says_more(
    server: HealthServer, health: Made, live: bool, ready: bool, path: str, status: int
) -> None:
    health.live, health.ready = live, ready
    got, body = ask(server, path)
    assert (got, json.loads(body)) == (status, {"live": live, "ready": ready})


def test_another_path_says_which_there_are(server: HealthServer) -> None:
    status, body = ask(server, "/metrics")
    assert status == 404
    assert "/healthz and /readyz" in json.loads(body)["error"]


def test_head_has_no_body(server: HealthServer) -> None:
    assert ask(server, "/healthz", "HEAD") == (200, b"")


def test_a_port_that_is_taken_is_an_error(server: HealthServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HealthServer("127.0.0.1", server.port, Made)


def test_a_port_that_is_stopped_at_once_ends_in_order(health: Made) -> None:
    """Its thread may not have come far: what it raised would be a traceback and a warning here."""
    for _ in range(30):
        server = HealthServer("127.0.0.1", 0, lambda: health)
        server.start()
        server.stop()
        server.stop()
        HealthServer("127.0.0.1", server.port, lambda: health).stop()  # it is free again


def test_an_ipv6_address_is_listened_on(health: Made) -> None:
    try:
        server = HealthServer("::1", 0, lambda: health)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server.start()
    with socket.create_connection(("::1", server.port), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200 ")
    server.stop()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8081", ("127.0.0.1", 8081)),
        (":8081", ("127.0.0.1", 8081)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:8081", ("::1", 8081)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:65536", "::1:80", "h:8０"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write"):
        parse_address(text)
