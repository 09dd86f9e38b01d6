"""The client connects to what was checked, ends in time, and its errors show no secret."""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import httpcore
import pytest
import trustme
from flamepy_webhook.addresses import EVERYWHERE, networks_of
from flamepy_webhook.options import proxy_of
from flamepy_webhook.replies import Reply
from flamepy_webhook.transport import (
    BODY_LIMIT,
    AddressRefusedError,
    Client,
    Deadline,
    TransportError,
    resolve,
)
from receiver import Answer, Receiver, raw_server, read_request

FIELDS = [(b"authorization", b"canary")]
LONG = 60.0  # seconds, in which anything local happens


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client(url: str, **options: Any) -> closing[Client]:
    given = {
        "allowed": EVERYWHERE,
        "timeout": LONG,
        "connect_timeout": LONG,
        "context": ssl.create_default_context(),
        **options,
    }
    return closing(Client(url, **given))


def failure(url: str, **options: Any) -> str:
    """Return the error of a request that gets no answer."""
    with client(url, **options) as made, pytest.raises(TransportError) as raised:
        made.post(FIELDS, b"canary")
    assert "canary" not in f"{raised.value!r} {raised.value.__cause__!r}"
    return str(raised.value)


def test_an_answer_is_its_status_and_the_fields_that_matter() -> None:
    said = Answer(503, {"Retry-After": "7", "X-Other": "canary"}, b"canary")
    with Receiver(lambda _: said) as receiver, client(receiver.url) as made:
        reply = made.post(FIELDS, b"body")
    assert reply.status == 503
    assert reply.headers["retry-after"] == "7"
    assert set(reply.headers) == {"retry-after", "date"}
    (got,) = receiver.requests
    assert (got.body, got.headers["authorization"]) == (b"body", "canary")
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_connections_are_used_again_each_by_one_thread_at_a_time() -> None:
    with Receiver() as receiver, client(receiver.url) as made:
        for _ in range(5):
            made.post([], b"")
        assert len({one.client for one in receiver.requests}) == 1

        def work() -> None:
            for _ in range(20):
                assert made.post([], b"x").status == 204

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(receiver.requests) == 85
    assert len({one.client for one in receiver.requests}) <= 5


def test_redirects_are_not_followed() -> None:
    with Receiver() as other:
        said = Answer(307, {"Location": other.url})
        with Receiver(lambda _: said) as receiver, client(receiver.url) as made:
            assert made.post([], b"").status == 307
    assert other.requests == []


# ---------------------------------------------------------------------- addresses


def test_a_name_with_one_private_address_is_refused_and_nothing_is_connected_to() -> None:
    with Receiver() as receiver:
        for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]):
            url = f"http://hooks.example:{receiver.port}/canary"
            with (
                client(url, allowed=(), resolver=lambda *_, found=addresses: found) as made,
                pytest.raises(
                    AddressRefusedError, match=r"hooks\.example is at 127\.0\.0\.1"
                ) as raised,
            ):
                made.post(FIELDS, b"")
            assert "canary" not in str(raised.value)
    assert receiver.requests == []


def test_the_connection_goes_to_what_was_checked_whatever_the_name_is_next() -> None:
    """DNS rebinding: allowed at the check, another address a moment later."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    allowed = networks_of("127.0.0.1")
    with Receiver() as receiver:
        url = f"http://hooks.example:{receiver.port}/"
        with client(url, allowed=allowed, resolver=rebinding) as made:
            assert made.post([], b"").status == 204
    assert asked == ["hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_each_connection_checks_again() -> None:
    answers = itertools.chain([["127.0.0.1"]], itertools.repeat(["127.0.0.2"]))
    said = Answer(204, {"Connection": "close"})
    with Receiver(lambda _: said) as receiver:
        url = f"http://hooks.example:{receiver.port}/"
        allowed = networks_of("127.0.0.1")
        with client(url, allowed=allowed, resolver=lambda *_: next(answers)) as made:
            made.post([], b"")
            with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.2"):
                made.post([], b"")
    assert len(receiver.requests) == 1


def test_the_next_address_is_tried_when_one_does_not_accept() -> None:
    with Receiver() as receiver:
        url = f"http://hooks.example:{receiver.port}/"
        with client(url, resolver=lambda *_: ["127.0.0.99", "127.0.0.1"]) as made:
            assert made.post([], b"").status == 204


def test_a_name_that_is_not_known_is_an_error() -> None:
    assert "hooks.invalid" in failure("http://hooks.invalid/canary")
    assert "no address" in failure("http://hooks.example/canary", resolver=lambda *_: [])
    with pytest.raises(httpcore.ConnectError):
        resolve("a" * 70, 80)
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert resolve("[::1]", 80) == ["::1"]


# ---------------------------------------------------------------------- TLS


def test_tls_checks_the_name_of_the_url_and_not_the_address(authority: trustme.CA) -> None:
    names: list[str | None] = []
    context = server_context(authority, "hooks.example")
    context.sni_callback = lambda _, name, __: names.append(name)
    mine = ssl.create_default_context()
    authority.configure_trust(mine)
    with Receiver(context=context) as receiver:
        url = f"https://hooks.example:{receiver.port}/"
        with client(url, context=mine, resolver=lambda *_: ["127.0.0.1"]) as made:
            assert made.post([], b"").status == 204
        other = url.replace("hooks", "other")
        text = failure(other, context=mine, resolver=lambda *_: ["127.0.0.1"])
        assert "certificate of other.example is refused" in text
        assert "certificate" in failure(url, resolver=lambda *_: ["127.0.0.1"])
    assert names == ["hooks.example", "other.example", "hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert len(receiver.requests) == 1


def test_a_client_certificate_is_shown(authority: trustme.CA) -> None:
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with Receiver(context=context) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/"
        mine = ssl.create_default_context()
        authority.configure_trust(mine)
        assert failure(url, context=mine)
        authority.issue_cert("me.example").configure_cert(mine)
        with client(url, context=mine) as made:
            assert made.post([], b"").status == 204


def test_a_server_without_tls_is_an_error() -> None:
    with Receiver() as receiver:
        assert "TLS" in failure(receiver.url.replace("http:", "https:"))


# ---------------------------------------------------------------------- bad receivers


def hang(connection: socket.socket) -> None:
    read_request(connection)
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    """Send header fields for ever, each byte long before any limit of a single read."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    stop = threading.Event()
    while not stop.wait(0.02):
        connection.sendall(b"a: b\r\n")


def never_read(connection: socket.socket) -> None:
    ended = select.poll()
    ended.register(connection, 0)  # what is always reported: the connection is gone
    ended.poll()


def read_slowly(connection: socket.socket) -> None:
    """Take the request so slowly that it would take minutes, never long for a single write."""
    stop = threading.Event()
    while not stop.wait(0.02) and connection.recv(1_000):
        pass


SHORT = 0.3  # seconds, in which nothing of the kind ends by itself


@pytest.mark.parametrize("serve", [hang, drip, never_read, read_slowly])
def test_one_limit_of_time_is_for_everything(serve: Callable[[socket.socket], None]) -> None:
    with (
        raw_server(serve) as port,
        client(f"http://127.0.0.1:{port}/canary", timeout=SHORT) as made,
        pytest.raises(TransportError, match=r"did not answer within 0\.3 s"),
    ):
        made.post([], b"x" * (50_000_000 if serve in (never_read, read_slowly) else 0))


def test_the_limit_of_time_is_of_one_request() -> None:
    times = iter([0.0, 4.0, 8.0, 11.0, 20.0, 24.0])
    deadline = Deadline(clock=lambda: next(times))
    deadline.start(10.0)
    assert deadline.left(None) == 6.0
    assert deadline.left(1.0) == 1.0
    with pytest.raises(httpcore.ReadTimeout):
        deadline.left(1.0)
    deadline.start(10.0)
    assert deadline.left(None) == 6.0


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"canary garbage\r\n\r\n",
        b"HTTP/1.1 canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncanary",
        b"HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"canary: x\r\n" * 20_000 + b"\r\n",
    ],
    ids=["nothing", "garbage", "no status", "cut", "bad length", "many fields"],
)
def test_what_is_no_answer_is_an_error(said: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)

    with raw_server(serve) as port:
        assert "no valid HTTP" in failure(f"http://127.0.0.1:{port}/canary")


def test_a_connection_reset_before_an_answer_is_an_error() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    with raw_server(serve) as port:
        assert failure(f"http://127.0.0.1:{port}/canary").startswith("127.0.0.1")


def test_nobody_listening_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/canary") == "127.0.0.1: Connection refused"


@pytest.mark.parametrize("sent", [0, 50_000_000])
def test_the_status_counts_and_the_body_does_not(sent: int) -> None:
    """A receiver that said 200 has it, though its body breaks off, or is not read to its end."""
    ends: list[bool] = []

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        size = max(sent, 10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        try:
            connection.sendall(b"x" * sent)
        except OSError:
            ends.append(False)
        else:
            ends.append(True)

    with raw_server(serve) as port, client(f"http://127.0.0.1:{port}/") as made:
        assert made.post([], b"") == Reply(200, {})
        assert made.post([], b"") == Reply(200, {})  # on a connection of its own
    assert BODY_LIMIT < 1_000_000
    assert ends == [sent == 0] * 2


# ---------------------------------------------------------------------- proxies


class Proxy:
    """A proxy that does CONNECT and absolute URLs, and notes both; it resolves any name here."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        self.heads.append(head)
        where = head.split(b" ")[1].removeprefix(b"http://").partition(b"/")[0]
        port = int(where.rpartition(b":")[2])
        if head.startswith(b"POST"):
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(self._answer)
        if b" 200 " not in self._answer:
            return
        with socket.create_connection(("127.0.0.1", port)) as onward:
            back = threading.Thread(target=_pump, args=(onward, connection))
            back.start()
            _pump(connection, onward)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def unknown(host: str, port: int) -> Sequence[str]:
    """Resolve what this machine knows: addresses, but not the receiver's name."""
    if host == "hooks.example":
        raise httpcore.ConnectError("its name cannot be resolved")
    return [host]


def test_tls_goes_through_a_proxy_to_the_name_of_the_url(authority: trustme.CA) -> None:
    mine = ssl.create_default_context()
    authority.configure_trust(mine)
    proxy = Proxy()
    with (
        Receiver(context=server_context(authority, "hooks.example")) as receiver,
        raw_server(proxy) as port,
        client(
            f"https://hooks.example:{receiver.port}/",
            allowed=(),
            context=mine,
            resolver=unknown,
            proxy=proxy_of(f"http://me:secret@127.0.0.1:{port}"),
        ) as made,
    ):
        assert made.post(FIELDS, b"body").status == 204
        assert made.post(FIELDS, b"body").status == 204
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT hooks.example:{receiver.port} ".encode())
    assert b"Basic bWU6c2VjcmV0" in head
    assert b"canary" not in head
    assert "proxy-authorization" not in receiver.requests[0].headers


def test_plain_http_goes_through_a_proxy() -> None:
    proxy = Proxy()
    with (
        raw_server(proxy) as port,
        client(
            "http://hooks.example:81/x",
            allowed=(),
            resolver=unknown,
            proxy=proxy_of(f"http://127.0.0.1:{port}"),
        ) as made,
    ):
        assert made.post([], b"").status == 202
    assert proxy.heads[0].startswith(b"POST http://hooks.example:81/x ")


def test_a_proxy_is_not_asked_for_a_private_address() -> None:
    proxy = Proxy()
    with (
        raw_server(proxy) as port,
        client(
            "http://inside.example/",
            allowed=(),
            resolver=lambda host, _: ["10.0.0.7"] if host == "inside.example" else [host],
            proxy=proxy_of(f"http://127.0.0.1:{port}"),
        ) as made,
        pytest.raises(AddressRefusedError, match=r"inside\.example is at 10\.0\.0\.7"),
    ):
        made.post([], b"")
    assert proxy.heads == []


def test_a_proxy_that_refuses_is_an_error() -> None:
    with raw_server(Proxy(b"HTTP/1.1 407 canary\r\n\r\n")) as port:
        text = failure(
            "https://hooks.example:443/canary",
            resolver=unknown,
            proxy=proxy_of(f"http://me:canary@127.0.0.1:{port}"),
        )
    assert text == "the proxy did not connect to hooks.example"


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver() as receiver, client(receiver.url) as made:
        assert made.post([], b"").status == 204
