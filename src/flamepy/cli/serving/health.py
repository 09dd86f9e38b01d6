"""``/healthz`` and ``/readyz`` over HTTP, for what supervises a process that watches an engine.

``http_port`` serves; this module says what is answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from flamepy.cli.serving.http_port import Act, HttpPort
from flamepy.errors import ConfigError
from flamepy.texts import repr_of

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
        raise ConfigError(f"{repr_of(text)}: write an IPv6 address in brackets, like '[::1]:8081'")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{repr_of(text)}: write HOST:PORT, like '127.0.0.1:8081'")
    return host or LOOPBACK, int(port)


class HealthServer:
    """Serves the health that ``look`` returns until ``stop``.

    ``look`` is called on the thread of the port, so it must not block. ``act`` answers what it
    knows beside that; see ``HttpPort``.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, look: Callable[[], Health], act: Act | None = None
    ) -> None:
        self._http = HttpPort(host, port, lambda path: _encoded(answer(path, look)), act)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._http.port

    def start(self) -> None:
        """Answer from now on."""
        self._http.start()

    def stop(self) -> None:
        """Answer no more; returns when the thread has ended."""
        self._http.stop()


def _encoded(answer: tuple[int, dict[str, Any]]) -> tuple[int, bytes]:  # Any: as of ``answer``
    status, body = answer
    return status, json.dumps(body).encode() + b"\n"


def answer(path: str, look: Callable[[], Health]) -> tuple[int, dict[str, Any]]:
    """Return status and body: 200 for well, 503 for not, 404 for another path."""
    path = path.partition("?")[0]
    if path not in ("/healthz", "/readyz"):
        return 404, {"error": f"{path} is not here; there are /healthz and /readyz"}
    health = look()
    well = health.live if path == "/healthz" else health.ready
    return 200 if well else 503, health.to_dict()
