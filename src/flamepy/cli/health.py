"""``/healthz`` and ``/readyz`` over HTTP, for whoever watches a process that watches an engine.

One thread, ``flamepy-http``, answers one request after another, each within ``TIMEOUT`` seconds.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Protocol

from flamepy.errors import ConfigError

logger = logging.getLogger(__name__)

TIMEOUT = 2.0
LOOPBACK = "127.0.0.1"


class Health(Protocol):
    """What is asked of ``Reactor.health()``."""

    @property
    def live(self) -> bool:
        """The process does its work and need not be restarted."""

    @property
    def ready(self) -> bool:
        """It is connected and every informer is synced."""

    def to_dict(self) -> dict[str, Any]:  # Any: whatever JSON takes
        """Return it all as JSON takes it."""


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` or ``PORT``.

    Without a host it is loopback.

    Raises:
        ConfigError: names the text and the rule.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{text!r}: write an IPv6 address in brackets, like '[::1]:8081'")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{text!r}: write HOST:PORT, like '127.0.0.1:8081'")
    return host or LOOPBACK, int(port)


class HealthServer:
    """Serves the health that ``look`` returns until ``stop``.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, look: Callable[[], Health]) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = type("_Server", (_Server,), {"address_family": family})
        self._server: HTTPServer = kind((host, port), _handler(look))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="flamepy-http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; returns when the thread has ended."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(TIMEOUT + 1.0)
        self._server.server_close()


class _Server(HTTPServer):
    def server_bind(self) -> None:
        # Not HTTPServer's: it looks the host's name up, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: as in the base
        logger.debug("a request for health ended early", exc_info=True)


def _handler(look: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD by ``answer``."""

        timeout = TIMEOUT
        server_version = "flamepy"
        sys_version = ""

        def do_GET(self) -> None:
            status, body = answer(self.path, look)
            content = json.dumps(body).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            logger.debug(format, *args)

    return Handler


def answer(path: str, look: Callable[[], Health]) -> tuple[int, dict[str, Any]]:
    """Return status and body: 200 for well, 503 for not, 404 for another path."""
    path = path.partition("?")[0]
    if path not in ("/healthz", "/readyz"):
        return 404, {"error": f"{path} is not here; there are /healthz and /readyz"}
    health = look()
    well = health.live if path == "/healthz" else health.ready
    return 200 if well else 503, health.to_dict()
