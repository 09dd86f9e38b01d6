"""The HTTP client: connects only to addresses that were checked, and has one limit for it all.

``httpcore`` makes the requests. It asks a network backend for each connection, and ours resolves
the name, checks what it resolved to and connects to exactly that: a name that resolves to another
address a moment later (DNS rebinding) gains nothing. TLS still checks, and SNI still sends, the
name in the URL. Redirects are not followed; proxies of the environment are not used.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from flamepy_webhook.addresses import EVERYWHERE, Network, is_refused, parse
from flamepy_webhook.replies import Reply

BODY_LIMIT = 65_536  # bytes of an answer that are read; then the connection is closed
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept
_PIECE = 65_536  # bytes written at once, so that the limit of time is looked at between them

Resolve = Callable[[str, int], Sequence[str]]


class AddressRefusedError(Exception):
    """A name or address that must not be connected to."""


class TransportError(Exception):
    """No answer came; the text names no part of the URL but its host, and no header."""


class Deadline:
    """The time by which a request of this thread must have ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._local = threading.local()

    def start(self, timeout: float) -> None:
        """Give this thread's request that many seconds from now."""
        self._local.end = self._clock() + timeout

    def left(self, timeout: float | None) -> float:
        """Return the seconds for one operation: ``timeout``, or what is left if that is less.

        Raises:
            httpcore.ReadTimeout: nothing is left.
        """
        end: float = getattr(self._local, "end", 0.0)
        left = end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A connection whose operations end at the request's deadline.

    What is written is sent at the next read, so that a request is one packet and not two.
    """

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline
        self._unsent: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._flush(timeout)
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)

    def _flush(self, timeout: float | None) -> None:
        buffer = b"".join(self._unsent)
        self._unsent.clear()
        for start in range(0, len(buffer), _PIECE):
            piece = buffer[start : start + _PIECE]
            self._inner.write(piece, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._flush(timeout)
        left = self._deadline.left(timeout)
        inner = self._inner.start_tls(ssl_context, server_hostname, left)
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # Any: the library's
        return self._inner.get_extra_info(info)


class CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to addresses that were checked.

    Args:
        allowed: networks that are allowed although they are private.
        deadline: of the requests.
        resolve: returns the addresses of a host, without duplicates.
    """

    def __init__(self, allowed: Sequence[Network], deadline: Deadline, resolve: Resolve) -> None:
        self._allowed = allowed
        self._deadline = deadline
        self._resolve = resolve
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that accepts.

        Raises:
            AddressRefusedError: one of its addresses is refused.
            httpcore.ConnectError: it has no address, or none accepts.
            httpcore.ConnectTimeout: none answers in time.
        """
        addresses = self._resolve(host, port)
        check(host, addresses, self._allowed)
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(
                    address, port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._deadline)
        raise failure


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the system's order.

    Raises:
        httpcore.ConnectError: the name is unknown, or cannot be looked up now.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("its name cannot be resolved") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def check(host: str, addresses: Iterable[str], allowed: Sequence[Network]) -> None:
    """Check that all addresses of a host may be connected to.

    One private address among public ones refuses the host: a name that has both is no honest one.

    Raises:
        AddressRefusedError: names the host and the way out.
    """
    for text in addresses:
        address = parse(text)
        if address is None or is_refused(address, allowed):
            raise AddressRefusedError(
                f"{host} is at {text}, which is not a public address; "
                "allow_private: true, or a list of networks, allows it"
            )


class Client:
    """Posts to one URL; may be used by several threads, each with a connection of its own.

    Args:
        url: where to.
        allowed: see ``CheckedBackend``.
        timeout: seconds for a whole request, from the look-up of the name to the last byte read.
        connect_timeout: seconds for one address to accept, and for a TLS handshake.
        context: what TLS checks and shows.
        proxy: through which requests go; None for none.
        resolver: see ``CheckedBackend``.
    """

    def __init__(
        self,
        url: str,
        *,
        allowed: Sequence[Network],
        timeout: float,
        connect_timeout: float,
        context: ssl.SSLContext,
        proxy: httpcore.Proxy | None = None,
        resolver: Resolve = resolve,
    ) -> None:
        self._url = httpcore.URL(url)
        self._host = self._url.host.decode("ascii")
        self._allowed = allowed
        self._resolver = resolver
        self._behind_proxy = proxy is not None
        self._timeout = timeout
        self._timeouts = {"connect": connect_timeout}
        self._deadline = Deadline()
        # The operator chose the proxy: it may be at a private address.
        reachable = allowed if proxy is None else EVERYWHERE
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            proxy=proxy,
            max_connections=None,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=CheckedBackend(reachable, self._deadline, resolver),
        )

    def post(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Reply:
        """Send a request and return the answer.

        Raises:
            AddressRefusedError: the receiver's address is refused.
            TransportError: no answer came.
        """
        self._deadline.start(self._timeout)
        if self._behind_proxy:
            self._check_target()
        try:
            with self._pool.stream(
                "POST",
                self._url,
                headers=headers,
                content=body,
                extensions={"timeout": self._timeouts},
            ) as response:
                reply = _reply_of(response)
                _read(response)
        except AddressRefusedError:
            raise
        except Exception as error:  # the library's, h11's, ssl's: some with bytes that were read
            raise TransportError(self._describe(error)) from None
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _check_target(self) -> None:
        """Check what a proxy will connect to; a name that only the proxy can resolve is its own."""
        try:
            addresses = self._resolver(self._host, self._url.port or 0)
        except httpcore.ConnectError:
            return
        check(self._host, addresses, self._allowed)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, httpcore.TimeoutException):
            return f"{self._host} did not answer within {self._timeout:g} s"
        if isinstance(error, httpcore.ProxyError):
            return f"the proxy did not connect to {self._host}"
        reason = _first_cause(error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"the certificate of {self._host} is refused: {reason.verify_message}"
        if isinstance(reason, ssl.SSLError):
            return f"no TLS connection to {self._host}: {reason.reason or 'handshake failed'}"
        if isinstance(reason, OSError) and reason.errno:
            return f"{self._host}: {os.strerror(reason.errno)}"
        if isinstance(error, httpcore.ConnectError):
            return f"cannot connect to {self._host}: {error}"
        return f"{self._host} closed the connection or sent no valid HTTP ({type(error).__name__})"


def _first_cause(error: BaseException) -> BaseException:
    """Return the system's error; the pool raises what it got ``from None``."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _reply_of(response: httpcore.Response) -> Reply:
    """Return the status and the fields that ``replies`` reads; all others are dropped."""
    wanted = {b"retry-after", b"date"}
    fields = {
        name.lower().decode("ascii"): value.decode("latin-1")
        for name, value in response.headers
        if name.lower() in wanted
    }
    return Reply(response.status, fields)


def _read(response: httpcore.Response) -> None:
    """Read the body, so that the connection can be used again; its end changes nothing."""
    read = 0
    with contextlib.suppress(Exception):
        for chunk in response.iter_stream():
            read += len(chunk)
            if read > BODY_LIMIT:
                return
