"""Lists that threads read: nothing is lost or waits for ever, and no thread stays."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from support.loops import run
from support.waiting import eventually

from flamepy.rpc.transport import list_calls
from flamepy.rpc.transport.blocking_streams import OPTION
from flamepy.rpc.transport.in_flight import wait_all
from flamepy.rpc.transport.list_calls import ListCall, ListCalls
from flamepy.runtime.serving import served_by
from flamepy.wire.services import FRONTEND

LIST = FRONTEND["ListTask"]
Serve = Callable[[Any, grpc.ServicerContext], Iterator[Any]]


def task(number: int, size: int = 0) -> Any:
    return LIST.response(metadata={"id": str(number)}, spec={"output": bytes(size)})


@contextmanager
def server(serve: Serve, port: int = 0) -> Iterator[int]:
    handlers = {
        "ListTask": grpc.unary_stream_rpc_method_handler(
            serve,
            request_deserializer=LIST.request.FromString,
            response_serializer=LIST.response.SerializeToString,
        )
    }
    with ThreadPoolExecutor(40) as pool:
        made = grpc.server(pool)
        made.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("flame.v1.Frontend", handlers),)
        )
        port = made.add_insecure_port(f"127.0.0.1:{port}")
        made.start()
        try:
            yield port
        finally:
            made.stop(None).wait()


@asynccontextmanager
async def lists_of(port: int) -> AsyncIterator[ListCalls]:
    lists = ListCalls(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]))
    try:
        yield lists
    finally:
        for one in list(lists._running):
            one.cancel()
        await wait_all(lists.unended(), 20)
        lists.close()


def begin(lists: ListCalls, timeout: float | None = 20.0, **metadata: str) -> ListCall:
    made = lists.begin(LIST, LIST.request(session_id="s"), timeout, tuple(metadata.items()))
    assert made is not None
    return made


async def ids(call: ListCall) -> list[int]:
    found = []
    while (message := await call.read()) is not grpc.aio.EOF:
        found.append(int(message.metadata.id))
    return found


def the_channel(lists: ListCalls) -> grpc.Channel:
    assert lists._channel is not None
    return lists._channel.channel


def is_closed(channel: grpc.Channel) -> bool:
    try:
        channel.unary_unary("/none/None")(b"", timeout=0.001)
    except ValueError as error:
        return "closed channel" in str(error)
    except grpc.RpcError:
        return False
    return False


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("flamepy-list")]


def test_all_messages_come_in_order_and_then_the_end() -> None:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        assert request.session_id == "s"
        assert ("who", "me") in [(one.key, one.value) for one in context.invocation_metadata()]
        yield from map(task, range(1000))

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            assert await ids(begin(lists, who="me")) == list(range(1000))
            found = await asyncio.gather(*(ids(begin(lists, who="me")) for _ in range(10)))
            assert found == [list(range(1000))] * 10
            assert not lists.unended()
        await asyncio.to_thread(eventually, lambda: not threads(), "the end of the threads")

    with server(serve) as port:
        run(main(port))


def test_what_came_before_an_error_comes_before_it() -> None:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from map(task, range(3))
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "70"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slower, please")

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            call = begin(lists)
            found = [(await call.read()).metadata.id for _ in range(3)]
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert found == ["0", "1", "2"]
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert raised.value.details() == "slower, please"
            assert ("grpc-retry-pushback-ms", "70") in list(raised.value.trailing_metadata())

    with server(serve) as port:
        run(main(port))


def test_a_silent_engine_is_left_at_the_deadline_and_at_once_by_a_cancel() -> None:
    gate = threading.Event()

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1)
        gate.wait(60)

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            call = begin(lists, 0.3)
            assert (await call.read()).metadata.id == "1"
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            call = begin(lists, None)
            reading = asyncio.ensure_future(call.read())
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait({reading}, timeout=20)
            await wait_all(lists.unended(), 20)
            assert not lists.unended()
            call.cancel()
            lists.close()

    with server(serve) as port:
        run(main(port))
        gate.set()


def test_a_thread_does_not_read_far_ahead_and_large_messages_make_small_chunks() -> None:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from (task(number, 200_000) for number in range(200))

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            call = begin(lists)
            first = await call.read()
            await asyncio.to_thread(eventually, lambda: len(call._chunks) >= list_calls.AHEAD)
            await asyncio.sleep(0.2)
            assert len(call._chunks) <= list_calls.AHEAD + 1
            assert all(len(one) <= 2 for one in call._chunks)
            assert [int(first.metadata.id), *await ids(call)] == list(range(200))

    with server(serve) as port:
        run(main(port))


def test_after_a_lost_engine_the_next_list_connects_at_once() -> None:
    """Whatever gRPC's back-off is: the other channel has seen the engine return."""
    slow = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 60_000)]

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1)

    async def main(port: int) -> None:
        target = f"127.0.0.1:{port}"
        lists = ListCalls(lambda: grpc.insecure_channel(target, [OPTION, *slow]))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ids(begin(lists))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        with server(serve, port):
            assert await ids(begin(lists)) == [1]
        lists.close()

    with server(serve) as port:
        pass
    run(main(port))


def test_a_list_whose_loop_has_gone_ends_its_thread() -> None:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from (task(number, 200_000) for number in range(1000))

    async def main(port: int) -> ListCalls:
        lists = ListCalls(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]))
        await begin(lists).read()
        return lists

    with server(serve) as port:
        loop = asyncio.new_event_loop()
        lists = loop.run_until_complete(main(port))
        channel = the_channel(lists)
        loop.close()
        lists.close()
        eventually(lambda: not threads(), "the end of the thread")
        eventually(lambda: is_closed(channel), "the end of the channel")


def test_a_list_that_was_left_leaves_nothing_to_grpc() -> None:
    """A call with events that nobody read is kept for ever, and a fork meets gRPC's threads."""
    gate = threading.Event()

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1)
        while not gate.is_set():
            yield task(2)

    async def left(lists: ListCalls, moment: float) -> Any:
        call = begin(lists)
        await asyncio.wait_for(call.read(), 20)
        ours = call._call
        await asyncio.sleep(moment)
        call.cancel()
        await wait_all([call.ended], 20)
        assert ours is not None
        return ours._state.due

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            for moment in (0.0, 0.01, 0.1):
                assert not await left(lists, moment)

    with server(serve) as port:
        run(main(port))
        gate.set()


def test_lists_are_awaited_side_by_side_and_one_that_is_silent_holds_up_no_other() -> None:
    """However many there are: a list is read beside one whose messages stop."""
    gate, all_there = threading.Event(), threading.Barrier(9)

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        all_there.wait(20)
        yield task(1)
        if ("silent", "yes") in [(one.key, one.value) for one in context.invocation_metadata()]:
            gate.wait(60)

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            silent = begin(lists, silent="yes")
            found = await asyncio.gather(*(ids(begin(lists)) for _ in range(8)))
            assert found == [[1]] * 8
            assert not silent.ended.done()
            gate.set()
            assert await ids(silent) == [1]

    with server(serve) as port:
        run(main(port))


def test_the_channel_is_closed_after_its_last_list() -> None:
    """A channel that is not closed stays, and a fork would meet its threads."""
    gate = threading.Event()

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1, list_calls.BYTES)  # handed on at once
        gate.wait(60)

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            calls = [begin(lists), begin(lists)]
            for call in calls:
                await call.read()
            channel = the_channel(lists)
            lists.close()
            calls[0].cancel()
            await wait_all([calls[0].ended], 20)
            assert not is_closed(channel), "another list is read by it"
            gate.set()
            assert await ids(calls[1]) == []
            assert is_closed(channel)

    with server(serve) as port:
        run(main(port))


def test_lists_that_are_forgotten_leave_no_channel() -> None:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1)
        context.abort(grpc.StatusCode.INTERNAL, "broken")

    async def main(port: int) -> grpc.Channel:
        lists = ListCalls(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]))
        call = begin(lists)
        await call.read()
        await wait_all([call.ended], 20)
        return the_channel(lists)

    with server(serve) as port:
        channel = run(main(port))
        gc.collect()
        assert is_closed(channel)


def test_no_call_of_a_finalizer_waits_on_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold a lock of gRPC's that the loop needs for that call."""
    names: list[str | None] = []
    sized = ListCall.sized

    def noted(call: ListCall, decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def note(data: bytes) -> Any:
            names.append(served_by())
            return decode(data)

        return sized(call, note)

    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield task(1)

    async def main(port: int) -> None:
        async with lists_of(port) as lists:
            assert await ids(begin(lists)) == [1]

    monkeypatch.setattr(ListCall, "sized", noted)
    with server(serve) as port:
        run(main(port))
    assert [(name or "")[:12] for name in names] == ["flamepy-list"]


def test_without_a_thread_it_is_said_and_nothing_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        lists = ListCalls(lambda: grpc.insecure_channel("127.0.0.1:1", [OPTION]))
        monkeypatch.setattr(list_calls.DaemonPool, "submit", refuse)
        assert lists.begin(LIST, LIST.request(), 20.0, None) is None
        assert not lists.unended()
        lists.close()

    run(main())
