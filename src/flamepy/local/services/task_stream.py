"""All tasks of a service by one Unix socket, if it takes that (docs/protocol.md#task-stream).

It takes less CPU than a stream of gRPC: 0.4 of it in the service, 0.7 in the cluster
(docs/performance-notes.md#what-holds-it). The next task is written after the answer to the last, so
a service has one at a time either way. ``process`` listens before the service enters its session,
asks, and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import cast

from flamepy.local.services.instance import TaskNotBegun
from flamepy.wire.task_stream import LEAVING, TASK_STREAM_KEY, Frames, frame


class TaskListener:
    """Where a service connects before it answers OnSessionEnter, if it takes a stream.

    Args:
        path: of the socket, which is there until ``close``.

    Attributes:
        metadata: of the call of OnSessionEnter.

    Raises:
        OSError: there can be no socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.metadata = ((TASK_STREAM_KEY, os.fsencode(path)),)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        try:
            self._socket.bind(os.fspath(path))
            self._socket.listen(1)
        except BaseException:
            self._socket.close()
            raise

    async def accept(self) -> TaskStream | None:
        """Return the stream of a service that connected; None if it did not."""
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return None
        connection.setblocking(False)
        stream = TaskStream(connection)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, connection)
        return stream

    def close(self) -> None:
        """Stop listening, and remove the socket's file."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


class TaskStream(asyncio.Protocol):
    """One connection to a service; closed by either side.

    A service that leaves says so in its last frame, and begins nothing that it did not answer. One
    that closes the connection without reading a task causes an error of the connection. So only a
    connection that ends without either may have cut a task that had begun.

    Args:
        connection: its socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._over = False

    async def ask(self, task: bytes) -> bytes:
        """Send a task and return its answer, one at a time.

        Raises:
            EOFError: the stream ended; the task may have begun.
            TaskNotBegun: the stream had ended before, or the service leaves.
        """
        if self._over or self._transport is None:
            raise TaskNotBegun("the service ended its stream of tasks")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(frame(task))
        return await self._answer

    def close(self) -> None:
        """End the stream: the service's thread is free for other calls, ``ask`` raises EOFError."""
        with contextlib.suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)  # a forked child may have the socket as well
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Hand on an answer."""
        self._frames.feed(data)
        message = self._frames.take()
        if message == LEAVING:
            self._end(TaskNotBegun("the service leaves"))
        elif message is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        """End what waits."""
        if error is None:
            self._end(EOFError("the service closed its stream of tasks"))
        else:
            self._end(TaskNotBegun("the service closed its stream of tasks unread"))

    def _end(self, error: Exception) -> None:
        self._over = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
