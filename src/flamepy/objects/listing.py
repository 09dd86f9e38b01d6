"""What objects there are: ``ListFlights``, without pyarrow.

An engine's answer names no descriptors, which pyarrow's client does not take (``Client sent UNKNOWN
descriptor type``), so the messages are asked for by gRPC and read here. Of a ``FlightInfo`` the
ticket, which is the key, and the bytes are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

from flamepy.config import FlameClientTls
from flamepy.errors import InternalError
from flamepy.objects.channel_options import channel_options
from flamepy.rpc.transport.status import Call, from_status
from flamepy.rpc.transport.tls import credentials
from flamepy.runtime.clocks import Timeout

METHOD = "/arrow.flight.protocol.FlightService/ListFlights"
ENDPOINT, TOTAL_BYTES = 3, 5  # fields of FlightInfo
TICKET = 1  # of FlightEndpoint, and of Ticket
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


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


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message.

    Raises:
        InternalError: it is not a valid listing.
    """
    place = 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                value, place = _varint(message, place)
                yield number, value
                continue
            if kind == _BYTES:
                size, place = _varint(message, place)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}[kind]
            if place + size > len(message):
                raise IndexError
            yield number, message[place : place + size]
            place += size
    except (IndexError, KeyError) as error:
        raise InternalError("the object cache's list cannot be read") from error


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
