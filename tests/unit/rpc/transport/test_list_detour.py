"""Lists where something in between lets no second connection through, and where nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import grpc.aio
import pytest
from support.loops import run
from support.waiting import eventually

from flamepy.core import connect
from flamepy.core.connection import Connection
from flamepy.errors import UnavailableError
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.rpc.dialect import Names
from flamepy.rpc.transport import list_calls
from flamepy.rpc.transport.list_calls import ListCalls
from flamepy.rpc.transport.message_stream import MessageStream
from flamepy.testing import ChaosProxy, FakeEngine

WAYS: dict[str, Callable[[ChaosProxy], None]] = {
    "refused": lambda proxy: proxy.refuse(),
    "silent": lambda proxy: proxy.black_hole(connections="new"),
}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine(dialect="0.6") as made:
        made.add_session("s")
        made.succeed("s", made.add_task("s", b"x"), b"y")
        yield made


@pytest.fixture
def proxy(engine: FakeEngine) -> Iterator[ChaosProxy]:
    with ChaosProxy(engine.endpoint) as made:
        yield made


@pytest.fixture
def connection(proxy: ChaosProxy) -> Iterator[Connection]:
    with connect(proxy.endpoint) as made:
        made.get_session("s")
        yield made


def lists_of(connection: Connection) -> ListCalls:
    return connection.link._calls._lists


def has_reached(connection: Connection) -> bool:
    lent = lists_of(connection)._channel
    return lent is not None and lent.reached


def ids(connection: Connection, timeout: float = 60.0) -> list[str]:
    return [one.id for one in connection.get_session("s").list_tasks(timeout=timeout)]


@pytest.mark.parametrize("way", WAYS)
def test_they_go_by_the_first_connection_then(
    engine: FakeEngine, proxy: ChaosProxy, connection: Connection, way: str
) -> None:
    WAYS[way](proxy)
    assert ids(connection) == ["1"]
    assert connection.stats().outages == 0, "one connection reaches the engine all the time"
    before = engine.calls["ListTask"]
    assert not lists_of(connection).apart, "the next ones do not try"
    assert [ids(connection) for _ in range(3)] == [["1"]] * 3
    assert engine.calls["ListTask"] == before + 3


@pytest.mark.parametrize("way", WAYS)
def test_informers_are_in_sync_all_the_same(
    proxy: ChaosProxy, connection: Connection, way: str
) -> None:
    seen: list[str] = []

    class Seen(TaskInformer):
        def on_update(self, event: TaskEvent) -> None:
            """Ask for tasks."""

        def on_terminal(self, event: TaskEvent) -> None:
            seen.append(event.task.id)

    WAYS[way](proxy)
    with Reactor(connection=connection, plugins=()) as reactor:
        reactor.register(Seen(), session="s").wait_synced(timeout=60)
        eventually(lambda: seen == ["1"])
    assert connection.stats().outages == 0


def test_their_connection_is_tried_again_after_a_while(
    proxy: ChaosProxy, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.refuse()
    assert ids(connection) == ["1"]
    monkeypatch.setattr(list_calls, "monotonic", lambda: float("inf"))
    assert lists_of(connection).apart
    monkeypatch.undo()
    rests = []
    for _ in range(8):
        lists_of(connection).shun()
        rests.append(lists_of(connection)._rest)
    assert rests == [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]
    lists_of(connection)._shunned_until = 0.0
    proxy.heal()
    assert ids(connection) == ["1"]
    eventually(lambda: lists_of(connection)._rest == 0.0)
    assert lists_of(connection).apart


def test_a_connection_that_breaks_is_made_again(engine: FakeEngine, connection: Connection) -> None:
    """After an outage informers list everything: that is no time to do it for more."""
    assert ids(connection) == ["1"]
    eventually(lambda: has_reached(connection))
    engine.kill()
    engine.restart()
    assert ids(connection) == ["1"]
    assert lists_of(connection).apart
    assert ids(connection) == ["1"]
    eventually(lambda: has_reached(connection))


def test_an_engine_that_is_away_is_no_reason_to_shun_it(
    engine: FakeEngine, connection: Connection
) -> None:
    async def read() -> None:
        await connection.link.hasty.collect_tasks("s", timeout=20.0)

    engine.kill()
    with pytest.raises(UnavailableError):
        connection.link.run(read())
    engine.restart()
    assert ids(connection) == ["1"]
    assert lists_of(connection).apart


class LostCall:
    """A call that fails, as if no connection could be made."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile

    async def read(self) -> object:
        self.meanwhile()
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing)

    def cancel(self) -> None:
        """Nothing is in flight."""


class Opener:
    """Opens calls that fail; does ``meanwhile`` before the first one does."""

    def __init__(self) -> None:
        self.streams: set[MessageStream] = set()
        self.names = Names()
        self.meanwhile: Callable[[], None] = lambda: None
        self.opened: list[bool] = []  # whether a stream was detoured

    async def enter(self) -> None:
        """Calls may be made."""

    def open_stream(self, stream: MessageStream, *arguments: object) -> LostCall:
        stream.apart = not stream.detoured
        self.opened.append(stream.detoured)
        return LostCall(self.meanwhile)

    def shun_lists(self) -> None:
        raise AssertionError("no channel has reached the engine")


@pytest.mark.parametrize("end", [None, "cut", "cancel"])
def test_a_list_that_is_ended_meanwhile_takes_no_other_way(end: str | None) -> None:
    """A fork may have closed the channel by then."""

    async def main() -> None:
        opener = Opener()
        stream = MessageStream(opener, "ListTask", None, 20.0)
        if end is not None:
            opener.meanwhile = getattr(stream, end)
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.__anext__()
        assert opener.opened == ([False, True] if end is None else [False])

    run(main())
