"""What is opened and closed again and again, beside a connection that stays, leaves nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator

import pytest
from support.leaks import grown, things

from flamepy import aio
from flamepy.core import connect
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster
from flamepy.runtime.loops import close_retired
from flamepy.testing import FakeEngine

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["uvloop", "asyncio"])
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield an engine to which a connection stays, with uvloop where it is installed or without."""
    close_retired()
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    with FakeEngine() as engine, connect(engine.endpoint) as stays:
        stays.list_sessions()
        yield engine.endpoint
    close_retired()


def request(endpoint: str) -> None:
    with connect(endpoint) as connection:
        connection.list_sessions()


def reactor(endpoint: str) -> None:
    with connect(endpoint) as connection, Reactor(connection=connection, plugins=()) as made:
        made.register(TaskInformer()).wait_synced(20)


def cluster(endpoint: str) -> None:
    with LocalCluster(executors=1, cache_port=None) as made:
        request(made.endpoint)


def at_once(endpoint: str) -> None:
    """Have four connections at the same time, closed in the order in which they were made."""
    made = [connect(endpoint) for _ in range(4)]
    for one in made:
        one.close()


async def on_this_loop(endpoint: str) -> None:
    async with await aio.connect(endpoint) as connection:
        await connection.list_sessions()


def on_one_loop(endpoint: str) -> None:
    """Make connections, one after the other, on a loop that stays."""
    LOOPS[0].run_until_complete(on_this_loop(endpoint))


LOOPS: list[asyncio.AbstractEventLoop] = []


@pytest.fixture
def one_loop() -> Iterator[None]:
    LOOPS[:] = [asyncio.new_event_loop()]
    yield
    LOOPS.pop().close()


@pytest.mark.usefixtures("one_loop")
@pytest.mark.parametrize(
    ("act", "number"),
    [(request, 150), (at_once, 20), (reactor, 30), (on_one_loop, 100), (cluster, 8)],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_no_loop_thread_file_or_object_is_left(
    act: Callable[[str], None], number: int, endpoint: str
) -> None:
    for _ in range(5):
        act(endpoint)
    before = things()
    for _ in range(number):
        act(endpoint)
    # A few of a thing come and go; what is kept of each time comes to its number.
    left = {name: had for name, had in grown(before, things()).items() if had[1] - had[0] > 4}
    assert not left, f"after {number} times"
