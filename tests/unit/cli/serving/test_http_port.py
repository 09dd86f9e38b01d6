"""The HTTP port: no client delays another, connections are bounded, a stop ends all of them."""

from __future__ import annotations

import contextlib
import gc
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.cli.serving import http_port
from flamepy.cli.serving.http_port import HttpPort

LIMIT = 10.0  # seconds that a client of a test waits before the test fails
LARGE = b"x" * 8_000_000  # more than the sockets' buffers take


def answer(path: str) -> tuple[int, bytes]:
    if path == "/large":
        return 200, LARGE
    if path == "/broken":
        raise ValueError("a bug")
    return 200, path.encode()


@pytest.fixture
def port() -> Iterator[HttpPort]:
    made = HttpPort("127.0.0.1", 0, answer)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def clients() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def opened(port: HttpPort, clients: contextlib.ExitStack, said: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port.port), timeout=LIMIT)
    clients.enter_context(client)
    if said:
        client.sendall(said)
    return client


def ask(port: HttpPort, path: str = "/x", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port.port, timeout=LIMIT)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def read(client: socket.socket) -> bytes:
    """Return all that comes until the connection ends, in whichever way."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := client.recv(1 << 16):
            received += more
    return received


class TestManyClients:
    """The limit for an exchange is longer than a test waits: nothing here is due to its end."""

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_port, "EXCHANGE_LIMIT", 600.0)

    @pytest.mark.parametrize(
        "said",
        [b"", b"G", b"GET /x HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01\x02\x00\x01"],
        ids=["silent", "one byte", "headers without an end", "TLS"],
    )
    def test_those_that_send_no_request_delay_nobody(
        self, port: HttpPort, clients: contextlib.ExitStack, said: bytes
    ) -> None:
        for _ in range(20):
            opened(port, clients, said)
        assert ask(port) == (200, b"/x")

    def test_one_that_sends_a_byte_now_and_then_delays_nobody(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        slow = opened(port, clients)
        for byte in b"GET /slow HTTP/1.0\r\n\r\n":
            slow.sendall(bytes([byte]))
            assert ask(port) == (200, b"/x")
        assert read(slow).endswith(b"/slow")

    def test_one_that_does_not_read_its_answer_delays_nobody(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        slow = opened(port, clients, b"GET /large HTTP/1.0\r\n\r\n")
        assert ask(port) == (200, b"/x")
        assert read(slow).endswith(LARGE)

    def test_connections_are_bounded_and_the_oldest_one_ends(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        oldest = opened(port, clients)
        for _ in range(http_port.CONNECTION_LIMIT):
            opened(port, clients)
        assert read(oldest) == b""
        assert ask(port) == (200, b"/x")

    def test_one_that_closes_its_side_ends(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        half = opened(port, clients, b"GET /x")
        half.shutdown(socket.SHUT_WR)
        assert read(half) == b""

    def test_a_stop_ends_every_connection_and_the_thread(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        silent = opened(port, clients)
        unread = opened(port, clients, b"GET /large HTTP/1.0\r\n\r\n")
        assert ask(port) == (200, b"/x")
        port.stop()
        port.stop()
        assert not any(one.name == http_port.THREAD for one in threading.enumerate())
        assert read(silent) == b""
        assert not read(unread).endswith(LARGE)
        with pytest.raises(OSError, match="refused"):
            ask(port)


class TestLimits:
    @pytest.mark.parametrize(
        "said", [b"", b"GET /large HTTP/1.0\r\n\r\n"], ids=["silent", "unread"]
    )
    def test_an_exchange_that_takes_too_long_ends(
        self, clients: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        monkeypatch.setattr(http_port, "EXCHANGE_LIMIT", 0.2)
        port = HttpPort("127.0.0.1", 0, answer)
        port.start()
        try:
            slow = opened(port, clients, said)
            threading.Event().wait(0.5)
            assert not read(slow).endswith(LARGE)
        finally:
            port.stop()

    def test_a_request_that_is_too_large_is_refused(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        huge = opened(port, clients)
        with contextlib.suppress(ConnectionError):
            huge.sendall(b"GET /x HTTP/1.0\r\nA: " + b"a" * (http_port.REQUEST_LIMIT + 1))
        assert read(huge).startswith(b"HTTP/1.0 431 ")


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "status"),
        [
            (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
            (b"GET /x HTTP/1.0\n\n", b"200"),
            (b"HEAD /x HTTP/1.0\r\n\r\n", b"200"),
            (b"POST /x HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", b"405"),
            (b"\r\n\r\n", b"400"),
            (b"GET\r\n\r\n", b"400"),
            (b"\xff\xfe\x00 x y\r\n\r\n", b"400"),
            (b"GET /broken HTTP/1.0\r\n\r\n", b"500"),
        ],
    )
    def test_whatever_is_sent_has_a_status(
        self, port: HttpPort, clients: contextlib.ExitStack, said: bytes, status: bytes
    ) -> None:
        received = read(opened(port, clients, said))
        assert received.split()[1] == status
        assert ask(port) == (200, b"/x"), "and the next one is answered"

    def test_head_has_the_length_and_no_body(
        self, port: HttpPort, clients: contextlib.ExitStack
    ) -> None:
        received = read(opened(port, clients, b"HEAD /four HTTP/1.0\r\n\r\n"))
        assert b"Content-Length: 5\r\n" in received
        assert received.endswith(b"\r\n\r\n")


class TestStart:
    def test_without_a_thread_nothing_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        port = HttpPort("127.0.0.1", 0, answer)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            port.start()
        port.stop()
        with pytest.raises(OSError, match="refused"):
            ask(port)

    def test_one_that_was_never_started_can_be_stopped(self) -> None:
        port = HttpPort("127.0.0.1", 0, answer)
        port.stop()
        eventually(lambda: port._socket.fileno() == -1, "the socket to be closed")


def test_a_connection_of_the_moment_of_the_stop_is_closed(recwarn: pytest.WarningsRecorder) -> None:
    """A socket that is left open warns when it is collected."""
    for _ in range(200):
        port = HttpPort("127.0.0.1", 0, answer)
        port.start()
        with socket.create_connection(("127.0.0.1", port.port), timeout=10):
            port.stop()
        gc.collect()
    assert not recwarn.list
