"""Frames of a task stream: how an executor and a service share a Unix socket. Pure.

A frame is the length of a message in four bytes, most significant first, and the message: a
``TaskContext`` one way, a ``TaskResult`` the other way (docs/protocol.md#task-stream).
"""

from __future__ import annotations

import struct

TASK_STREAM_KEY = "flamepy-task-stream-bin"
"""Metadata of OnSessionEnter: the path of the socket at which the executor listens."""

LEAVING = b"\xff"
"""The last frame of a service that leaves: it begins no more tasks. No message is like it."""

CHUNK = 1 << 16  # bytes that one read of the socket returns at most
_LENGTH = struct.Struct(">I")


def frame(message: bytes) -> bytes:
    """Return a message as it is sent."""
    return _LENGTH.pack(len(message)) + message


class Frames:
    """Finds the frames in what a socket received."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._received += data

    def take(self) -> bytes | None:
        """Return the message of the first whole frame and forget it; None if no frame is whole."""
        start = _LENGTH.size
        if len(self._received) < start:
            return None
        end = start + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        message = bytes(self._received[start:end])
        del self._received[:end]
        return message
