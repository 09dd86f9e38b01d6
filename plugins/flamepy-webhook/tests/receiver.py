"""Receivers of webhooks for tests: real servers on loopback, each in threads of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """A request: the path, header fields by lower-case names, the body."""

    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


@dataclass
class Answer:
    """What the receiver answers."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver:
    """An HTTP server that keeps what it gets, and answers what ``answer`` returns."""

    def __init__(
        self,
        answer: Callable[[Received], Answer] | None = None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                fields = {name.lower(): value for name, value in self.headers.items()}
                got = Received(self.path, fields, self.rfile.read(length), self.client_address)
                receiver.requests.append(got)
                said = answer(got) if answer else Answer()
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in said.headers and said.status not in (204, 304):
                    self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            def log_message(self, format: str, *args: object) -> None:
                """Write nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()


class _Server(ThreadingHTTPServer):
    """Keeps its connections, so that none is left open when the test ends."""

    def __init__(self, *arguments: object) -> None:
        self._open: list[socket.socket] = []
        super().__init__(*arguments)  # type: ignore[arg-type]  # as given

    def get_request(self) -> tuple[socket.socket, object]:
        made, address = super().get_request()
        self._open.append(made)
        return made, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Write nothing: clients of these tests go away."""

    def end_connections(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextlib.contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yield the port of a server that calls ``serve`` with each connection, on a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    made: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(connection)
        connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            made.append(connection)
            threads.append(threading.Thread(target=run, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for one in made:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    """Read a request with a Content-Length, to its end."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65_536)
        if not more:
            return got
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        more = connection.recv(65_536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body
