"""``Pool``: one Flight connection per cache, shared by all threads, closed around forks.

A connection survives a restart of its server: gRPC makes it anew, at most a second after the server
is back. Before a fork calls in flight have a moment to end; the child begins without connections.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.flight as flight

from flamepy.config import FlameClientTls
from flamepy.errors import ConfigError, ConnectionClosedError, InvalidStateError, TlsError
from flamepy.host.paths import expanded
from flamepy.host.sockets import can_shut_down, shut_down_to
from flamepy.objects.channel_options import channel_options
from flamepy.runtime.forks import CLIENT, check_flight, done, hold, leak, release
from flamepy.runtime.threads import check_may_block
from flamepy.texts import repr_of

FORKED = (
    "this connection to the object cache was made before a fork and lives in the parent only; make "
    "a new one in the child"
)


class Pool:
    """The Flight connections of a process, one for each cache; a ``forks.Holder``.

    Args:
        tls: files for caches with TLS.
    """

    def __init__(self, tls: FlameClientTls | None) -> None:
        self._tls = tls
        self._process = os.getpid()
        self._changed = threading.Condition()  # guards the rest
        self._clients: dict[str, Any] = {}  # Any: pyarrow's
        self._calls = 0
        self._paused = False
        self._closed = False

    @contextmanager
    def client(self, location: str) -> Iterator[Any]:
        """Give the connection to a cache for one call.

        Raises:
            ConnectionClosedError: the pool is closed.
            InvalidStateError: this is a child of the process that made it, or a thread that serves
                others.
            ConfigError: a TLS file cannot be read.
            TlsError: one is not PEM.
        """
        check_may_block()
        found = self._take(location)
        try:
            yield found
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def _take(self, location: str) -> Any:
        while True:
            if self._process != os.getpid():
                raise InvalidStateError(FORKED)
            check_flight()
            with self._changed:
                self._changed.wait_for(lambda: not self._paused)
                if self._closed:
                    raise ConnectionClosedError("the connection to the object cache is closed")
                if location in self._clients:
                    self._calls += 1
                    return self._clients[location]
            options = self._options(location)
            # None: a fork is in progress, so pause comes and pauses us.
            made = hold(self, CLIENT, lambda options=options: self._add(location, options))  # type: ignore[misc]  # mypy takes no default for a lambda's argument
            if made is not None:
                return made
            with self._changed:
                self._changed.wait_for(lambda: self._paused, 0.01)

    def _add(self, location: str, options: dict[str, Any]) -> Any:
        with self._changed:
            if location not in self._clients:
                host = urlsplit(location).hostname or ""
                self._clients[location] = flight.FlightClient(
                    location, generic_options=channel_options(host), **options
                )
            self._calls += 1
            return self._clients[location]

    def _options(self, location: str) -> dict[str, Any]:
        if self._tls is None or not location.startswith("grpc+tls"):
            return {}
        files = (
            ("tls_root_certs", "ca_file", self._tls.ca_file),
            ("cert_chain", "cert_file", self._tls.cert_file),
            ("private_key", "key_file", self._tls.key_file),
        )
        return {name: _read(key, path) for name, key, path in files if path is not None}

    def drop(self, location: str) -> None:
        """Forget a connection that failed; the next call makes another."""
        with self._changed:
            self._clients.pop(location, None)

    def break_off(self, location: str, writer: Any) -> None:
        """Break the connection of an upload that is given up; other calls of it are repeated.

        Letting pyarrow's writer go, which cannot be cancelled, ends the stream as if all had been
        sent, and the server would store a part for the whole.
        """
        self.drop(location)
        parts = urlsplit(location)
        if can_shut_down():
            shut_down_to(parts.hostname or "", parts.port or 0)
            with suppress(pa.ArrowException, OSError):
                writer.close()  # else Arrow complains on standard error
        else:
            leak(writer)  # the deadline ends it

    def close(self) -> None:
        """Close all connections. Idempotent."""
        with self._changed:
            self._closed = True
            clients, self._clients = list(self._clients.values()), {}
            self._changed.notify_all()
        if self._process == os.getpid():
            release(self)
            for one in clients:
                one.close()

    # ------------------------------------------------------------------ forks

    def pause(self, limit: float) -> concurrent.futures.Future[bool]:
        """Hold new calls, wait for those in flight, close; see ``forks.Holder``."""
        with self._changed:
            self._paused = True
            if not self._changed.wait_for(lambda: self._calls == 0, limit):
                return done(False)
            clients, self._clients = list(self._clients.values()), {}
        for one in clients:
            one.close()
        return done(True)

    def resume(self) -> None:
        """Release the calls that were held; the next one makes a connection."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def forget(self, clean: bool) -> None:
        """Keep what is left from being freed in the child, where its lock may be held for ever."""
        if not clean:
            leak(*self._clients.values())
        self._changed = threading.Condition()
        self._clients = {}


def _read(key: str, path: str) -> bytes:
    try:
        found = expanded(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cache tls {key} {repr_of(path)} cannot be read: {error.strerror}"
        ) from error
    if b"-----BEGIN " not in found:  # Flight would only say that it has no address
        raise TlsError(
            f"cache tls {key} {repr_of(path)} is not PEM: it has no line that begins a block"
        )
    return found
