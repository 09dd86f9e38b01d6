"""Looks that threads read for callers: they find something, or the loop can go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import pytest
from support.loops import run
from support.waiting import eventually

from flamepy.rpc.transport import looks as module
from flamepy.rpc.transport.blocking_streams import OPTION
from flamepy.rpc.transport.in_flight import wait_all
from flamepy.rpc.transport.list_calls import ListCalls
from flamepy.rpc.transport.looks import Look, Looks
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.serving import served_by
from flamepy.wire.services import FRONTEND

WATCH = FRONTEND["WatchTask"]
Serve = Callable[[Any, grpc.ServicerContext], Iterator[Any]]
Find = Callable[[Any], "str | None"]


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    handlers = {
        "WatchTask": grpc.unary_stream_rpc_method_handler(
            serve,
            request_deserializer=WATCH.request.FromString,
            response_serializer=WATCH.response.SerializeToString,
        )
    }
    with ThreadPoolExecutor(8) as pool:
        made = grpc.server(pool)
        made.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("flame.v1.Frontend", handlers),)
        )
        port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        try:
            yield port
        finally:
            made.stop(None).wait()


def shows(*ids: str) -> Serve:
    def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from (WATCH.response(metadata={"id": one}) for one in ids)

    return serve


def second(message: Any) -> str | None:
    return message.metadata.id if message.metadata.id == "2" else None


def begun(looks: Looks, find: Find = second) -> Look[str]:
    made = looks.begin(WATCH, WATCH.request(session_id="s", task_id="1"), find)
    assert made is not None
    return made


async def found_by(look: Look[str]) -> str | None:
    found = await asyncio.to_thread(look.wait, None)
    await wait_all([look.ended()], 30)
    assert look.over
    return found


@asynccontextmanager
async def looks_of(port: int) -> AsyncIterator[Looks]:
    lists = ListCalls(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]))
    looks = Looks(lists)
    try:
        yield looks
    finally:
        await wait_all(looks.unended(), 30)
        lists.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks last so long that no machine is too slow for one that finds something."""
    monkeypatch.setattr(module, "LONGEST", 30.0)


@pytest.mark.usefixtures("patient")
class TestFound:
    def test_it_finds_what_is_looked_for_and_leaves_the_rest(self) -> None:
        async def main(port: int) -> None:
            async with looks_of(port) as looks:
                assert await found_by(begun(looks)) == "2"
                assert not looks.unended()

        with server(shows("1", "2", *["3"] * 1000)) as port:
            run(main(port))

    @pytest.mark.parametrize("ids", [(), ("1",)])
    def test_a_stream_that_ends_without_it_is_nothing(self, ids: tuple[str, ...]) -> None:
        async def main(port: int) -> None:
            async with looks_of(port) as looks:
                assert await found_by(begun(looks)) is None

        with server(shows(*ids)) as port:
            run(main(port))

    def test_nothing_of_it_is_left_to_grpc(self) -> None:
        """A call with events that nobody read is kept for ever, and a fork meets its threads."""
        calls = []

        async def main(port: int) -> None:
            async with looks_of(port) as looks:
                look = Look(second, looks._lists.lose)
                lent = looks._lists._lent()
                lent.lend(look)
                stub = lent.channel.unary_stream(
                    WATCH.path,
                    request_serializer=WATCH.request.SerializeToString,
                    response_deserializer=WATCH.response.FromString,
                )

                def begin() -> Any:
                    calls.append(stub(WATCH.request(), timeout=30))
                    return calls[-1]

                await asyncio.to_thread(look.work, begin, lent)
                assert look.wait(0) == "2"
                assert not calls[0]._state.due
                assert not lent._readers

        with server(shows("2", *["3"] * 1000)) as port:
            run(main(port))

    def test_no_call_of_a_finalizer_waits_on_its_thread(self) -> None:
        """It may hold a lock of gRPC's that the loop needs for that call."""

        def here(message: Any) -> str | None:
            return served_by()

        async def main(port: int) -> None:
            async with looks_of(port) as looks:
                assert (await found_by(begun(looks, here)) or "").startswith("flamepy-list")

        with server(shows("1")) as port:
            run(main(port))


def test_a_refusal_is_nothing_and_gives_no_channel_up() -> None:
    def refuse(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.abort(grpc.StatusCode.INTERNAL, "broken")
        yield

    async def main(port: int) -> None:
        async with looks_of(port) as looks:
            assert await found_by(begun(looks)) is None
            assert looks._lists._channel is not None

    with server(refuse) as port:
        run(main(port))


@pytest.mark.usefixtures("patient")
def test_a_channel_that_does_not_reach_the_engine_is_given_up() -> None:
    async def main() -> None:
        async with looks_of(1) as looks:
            assert await found_by(begun(looks)) is None
            assert looks._lists._channel is None

    run(main())


def test_a_silent_engine_is_left_after_a_moment_and_a_caller_earlier() -> None:
    gate = threading.Event()

    def silent(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        gate.wait(60)
        yield from ()

    async def main(port: int) -> None:
        async with looks_of(port) as looks:
            assert begun(looks).wait(0.0) is None
            assert await found_by(begun(looks)) is None
        gate.set()

    with server(silent) as port:
        run(main(port))


@pytest.mark.usefixtures("patient")
def test_there_are_few_at_once_and_a_fork_waits_for_them() -> None:
    gate = threading.Event()

    def wait(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        gate.wait(60)
        yield WATCH.response(metadata={"id": "2"})

    async def main(port: int) -> None:
        async with looks_of(port) as looks:
            made = [begun(looks) for _ in range(module.AT_ONCE)]
            assert looks.begin(WATCH, WATCH.request(), second) is None
            unended = looks.unended()
            assert [one.done() for one in unended] == [False] * module.AT_ONCE
            gate.set()
            await wait_all(unended, 30)
            assert not looks.unended()
            assert [one.wait(0) for one in made] == ["2"] * module.AT_ONCE
            assert await found_by(begun(looks)) == "2"

    with server(wait) as port:
        run(main(port))


def test_without_a_thread_it_is_said_and_nothing_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with looks_of(1) as looks:
            monkeypatch.setattr(DaemonPool, "submit", refuse)
            assert looks.begin(WATCH, WATCH.request(), second) is None
            assert not looks.unended()
            lent = looks._lists._channel
            assert lent is not None
            assert not lent._readers

    run(main())


def test_the_caller_of_a_look_whose_loop_has_gone_gets_what_it_finds() -> None:
    gate = threading.Event()

    def wait(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        gate.wait(60)
        yield WATCH.response(metadata={"id": "2"})

    async def main(port: int) -> tuple[Look[str], ListCalls]:
        lists = ListCalls(lambda: grpc.insecure_channel(f"127.0.0.1:{port}", [OPTION]))
        look = begun(Looks(lists))
        assert not look.ended().done()
        return look, lists

    with server(wait) as port:
        loop = asyncio.new_event_loop()
        look, lists = loop.run_until_complete(main(port))
        loop.close()
        gate.set()
        eventually(lambda: look.over)
        lists.close()
        eventually(lambda: not [t for t in threading.enumerate() if "flamepy-list" in t.name])
