"""What an engine's list of objects looks like on the wire, which pyarrow's client cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from flamepy.objects.listing import METHOD, ObjectInfo, list_objects


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def info(key: str, size: int) -> bytes:
    """Return a FlightInfo as an engine sends it: without a descriptor, records -1."""
    endpoint = field(1, field(1, key.encode())) + field(2, field(1, b"grpc://10.0.0.2:9090"))
    minus_one = b"\xff" * 9 + b"\x01"
    return field(3, endpoint) + b"\x20" + minus_one + b"\x28" + bytes([size])


@pytest.fixture
def engine() -> Iterator[str]:
    def answer(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (info("a/s/two", 5), info("a/s/one", 7))

    service, method = METHOD.strip("/").split("/")
    handler = grpc.unary_stream_rpc_method_handler(answer)
    pool = ThreadPoolExecutor(1)
    server = grpc.server(pool)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(0).wait()
    pool.shutdown()


def test_an_engines_list_is_read(engine: str) -> None:
    assert list_objects(engine, None, 10.0) == [ObjectInfo("a/s/one", 7), ObjectInfo("a/s/two", 5)]
