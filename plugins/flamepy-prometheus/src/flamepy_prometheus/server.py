"""``MetricsServer``: serves a registry over HTTP with a bounded number of connections.

Each connection has a thread, so a client that is silent or slow delays no scrape. One connection
more than ``CONNECTION_LIMIT`` ends the oldest, so such clients do not pile up.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

logger = logging.getLogger(__name__)

CONNECTION_LIMIT = 32
SILENCE_LIMIT = 10.0  # seconds without a byte, in either direction
JOIN_LIMIT = 5.0  # seconds
THREAD = "flamepy-prometheus"


class MetricsServer:
    """Serves ``registry`` from its making until ``close``.

    Raises:
        OSError: the address cannot be listened on.
        RuntimeError: the thread could not be started; nothing is listened on then.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = type("_Listener", (_Server,), {"address_family": family})
        self._server: _Server = kind((host, port), _Handler)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name=THREAD, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._server.server_close()
            raise

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """End every connection and listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join(JOIN_LIMIT)


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_LIMIT

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:  # Any: as in the base
        self._guard = threading.RLock()  # guards _open, oldest first; nothing else runs under it
        self._open: dict[socket.socket, None] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:  # Any: as in the base
        with self._guard:
            self._open[request] = None
            full = len(self._open) > CONNECTION_LIMIT
            oldest = next(iter(self._open))
            if full:
                del self._open[oldest]
        if full:
            _end(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # Any: as in the base
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake the threads of all connections, which close them."""
        with self._guard:
            left = list(self._open)
        for one in left:
            _end(one)

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: as in the base
        logger.debug("a request for metrics ended early", exc_info=True)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its own thread has closed it
        connection.shutdown(socket.SHUT_RDWR)
