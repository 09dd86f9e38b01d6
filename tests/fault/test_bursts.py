"""More calls at once than a server likes: each is answered in its turn, whoever made it."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import grpc.aio
import pytest

from flamepy.errors import FlameError
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine

LIST_NODES = "/flame.v1.Frontend/ListNodes"


async def _calls(channel: grpc.aio.Channel, count: int) -> Counter[str]:
    call = channel.unary_unary(LIST_NODES)

    async def one() -> str:
        try:
            await call(b"", timeout=150)  # the message has no fields
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return "answered"

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def _burst(endpoint: str, *, connections: int, calls: int) -> Counter[str]:
    target = endpoint.removeprefix("http://")
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(connections)]
    try:
        outcomes = await asyncio.gather(*(_calls(one, calls) for one in channels))
    finally:
        for one in channels:
            await one.close()
    return sum(outcomes, Counter())


@pytest.mark.parametrize(("connections", "calls"), [(1, 10_000), (100, 100)])
def test_a_burst_is_answered_in_its_turn(connections: int, calls: int) -> None:
    with LocalCluster(cache_port=None) as cluster:
        outcomes = asyncio.run(_burst(cluster.endpoint, connections=connections, calls=calls))
    assert outcomes == {"answered": connections * calls}


def test_the_engine_of_tests_answers_a_burst_as_well() -> None:
    with FakeEngine() as engine:
        outcomes = asyncio.run(_burst(engine.endpoint, connections=1, calls=5_000))
    assert outcomes == {"answered": 5_000}


def test_an_error_longer_than_grpcs_usual_limit_arrives(connect_to_refusing: str) -> None:
    from flamepy.core import connect

    with connect(connect_to_refusing) as connection, pytest.raises(FlameError) as caught:
        connection.get_session("s")
    assert len(caught.value.message) >= 100_000


@pytest.fixture
def connect_to_refusing():
    """The address of an engine that answers GetSession with an error of 100,000 characters."""
    import threading

    loop, ready, port = asyncio.new_event_loop(), threading.Event(), 0

    async def refuse(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "x" * 100_000)

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return b""

    class Engine(grpc.GenericRpcHandler):
        def service(self, details):
            refused = details.method.endswith("/GetSession")
            return grpc.unary_unary_rpc_method_handler(refuse if refused else answer)

    async def serve() -> grpc.aio.Server:
        nonlocal port
        server = grpc.aio.server(options=[("grpc.max_metadata_size", 1 << 20)])
        server.add_generic_rpc_handlers((Engine(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ready.set()
        return server

    thread = threading.Thread(target=loop.run_forever, name="a-refusing-engine")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(10)
        del server
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
