"""A stream of tasks whose far end does what no real one does (the rest: test_process)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from flamepy.local.services import task_stream
from flamepy.local.services.instance import TaskNotBegun
from flamepy.local.services.task_stream import TaskStream, offers_stream
from flamepy.wire.services import TASK_STREAM, TASK_STREAM_GRACE, TASK_STREAM_OFFER


class Far:
    """A channel and its one stream: what is written fails, what is read is the end."""

    def __init__(self, refuses: bool = False) -> None:
        self._refuses = refuses
        self.ended = asyncio.Event()

    def stream_stream(self, path: str, request_serializer: object) -> Any:
        return lambda: self

    async def write(self, request: object) -> None:
        if self._refuses:
            no = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, no, no, details="from Core")

    async def read(self) -> object:
        return grpc.aio.EOF

    def done(self) -> bool:
        return self.ended.is_set()

    async def done_writing(self) -> None:
        """Say so, to somebody who does not listen."""

    async def code(self) -> object:
        await self.ended.wait()
        return grpc.StatusCode.CANCELLED

    def cancel(self) -> bool:
        self.ended.set()
        return True


@pytest.mark.parametrize(
    ("refuses", "says"), [(True, "connection to the service broke"), (False, "without an answer")]
)
def test_a_task_that_cannot_be_sent_or_is_not_answered(refuses: bool, says: str) -> None:
    async def ask() -> None:
        await TaskStream(Far(refuses)).ask(TASK_STREAM.request())  # type: ignore[arg-type]  # a fake

    with pytest.raises(TaskNotBegun, match=says):
        asyncio.run(ask())


def test_a_stream_that_has_ended_takes_no_task() -> None:
    async def ask() -> None:
        far = Far()
        stream = TaskStream(far)  # type: ignore[arg-type]  # a fake
        far.cancel()
        await stream.ask(TASK_STREAM.request())

    with pytest.raises(TaskNotBegun, match=r"ended its stream of tasks$"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("code", "seconds", "begun"),
    [
        (grpc.StatusCode.CANCELLED, 0.0, False),
        (grpc.StatusCode.CANCELLED, TASK_STREAM_GRACE, True),
        (grpc.StatusCode.UNAVAILABLE, 0.0, True),
    ],
)
def test_a_stream_that_a_leaving_service_cancels_at_once_has_not_begun_its_task(
    code: grpc.StatusCode, seconds: float, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that it has begun gets some seconds first."""
    clock = iter((100.0, 100.0 + seconds))
    monkeypatch.setattr(task_stream, "monotonic", lambda: next(clock))

    class Cut(Far):
        async def read(self) -> object:
            no = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(code, no, no)

    async def ask() -> None:
        await TaskStream(Cut()).ask(TASK_STREAM.request())  # type: ignore[arg-type]  # a fake

    with pytest.raises(grpc.aio.AioRpcError if begun else TaskNotBegun):
        asyncio.run(ask())


def test_a_close_that_nobody_answers_cuts_the_stream() -> None:
    async def close() -> bool:
        stream = TaskStream(Far())  # type: ignore[arg-type]  # a fake
        await stream.close(0.01)
        await stream.close(0.01)
        return stream.over

    assert asyncio.run(close())


@pytest.mark.parametrize(
    ("trailer", "offers"),
    [
        (None, False),
        (grpc.aio.Metadata(), False),
        (grpc.aio.Metadata(("other", "1")), False),
        (grpc.aio.Metadata(("flamepy-task-stream", "2")), False),
        (grpc.aio.Metadata(("other", "1"), TASK_STREAM_OFFER), True),
    ],
)
def test_only_the_trailer_offers_the_stream(
    trailer: grpc.aio.Metadata | None, offers: bool
) -> None:
    assert offers_stream(trailer) is offers
