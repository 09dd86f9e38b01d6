"""How long the way of a call is: each layer is entered once, and few functions are."""

from __future__ import annotations

import asyncio

from support.call_trace import CallTrace, call_trace

from flamepy import aio
from flamepy.testing import FakeEngine

FILES = 15  # from Session.create_task to its acknowledgement
CALLS = 31


async def creation(endpoint: str) -> CallTrace:
    async with await aio.connect(endpoint) as connection:
        await connection.register_application("app", {})
        session = await connection.create_session("app")
        await session.create_task(b"warm")
        with call_trace() as trace:
            await session.create_task(b"traced")
    return trace


def test_a_task_is_created_on_a_short_way() -> None:
    with FakeEngine() as engine:
        trace = asyncio.run(creation(engine.endpoint))
    assert len(trace.files) <= FILES, sorted(trace.files)
    assert len(trace.calls) <= CALLS, trace.calls


def test_each_layer_of_a_call_is_entered_once() -> None:
    """Requests, then retry, then transport: none of them calls one above it on the way down."""
    with FakeEngine() as engine:
        trace = asyncio.run(creation(engine.endpoint))
    sent = next(place for place, call in enumerate(trace.calls) if call.endswith(" detachable"))
    rooms = [call.split("/")[1] for call in trace.calls[:sent] if call.startswith("rpc/")]
    layers = [room for room in rooms if room in ("requests", "retry", "transport")]
    # What is made above and handed down has its constructor above.
    down = layers[layers.index("retry", layers.index("transport")) :] if layers else []
    assert down == sorted(down), trace.calls
