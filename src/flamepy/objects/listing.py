"""What objects there are: ``ListFlights``, without pyarrow.

An engine's answer names no descriptors, which pyarrow's client does not take (``Client sent UNKNOWN
descriptor type``), so the messages are asked for by gRPC and read here. Of a ``FlightInfo`` the
ticket, which is the key, and the bytes are wanted.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

from flamepy.config import FlameClientTls
from flamepy.errors import InternalError
from flamepy.objects.channel_options import channel_options
from flamepy.rpc.transport.status import Call, from_status
from flamepy.rpc.transport.tls import credentials
from flamepy.runtime.clocks import Timeout
from flamepy.wire.fields import fields

METHOD = "/arrow.flight.protocol.FlightService/ListFlights"
ENDPOINT, TOTAL_BYTES = 3, 5  # fields of FlightInfo
TICKET = 1  # of FlightEndpoint, and of Ticket


class ObjectInfo(NamedTuple):
    """An object that the cache knows; it may have left its memory."""

    key: str
    size: int


def list_objects(location: str, tls: FlameClientTls | None, seconds: float) -> list[ObjectInfo]:
    """Return all objects of a cache, by key.

    Raises:
        FlameError: the cache cannot be reached, or does not answer so.
    """
    parts = urlsplit(location)
    host = parts.hostname or ""
    target = f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}"
    options = channel_options(host)
    if parts.scheme == "grpc+tls":
        channel = grpc.secure_channel(target, credentials(tls), options)
    else:
        channel = grpc.insecure_channel(target, options)
    with channel:
        ask: Any = channel.unary_stream(METHOD)  # bytes in, bytes out
        try:
            return sorted(_info(one) for one in ask(b"", timeout=Timeout(seconds)))
        except ValueError as error:
            raise InternalError("the object cache's list cannot be read") from error
        except grpc.RpcError as error:
            call = Call("ListObjects", location, peer="the object cache")
            raise from_status(error.code(), error.details() or "", call) from error


def _info(message: bytes) -> ObjectInfo:
    key, size = "", 0
    for number, value in fields(message):
        if number == ENDPOINT and isinstance(value, bytes):
            ticket = _field(value, TICKET)
            key = _field(ticket, TICKET).decode()
        elif number == TOTAL_BYTES and isinstance(value, int):
            size = value if value < 1 << 63 else value - (1 << 64)
    return ObjectInfo(key, size)


def _field(message: bytes, number: int) -> bytes:
    found = [value for place, value in fields(message) if place == number]
    if not found or not isinstance(found[-1], bytes):
        raise InternalError(f"the object cache's list has a message without field {number}")
    return found[-1]
