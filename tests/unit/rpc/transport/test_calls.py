"""Calls around a fork: what is held, what is cut off and sent again, what is never cut."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from support.loops import run

from flamepy._proto import types_pb2
from flamepy.errors import ConnectionClosedError
from flamepy.rpc.transport import looks
from flamepy.rpc.transport.blocking_streams import OPTION
from flamepy.rpc.transport.calls import CallerLeft, Calls
from flamepy.rpc.transport.message_stream import CutOff
from flamepy.wire.services import FRONTEND


class Late:
    """Receives what becomes of a call whose caller has left."""

    def __init__(self) -> None:
        self.left = False
        self.landed: list[Any] = []

    def detach(self) -> None:
        self.left = True

    def land(self, reply: Any) -> None:
        self.landed.append(reply)


class Slow:
    """A frontend whose calls wait for ``go``; they are counted."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began: list[str] = []
        self.ended: list[str] = []

    def handler(self, name: str) -> Callable[[bytes, Any], Coroutine[Any, Any, Any]]:
        async def serve(raw: bytes, context: Any) -> Any:
            self.began.append(name)
            await self.go.wait()
            self.ended.append(name)
            return FRONTEND[name].response()

        return serve

    async def watch(self, raw: bytes, context: Any) -> AsyncIterator[Any]:
        self.began.append("WatchTask")
        yield types_pb2.Task()
        await self.go.wait()

    async def list(self, raw: bytes, context: Any) -> AsyncIterator[Any]:
        self.began.append("ListTask")
        await self.go.wait()
        yield types_pb2.Task()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Slow, Calls]]:
    slow = Slow()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            slow.handler(name), response_serializer=FRONTEND[name].response.SerializeToString
        )
        for name in ("CreateTask", "ListNodes")
    }
    handlers["WatchTask"] = grpc.unary_stream_rpc_method_handler(
        slow.watch, response_serializer=types_pb2.Task.SerializeToString
    )
    handlers["ListTask"] = grpc.unary_stream_rpc_method_handler(
        slow.list, response_serializer=types_pb2.Task.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("flame.v1.Frontend", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    calls = Calls(
        lambda: grpc.aio.insecure_channel(f"127.0.0.1:{port}"),
        lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]),
        "http://there",
    )
    try:
        yield slow, calls
    finally:
        slow.go.set()
        await calls.aclose()
        await server.stop(0)


def send(calls: Calls, name: str) -> asyncio.Task[Any]:
    request = FRONTEND[name].request()
    if name == "CreateTask":
        return asyncio.ensure_future(calls.detachable(name, request, 20.0, Late()))
    return asyncio.ensure_future(calls.unary(name, request, 20.0))


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("not within 10 s")


def test_a_write_in_flight_is_waited_for() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            writing = send(calls, "CreateTask")
            await until(lambda: slow.began)
            letting = asyncio.ensure_future(calls.pause(10.0))
            await asyncio.sleep(0.05)
            assert not letting.done()
            slow.go.set()
            assert await letting is True
            await writing
            assert slow.began == ["CreateTask"]

    run(main())


def test_a_write_that_takes_too_long_is_left_alone() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            writing = send(calls, "CreateTask")
            await until(lambda: slow.began)
            assert await calls.pause(0.05) is False
            calls.resume()
            slow.go.set()
            await writing
            assert slow.began == slow.ended == ["CreateTask"]

    run(main())


def test_a_read_is_cut_off_and_sent_again() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            reading = send(calls, "ListNodes")
            await until(lambda: slow.began)
            assert await calls.pause(5.0) is True
            slow.go.set()
            await asyncio.sleep(0.02)
            assert not reading.done()
            calls.resume()
            await reading
            assert slow.began == ["ListNodes", "ListNodes"]

    run(main())


def test_a_call_meanwhile_is_held_until_the_end() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            slow.go.set()
            await send(calls, "ListNodes")
            assert await calls.pause(5.0) is True
            writing = send(calls, "CreateTask")
            await asyncio.sleep(0.05)
            assert slow.began == ["ListNodes"]
            calls.resume()
            await writing

    run(main())


def test_a_watch_ends_with_cut_off_also_when_nobody_reads() -> None:
    async def main() -> None:
        async with serving() as (_, calls):
            request = FRONTEND["WatchTask"].request(session_id="s", task_id="1")
            read, unread = (
                aiter_(calls.stream("WatchTask", request, None)),
                aiter_(calls.stream("WatchTask", request, None)),
            )
            await read.__anext__()
            await unread.__anext__()
            reading = asyncio.ensure_future(read.__anext__())
            await asyncio.sleep(0.01)
            assert await calls.pause(5.0) is True
            with pytest.raises(CutOff):
                await reading
            with pytest.raises(CutOff):
                await unread.__anext__()
            assert calls.streams == set()

    run(main())


def test_a_list_in_flight_is_cut_and_its_thread_has_left_grpc_at_the_fork() -> None:
    """The server says nothing after the first task: a thread waits inside gRPC."""

    async def main() -> None:
        async with serving() as (slow, calls):
            stream = aiter_(calls.stream("ListTask", FRONTEND["ListTask"].request(), None))
            reading = asyncio.ensure_future(stream.__anext__())
            await until(lambda: "ListTask" in slow.began)
            assert await calls.pause(5.0) is True
            assert not calls._lists.unended()
            with pytest.raises(CutOff):
                await reading
            slow.go.set()
            calls.resume()
            listed = aiter_(calls.stream("ListTask", FRONTEND["ListTask"].request(), 20.0))
            await listed.__anext__()  # by another channel, on another thread
            listed.cancel()

    run(main())


def test_a_list_in_flight_holds_no_close() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            stream = aiter_(calls.stream("ListTask", FRONTEND["ListTask"].request(), None))
            reading = asyncio.ensure_future(stream.__anext__())
            await until(lambda: "ListTask" in slow.began)
            await calls.aclose()
            with pytest.raises(CutOff):
                await reading
            assert not calls._lists.unended()

    run(main())


def aiter_(stream: Any) -> Any:
    return stream.__aiter__()


def test_a_stream_that_is_left_early_has_nothing_to_close() -> None:
    """A generator would be closed by a task of its own, in another turn of the loop."""

    async def play() -> None:
        async with serving() as (_, calls):
            left = []
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(firstiter=lambda made: left.append(made.__qualname__))
            try:
                stream = calls.stream("WatchTask", FRONTEND["WatchTask"].request(), None)
                async for _ in stream:
                    break
            finally:
                sys.set_asyncgen_hooks(*hooks)
            stream.cancel()
            assert [one for one in left if "watch" not in one] == [], "but the server's own"
            assert not calls.streams
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()

    run(play())


def test_a_cancelled_reader_is_cancelled_and_not_cut_off() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            reading = send(calls, "ListNodes")
            await until(lambda: slow.began)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    run(main())


@pytest.mark.parametrize("how", ["cancelled", "left"])
def test_a_task_that_is_being_made_goes_on_without_its_caller(how: str) -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            late = Late()
            request = FRONTEND["CreateTask"].request()
            leave = 0.05 if how == "left" else None
            writing = asyncio.ensure_future(
                calls.detachable("CreateTask", request, 20.0, late, leave=leave)
            )
            await until(lambda: slow.began)
            if how == "cancelled":
                writing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await writing
            else:
                with pytest.raises(CallerLeft):
                    await writing
            assert late.left
            assert not slow.ended
            slow.go.set()
            await until(lambda: late.landed)
            assert slow.ended == ["CreateTask"]
            assert isinstance(late.landed[0], types_pb2.Task)

    run(main())


def test_a_close_ends_reads_and_waits_a_moment_for_a_task_that_is_being_made() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            reading, writing = send(calls, "ListNodes"), send(calls, "CreateTask")
            await until(lambda: len(slow.began) == 2)
            closing = asyncio.ensure_future(calls.aclose())
            await asyncio.sleep(0.02)
            assert not writing.done()
            slow.go.set()
            await asyncio.gather(closing, writing)
            await asyncio.wait({reading})
            with pytest.raises(ConnectionClosedError):
                await calls.unary("ListNodes", FRONTEND["ListNodes"].request(), 1.0)

    run(main())


def test_without_a_loop_only_what_is_idle_lets_go() -> None:
    async def main() -> None:
        async with serving() as (slow, calls):
            reading = send(calls, "ListNodes")
            await until(lambda: slow.began)
            assert calls.pause_now() is False
            slow.go.set()
            await reading
            assert calls.pause_now() is True
            await send(calls, "ListNodes")

    run(main())


@pytest.mark.parametrize("end", ["pause", "close"])
def test_a_look_in_flight_is_waited_for(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is in gRPC, by a channel that a fork must not meet."""
    monkeypatch.setattr(looks, "LONGEST", 30.0)

    async def main() -> None:
        async with serving() as (slow, calls):
            await calls.enter()
            look = calls.look("WatchTask", FRONTEND["WatchTask"].request(), lambda _: None)
            assert look is not None
            await until(lambda: slow.began)
            ending = asyncio.ensure_future(calls.pause(20.0) if end == "pause" else calls.aclose())
            await asyncio.sleep(0.05)
            assert not ending.done()
            slow.go.set()
            await ending
            assert look.over

    run(main())
