"""A test with pytest-asyncio: the reactor of a fixture runs coroutines on the test's loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from ends import Ends

from flamepy.informers import Reactor
from flamepy.testing import FakeEngine


@pytest_asyncio.fixture
async def reactor(fake_engine: FakeEngine) -> AsyncIterator[Reactor]:
    fake_engine.add_session("s")
    async with Reactor(endpoint=fake_engine.endpoint) as made:
        yield made


async def test_an_end_reaches_the_informer(reactor: Reactor, fake_engine: FakeEngine) -> None:
    ends = Ends()
    reactor.register(ends)
    task_id = fake_engine.add_task("s")
    fake_engine.succeed("s", task_id)
    assert await asyncio.wait_for(ends.of(task_id), 30) == "SUCCEED"
