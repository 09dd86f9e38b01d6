"""``watch_task`` that is dropped without a close: nobody waits, and no stream stays open."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from support.waiting import eventually

from flamepy import aio
from flamepy.core import connect
from flamepy.testing import FakeEngine
from flamepy.watching.hub import Hub


@pytest.mark.parametrize("thread", ["the caller's", "another"])
def test_a_dropped_iterator_is_let_go(fake_engine: FakeEngine, thread: str) -> None:
    fake_engine.add_session("s")
    fake_engine.add_task("s")
    with connect(fake_engine.endpoint) as connection:
        session = connection.get_session("s")

        def drop() -> None:
            for _ in range(30):
                for _ in session.watch_task("1"):
                    break
            gc.collect()

        async def hub() -> Hub:
            return Hub.of(connection.link)

        if thread == "another":
            other = threading.Thread(target=drop)
            other.start()
            other.join(60)
        else:
            drop()
        interests = connection.link.run(hub())._waiters
        eventually(lambda: not interests, "nobody to wait any more")
        eventually(lambda: fake_engine.open_streams == 0, "the streams to end")


def test_a_dropped_asynchronous_iterator_is_let_go(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    fake_engine.add_task("s")

    async def act() -> None:
        async with await aio.connect(fake_engine.endpoint) as connection:
            session = await connection.get_session("s")
            for _ in range(30):
                async for _ in session.watch_task("1"):
                    break
            gc.collect()
            while Hub.of(connection.link)._waiters or fake_engine.open_streams:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(act(), 60))
