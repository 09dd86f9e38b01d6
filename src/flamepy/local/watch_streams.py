"""``WatchStreams``: the open streams of WatchTasks, on the engine's loop.

What each has to send is decided by ``state.watched_tasks``. One stream reads a registration, then
sends one message, in turns: a client that does not read its messages is not heard either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import SessionRow, TaskRow
from flamepy.local.state.watched_tasks import NO_TASK, WatchedTasks

Asked = tuple[str, str]  # ids of a session and of a task of it


class _Stream:
    """One of them: its tasks, and what wakes it."""

    def __init__(self, sessions: Mapping[str, SessionRow]) -> None:
        self.tasks = WatchedTasks(sessions)
        self.woken = asyncio.Event()


class WatchStreams:
    """The open streams, by session.

    Args:
        sessions: of the cluster, by id.
    """

    def __init__(self, sessions: Mapping[str, SessionRow]) -> None:
        self._sessions = sessions
        self._streams: dict[str, set[_Stream]] = {}

    def changed(self, session_id: str, number: int) -> None:
        """Record that a task changed its state."""
        for stream in self._streams.get(session_id, ()):
            if stream.tasks.changed(number):
                stream.woken.set()

    def closed(self, session_id: str) -> None:
        """End the streams of a session that was closed, after the last state of each task."""
        for stream in self._streams.get(session_id, ()):
            stream.tasks.close()
            stream.woken.set()

    def gone(self, session_id: str) -> None:
        """End the streams of a session that was deleted."""
        for stream in self._streams.get(session_id, ()):
            stream.tasks.forget()
            stream.woken.set()

    def interrupt(self, text: str) -> None:
        """End every stream with UNAVAILABLE.

        Args:
            text: why.
        """
        for streams in self._streams.values():
            for stream in streams:
                stream.tasks.end(Refusal("UNAVAILABLE", text))
                stream.woken.set()

    async def follow(self, requests: AsyncIterator[Asked]) -> AsyncIterator[TaskRow]:
        """Yield the tasks that are asked for, now and at each change; read a row at once.

        Ends when all have ended and there are no more requests. Raises Refusal.
        """
        stream = _Stream(self._sessions)
        reading = _read(requests, stream)
        try:
            asked = await reading
            if asked is None:
                raise Refusal("INVALID_ARGUMENT", NO_TASK)
            stream.tasks.register(*asked)
            self._streams.setdefault(asked[0], set()).add(stream)
            reading = _read(requests, stream)
            more = True
            while True:
                if more and reading.done():
                    asked = reading.result()
                    more = asked is not None
                    if asked is not None:
                        stream.tasks.register(*asked)
                        reading = _read(requests, stream)
                stream.woken.clear()
                if (task := stream.tasks.take()) is not None:
                    yield task
                elif stream.tasks.ending is not None:
                    raise stream.tasks.ending
                elif stream.tasks.finished and not more:
                    return
                elif not (more and reading.done()):
                    await stream.woken.wait()
        finally:
            self._remove(stream)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _remove(self, stream: _Stream) -> None:
        session_id = stream.tasks.session_id
        streams = self._streams.get(session_id or "", set())
        streams.discard(stream)
        if session_id is not None and not streams:
            self._streams.pop(session_id, None)


def _read(requests: AsyncIterator[Asked], stream: _Stream) -> asyncio.Task[Asked | None]:
    """Begin to read a request; None is the end of them."""

    async def read() -> Asked | None:
        return await anext(requests, None)

    reading = asyncio.get_running_loop().create_task(read())
    reading.add_done_callback(lambda _: stream.woken.set())
    return reading
