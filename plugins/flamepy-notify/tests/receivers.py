"""Receivers of messages: an HTTP server that answers as it is asked to, and a mail server."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class WebReceiver(ThreadingHTTPServer):
    """Keeps the bodies that it answered with 2xx, and answers with what is next in ``answers``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Web)
        self.bodies: list[dict[str, Any]] = []
        self.requests = 0
        self.paths: list[str] = []
        self.answers: list[Answer] = []
        self.usual = Answer()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Web(BaseHTTPRequestHandler):
    server: WebReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests += 1
        self.server.paths.append(self.path)
        answer = self.server.answers.pop(0) if self.server.answers else self.server.usual
        if 200 <= answer.status < 300:
            self.server.bodies.append(json.loads(body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:  # a redirect that was followed
        self.server.paths.append("followed")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web() -> Iterator[WebReceiver]:
    with WebReceiver() as server:
        yield from _serving(server)


def _serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


class MailReceiver(socketserver.ThreadingTCPServer):
    """A mail server of one connection at a time; ``codes`` maps a verb to the answer it gets."""

    allow_reuse_address = True

    def __init__(self, tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.tls = tls
        self.implicit = implicit
        self.mails: list[bytes] = []
        self.recipients: list[str] = []
        self.logins: list[str] = []
        self.codes: dict[str, str] = {}
        self.encrypted: list[bool] = []

    def handle_error(self, *_: object) -> None:
        """Say nothing: the client that does not trust us ends the connection."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Mail(socketserver.StreamRequestHandler):
    server: MailReceiver

    def setup(self) -> None:
        if self.server.implicit and self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.encrypted = self.server.implicit
        super().setup()

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline():
            verb = line.strip().upper().split(b" ")[0].split(b":")[0].decode()
            if not self.answer(verb, line.decode().strip()):
                return

    def answer(self, verb: str, line: str) -> bool:
        server = self.server
        if verb in server.codes:
            self.say(server.codes[verb])
        elif verb == "EHLO":
            tls = ["250-STARTTLS"] if server.tls is not None and not self.encrypted else []
            for one in ["250-here", *tls, "250 AUTH PLAIN"]:
                self.say(one)
        elif verb == "STARTTLS":
            self.upgrade()
        elif verb == "AUTH":
            server.logins.append(line)
            self.say("235 ok")
        elif verb == "DATA":
            self.data()
        elif verb == "QUIT":
            self.say("221 bye")
            return False
        else:
            if verb == "RCPT":
                server.recipients.append(line)
            self.say("250 ok")
        return True

    def upgrade(self) -> None:
        assert self.server.tls is not None
        self.say("220 go")
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
        self.encrypted = True

    def data(self) -> None:
        self.say("354 go")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        self.server.mails.append(b"".join(lines))
        self.server.encrypted.append(self.encrypted)
        self.say("250 taken")

    def finish(self) -> None:
        super().finish()
        self.request.close()


@contextmanager
def mail(tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> Iterator[MailReceiver]:
    with MailReceiver(tls, implicit=implicit) as server:
        yield from _serving(server)
