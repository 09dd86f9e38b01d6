"""What pyarrow's errors mean: to a gRPC status, its text alone, and so to a ``FlameError``."""

from __future__ import annotations

import re

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from flamepy.errors import FlameError
from flamepy.rpc.transport.status import Call, from_status

PEER = "the object cache"
FAILED = (pa.ArrowException, OSError, KeyError)  # what pyarrow's calls raise

# The first that fits. pyarrow raises OUT_OF_RANGE and RESOURCE_EXHAUSTED as ArrowInvalid, too.
_CODES: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (flight.FlightUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (flight.FlightTimedOutError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (flight.FlightCancelledError, grpc.StatusCode.CANCELLED),
    (flight.FlightUnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (flight.FlightUnauthorizedError, grpc.StatusCode.PERMISSION_DENIED),
    (flight.FlightInternalError, grpc.StatusCode.INTERNAL),
    (KeyError, grpc.StatusCode.NOT_FOUND),
    (pa.ArrowInvalid, grpc.StatusCode.INVALID_ARGUMENT),
)
_BEFORE = re.compile(r"^(IOError: )?Flight returned [\w ]+ error, with message: ")
_AFTER = re.compile(
    r"\. Detail: (?:Python exception|Internal|\w+$)|\. gRPC client debug context: "
    r"|\. Client context: |\. Additionally, could not finish",
    re.MULTILINE,
)


def from_arrow(error: BaseException, name: str, endpoint: str) -> FlameError:
    """Return the error of one of pyarrow's; the caller raises it ``from`` the original."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if type(error).__name__.startswith("ArrowNotImplemented"):
        code = grpc.StatusCode.UNIMPLEMENTED
    return from_status(
        code or grpc.StatusCode.UNKNOWN, text(error), Call(name, endpoint, peer=PEER)
    )


def text(error: BaseException) -> str:
    """Return the server's own words."""
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    said = _BEFORE.sub("", said)
    found = _AFTER.search(said)
    return (said[: found.start()] if found else said).strip()
