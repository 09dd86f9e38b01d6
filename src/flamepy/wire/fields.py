"""The fields of a protobuf message whose definition this library does not have. Pure."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message.

    Raises:
        ValueError: it is not a message.
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
        raise ValueError("this is not a protobuf message") from error


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
