"""A stream's end and the connection's state: what is cut is not what is lost."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from flamepy._proto import types_pb2
from flamepy.errors import FlameError
from flamepy.rpc.transport.status import Call
from flamepy.rpc.transport.streams import TaskStream
from flamepy.wire.tasks import task_message

CUT = "Received http2 header with status: 504"
NOBODY = "failed to connect to all addresses; last error: connection refused"


class _Wire:
    """The stream of one call: some messages, then an error of gRPC's."""

    def __init__(self, messages: int, code: grpc.StatusCode, text: str) -> None:
        self._messages = messages
        self._code = code
        self._text = text

    async def __anext__(self) -> types_pb2.Task:
        if self._messages:
            self._messages -= 1
            return task_message("1", "s", state=0, created=0, payload=b"")
        empty = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(self._code, empty, empty, self._text)

    def cancel(self) -> None:
        return


def _reported(call: str, messages: int, code: grpc.StatusCode, text: str) -> list[FlameError]:
    reported: list[FlameError] = []

    async def read() -> None:
        stream = TaskStream(
            _Wire(messages, code, text),  # type: ignore[arg-type]  # only these two methods
            Call(call, "http://engine", "s", "1"),
            outcome=lambda error, began: reported.append(error),
        )
        with pytest.raises(FlameError):
            [task async for task in stream]

    asyncio.run(read())
    return reported


@pytest.mark.parametrize(
    ("call", "messages", "code", "text"),
    [
        ("WatchTask", 0, grpc.StatusCode.UNAVAILABLE, CUT),
        ("WatchTask", 3, grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        ("WatchTask", 0, grpc.StatusCode.UNAVAILABLE, "GOAWAY received; Error code: 0"),
        ("WatchTask", 1, grpc.StatusCode.DEADLINE_EXCEEDED, "stream timeout"),
        ("ListTask", 2, grpc.StatusCode.UNAVAILABLE, CUT),
    ],
)
def test_the_cut_of_a_stream_does_not_count_as_an_outage(
    call: str, messages: int, code: grpc.StatusCode, text: str
) -> None:
    assert _reported(call, messages, code, text) == []


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        ("WatchTask", grpc.StatusCode.UNAVAILABLE, NOBODY),  # no connection is there for any call
        ("ListTask", grpc.StatusCode.UNAVAILABLE, "Socket closed"),  # as an ordinary call
        ("WatchTask", grpc.StatusCode.NOT_FOUND, "s"),  # a refusal is an answer
    ],
)
def test_what_shows_the_state_of_the_connection_is_reported(
    call: str, code: grpc.StatusCode, text: str
) -> None:
    assert len(_reported(call, 0, code, text)) == 1
