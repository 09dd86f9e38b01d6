"""A stream of tasks whose far end does what services do, and what no real one does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.loops import run

from flamepy.local.services.instance import TaskNotBegun
from flamepy.local.services.task_stream import TaskListener, TaskStream
from flamepy.wire.task_stream import LEAVING, TASK_STREAM_KEY, frame


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "i.task"


async def connected(path: Path) -> tuple[TaskStream, socket.socket]:
    """Return a stream and the service's end of it."""
    listener = TaskListener(path)
    ((key, value),) = listener.metadata
    assert key == TASK_STREAM_KEY
    far = socket.socket(socket.AF_UNIX)
    far.connect(value)
    stream = await listener.accept()
    listener.close()
    assert stream is not None
    assert not path.exists()
    return stream, far


def asked(path: Path, act: Callable[[socket.socket], object], times: int = 1) -> bytes:
    """Return the last answer to tasks for each of which the far end does something."""

    async def ask() -> bytes:
        stream, far = await connected(path)
        try:
            for _ in range(times):
                asking = asyncio.ensure_future(stream.ask(b"task"))
                await asyncio.sleep(0)
                act(far)
                answer = await asking
        finally:
            stream.close()
            far.close()
        return answer

    return run(ask())


def answers(far: socket.socket) -> None:
    assert far.recv(100) == frame(b"task")
    far.sendall(frame(b"done"))


def closes_after_reading(far: socket.socket) -> None:
    assert far.recv(100) == frame(b"task")
    far.close()


def leaves(far: socket.socket) -> None:
    far.sendall(frame(LEAVING))
    far.close()


def test_one_task_after_another_is_answered(path: Path) -> None:
    assert asked(path, answers, times=3) == b"done"


def test_a_service_that_does_not_connect_has_no_stream(path: Path) -> None:
    async def accept() -> TaskStream | None:
        listener = TaskListener(path)
        try:
            return await listener.accept()
        finally:
            listener.close()

    assert run(accept()) is None
    assert not path.exists()


@pytest.mark.parametrize("act", [leaves, socket.socket.close])
def test_a_task_that_was_not_read_has_not_begun(
    path: Path, act: Callable[[socket.socket], object]
) -> None:
    with pytest.raises(TaskNotBegun):
        asked(path, act)


def test_a_task_that_was_read_may_have_begun(path: Path) -> None:
    with pytest.raises(EOFError, match="closed its stream"):
        asked(path, closes_after_reading)


def test_a_close_ends_the_wait_also_if_a_fork_has_the_socket(path: Path) -> None:
    async def ask() -> bytes:
        stream, far = await connected(path)
        copy = stream._socket.dup()
        asking = asyncio.ensure_future(stream.ask(b"task"))
        await asyncio.sleep(0)
        assert far.recv(100) == frame(b"task")
        stream.close()
        with pytest.raises(EOFError):
            await asking
        rest = far.recv(100)
        far.close()
        copy.close()
        return rest

    assert run(ask()) == b""


def test_a_stream_that_has_ended_takes_no_task(path: Path) -> None:
    async def ask() -> None:
        stream, far = await connected(path)
        far.close()
        with pytest.raises((TaskNotBegun, EOFError)):
            await stream.ask(b"first")
        with pytest.raises(TaskNotBegun, match="ended its stream"):
            await stream.ask(b"second")
        stream.close()

    run(ask())
