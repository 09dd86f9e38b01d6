"""What an HTTP server or proxy in front of an engine says, in our words. Pure.

A proxy answers a call with an HTTP status, which gRPC reports as ``Received http2 header with
status: 413`` under a code of its own choice. A port that is no gRPC server at all answers with
bytes that are not HTTP/2. One table gives each its error, its cause and the way out; ``status``
asks it first. gRPC does not pass the header ``Retry-After`` on, so the retry policy decides when a
call is made again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flamepy.errors import (
    FlameError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from flamepy.rpc.retry.classifier import Failure

_STATUS = re.compile(r"http2 header with status: (\d{3})")
_NOT_HTTP2 = re.compile(r"Failed parsing HTTP/2.*got frame type (\d+)|http1\.x server")
_SILENT = re.compile(r"timed out before receiving SETTINGS frame")
_HTTP1_FRAMES = frozenset({"79", "80"})  # the fourth letter of "HTTP/1.1" and of "<!DOCTYPE"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is known of such an answer.

    Attributes:
        error: its type.
        failure: the column of the retry table.
        reason: what happened and the way out; the caller names the call and the endpoint.
    """

    error: type[FlameError]
    failure: Failure
    reason: str


_MEANINGS: dict[int, Meaning] = {
    401: Meaning(
        UnauthenticatedError,
        Failure.REFUSED,
        "something in front of the engine wants to know who calls (HTTP status 401): let this "
        "client pass there, or give it a client certificate (tls.cert_file, tls.key_file)",
    ),
    403: Meaning(
        PermissionDeniedError,
        Failure.REFUSED,
        "something in front of the engine does not let this client pass (HTTP status 403): allow "
        "it there, or give it a client certificate (tls.cert_file, tls.key_file)",
    ),
    413: Meaning(
        ResourceExhaustedError,
        Failure.TOO_LARGE,
        "something in front of the engine refuses a request of {size} bytes (HTTP status 413): "
        "raise its limit (client_max_body_size of nginx), or put the input into the object cache "
        "and send the reference",
    ),
    429: Meaning(
        UnavailableError,
        Failure.UNAVAILABLE,
        "something in front of the engine limits how often it is called (HTTP status 429): call "
        "less often, or raise its limit",
    ),
    502: Meaning(
        UnavailableError,
        Failure.UNAVAILABLE,
        "a proxy answers, but the engine behind it does not (HTTP status 502): is the engine up, "
        "and the proxy's address of it right?",
    ),
    503: Meaning(
        UnavailableError,
        Failure.UNAVAILABLE,
        "a proxy answers, but has no engine that takes the call now (HTTP status 503): is the "
        "engine up, and are its health checks right?",
    ),
    504: Meaning(
        UnavailableError,
        Failure.UNAVAILABLE,
        "the engine did not answer a proxy within the proxy's time limit (HTTP status 504): raise "
        "the limit (grpc_read_timeout of nginx, timeout server of HAProxy), or see the engine's "
        "log",
    ),
}


def meaning(text: str, *, size: int | None = None) -> Meaning | None:
    """Return what gRPC's text about something that is not the engine means; None if it is not one.

    Args:
        text: gRPC's.
        size: bytes of the request, where known.
    """
    if (status := _STATUS.search(text)) is not None:
        found = _MEANINGS.get(int(status[1]))
        if found is None:
            return None
        reason = found.reason.format(size=size if size is not None else "that many")
        return Meaning(found.error, found.failure, reason)
    if (other := _NOT_HTTP2.search(text)) is not None:
        return Meaning(UnavailableError, Failure.REFUSED, _stranger(other[1]))
    if _SILENT.search(text) is not None:
        return Meaning(
            UnavailableError,
            Failure.NOT_SENT,
            "the port accepts connections and sends nothing: a service of another kind listens "
            "there, or the engine is suspended; check host and port",
        )
    return None


def _stranger(frame: str | None) -> str:
    if frame is None or frame in _HTTP1_FRAMES:
        return (
            "a web server that speaks HTTP/1 answers there (a health port, a page, a proxy without "
            "HTTP/2), not an engine: give the port of the engine's frontend"
        )
    return (
        "a service of another kind answers there, which does not speak HTTP/2: give the port of "
        "the engine's frontend"
    )
