"""What a connection owns: reaching an engine, saying why not, its state, and its end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tls import TlsFrontend

from flamepy import aio
from flamepy.config import FlameClientTls, FlameContext
from flamepy.core import connect
from flamepy.errors import (
    ConfigError,
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    InvalidStateError,
    UnavailableError,
)
from flamepy.local.cluster import LocalCluster
from flamepy.rpc.implicit import close_link, implicit_link, reset_implicit_link
from flamepy.rpc.link import ConnectionChange, Link
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.testing import FakeClock, FakeEngine
from flamepy.types import ConnectionState


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Silent:
    """A server that takes connections and never says a word."""

    def __enter__(self) -> str:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *failure: object) -> None:
        self.socket.close()


class TestReaching:
    def test_nothing_there_is_said_with_the_endpoint_and_the_reason(self) -> None:
        endpoint = f"http://127.0.0.1:{closed_port()}"
        with pytest.raises(UnavailableError) as caught:
            connect(endpoint, timeout=0.5)
        assert endpoint in caught.value.message
        assert "refused" in caught.value.message
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.__cause__ is not None

    def test_a_server_that_never_answers_is_said(self) -> None:
        with Silent() as endpoint, pytest.raises(FlameError) as caught:
            connect(endpoint, timeout=0.5)
        assert endpoint in caught.value.message

    def test_a_connection_that_cannot_be_made_is_an_error_and_no_log(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(UnavailableError):
            connect(f"http://127.0.0.1:{closed_port()}", timeout=0.3)
        assert not [one for one in caplog.records if one.levelname == "WARNING"]

    def test_a_host_that_does_not_exist_is_said(self) -> None:
        with pytest.raises(UnavailableError, match=r"nothing\.invalid"):
            connect("http://nothing.invalid:1", timeout=1.0)

    def test_host_and_port_are_enough(self, fake_engine: FakeEngine) -> None:
        with connect(fake_engine.endpoint.removeprefix("http://")) as connection:
            assert connection.endpoint == fake_engine.endpoint


class TestTls:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[TlsFrontend]:
        with TlsFrontend(tmp_path) as made:
            yield made

    def test_a_known_authority_is_trusted(self, server: TlsFrontend) -> None:
        tls = FlameClientTls(ca_file=str(server.ca_file))
        with connect(f"https://{server.start()}", tls) as connection:
            assert connection.list_nodes() == []

    def test_a_client_certificate_is_shown_where_one_is_asked_for(
        self, server: TlsFrontend
    ) -> None:
        address = server.start(ask_client=True)
        tls = FlameClientTls(str(server.ca_file), str(server.cert_file), str(server.key_file))
        with connect(f"https://{address}", tls) as connection:
            assert connection.list_nodes() == []
            assert "client.key" not in repr(connection)

    def test_an_unknown_authority_says_what_to_set(self, server: TlsFrontend) -> None:
        with pytest.raises(FlameError, match=r"not trusted: set tls\.ca_file"):
            connect(f"https://{server.start()}", timeout=2.0)

    def test_plain_text_to_a_tls_engine_says_so(self, server: TlsFrontend) -> None:
        with pytest.raises(FlameError, match="the port speaks TLS: write https://"):
            connect(f"http://{server.start()}", timeout=2.0)

    def test_tls_to_a_plain_engine_says_so(self, fake_engine: FakeEngine) -> None:
        secure = fake_engine.endpoint.replace("http:", "https:")
        with pytest.raises(FlameError, match="TLS mismatch"):
            connect(secure, timeout=2.0)

    def test_a_missing_file_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"/no/such/ca\.pem"):
            connect("https://127.0.0.1:1", FlameClientTls(ca_file="/no/such/ca.pem"))


def test_an_engine_that_comes_and_goes_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each change is told to observers; the last ones are said although nothing happens then."""
    changes: list[ConnectionChange] = []

    async def act() -> None:
        link = Link(FlameContext("http://127.0.0.1:1"))
        assert link.frontend
        link.add_observer(changes.append)
        for _ in range(500):
            link._set_state(ConnectionState.DISCONNECTED, UnavailableError("gone"))
            await asyncio.sleep(0.01)
            link._set_state(ConnectionState.CONNECTED)
            await asyncio.sleep(0.01)
        assert len(caplog.records) == 2
        await asyncio.sleep(120)
        assert len(caplog.records) == 4
        assert all("(499 times" in message for message in caplog.messages[2:])
        assert "answers again" in caplog.messages[3], "in the order of the last ones"
        link._set_state(ConnectionState.DISCONNECTED, UnavailableError("gone"))
        link._set_state(ConnectionState.CONNECTED)
        link._set_state(ConnectionState.DISCONNECTED, UnavailableError("for good"))
        await link.aclose()
        assert "for good (1 times" in caplog.text, "what was counted is said at the close"

    FakeClock().run(act())
    assert len(changes) == 1003


class TestState:
    def test_it_is_what_the_last_attempts_showed(self, fake_engine: FakeEngine) -> None:
        link = Link(FlameContext(fake_engine.endpoint), reactor=ReactorLoop())
        changes: list[ConnectionChange] = []
        undo = link.add_observer(changes.append)
        try:
            link.run(link.connect(5.0))
            assert link.state is ConnectionState.CONNECTED
            fake_engine.kill()
            with pytest.raises(UnavailableError):
                link.run(link.connect(0.3))
            assert link.state is ConnectionState.DISCONNECTED
            fake_engine.restart()
            link.run(link.connect(10.0))
            assert link.state is ConnectionState.CONNECTED
        finally:
            close_link(link)
        undo()
        undo()
        assert [str(change.state) for change in changes] == [
            "connecting",
            "connected",
            "disconnected",
            "connected",
        ]

    def test_a_silence_while_it_is_disconnected_and_a_goodbye_change_nothing(
        self, fake_engine: FakeEngine
    ) -> None:
        with connect(fake_engine.endpoint) as connection:
            link = connection.link
            changes: list[str] = []
            link.add_observer(lambda change: changes.append(str(change.state)))
            told = [
                UnavailableError("x: max connection age"),
                UnavailableError("x: Too many pings"),
                DeadlineExceededError("silent"),
                UnavailableError("refused"),
                DeadlineExceededError("silent"),
                UnavailableError("x: GOAWAY received"),
                None,
            ]

            async def tell() -> None:
                for one in told:
                    link._take_outcome(one)

            link.run(tell())
            assert changes == ["degraded", "disconnected", "connected"]

    def test_a_refusal_is_an_answer(self, fake_engine: FakeEngine) -> None:
        with connect(fake_engine.endpoint) as connection:
            assert connection.get_application("nothing") is None
            assert connection.link.state is ConnectionState.CONNECTED

    def test_what_was_under_way_when_it_went_says_nothing_once_it_is_back(
        self, fake_engine: FakeEngine
    ) -> None:
        link = Link(FlameContext(fake_engine.endpoint), reactor=ReactorLoop())

        async def go() -> list[str]:
            lost = UnavailableError("Socket closed")
            lost.failure = "connection lost"
            changes: list[str] = []
            link.add_observer(lambda change: changes.append(str(change.state)))
            now = asyncio.get_running_loop().time
            before = now() - 1  # a loop's clock may stand still for a whole turn
            link._take_outcome(lost, before)
            link._take_outcome(None, now())
            link._take_outcome(lost, before)
            assert changes == ["disconnected", "connected"]
            link._take_outcome(lost, now() + 1)
            return changes

        try:
            link.run(link.connect(5.0))
            assert link.run(go()) == ["disconnected", "connected", "disconnected"]
            assert link.stats().outages == 2
        finally:
            close_link(link)

    def test_an_answer_from_before_it_went_is_not_its_return(self, fake_engine: FakeEngine) -> None:
        """A busy loop may look at the failure of one call before the answer to another."""
        link = Link(FlameContext(fake_engine.endpoint), reactor=ReactorLoop())

        async def go() -> list[str]:
            lost = UnavailableError("Socket closed")
            lost.failure = "connection lost"
            changes: list[str] = []
            link.add_observer(lambda change: changes.append(str(change.state)))
            now = asyncio.get_running_loop().time
            before = now() - 1  # a loop's clock may stand still for a whole turn
            link._take_outcome(lost, before)
            link._take_outcome(None, before)  # as late as that
            link._take_outcome(lost, now())
            link._take_outcome(None, now() + 1)
            return changes

        try:
            link.run(link.connect(5.0))
            assert link.run(go()) == ["disconnected", "connected"]
            assert link.stats().outages == 1
        finally:
            close_link(link)

    def test_a_locked_database_is_an_answer(self, fake_engine: FakeEngine) -> None:
        link = Link(FlameContext(fake_engine.endpoint), reactor=ReactorLoop())

        async def go() -> None:
            locked = UnavailableError("database is locked")
            locked.failure = "database is locked"
            link._take_outcome(locked)

        try:
            link.run(link.connect(5.0))
            link.run(go())
            assert link.state is ConnectionState.CONNECTED
        finally:
            close_link(link)


class TestEnd:
    def test_a_closed_connection_says_so(self, fake_engine: FakeEngine) -> None:
        connection = connect(fake_engine.endpoint)
        connection.close()
        connection.close()
        assert "closed" in repr(connection)
        with pytest.raises(ConnectionClosedError):
            connection.list_nodes()

    def test_attachments_are_closed_last_made_first(self, fake_engine: FakeEngine) -> None:
        order: list[str] = []

        class Attached:
            def __init__(self, name: str) -> None:
                self.name = name

            async def aclose(self) -> None:
                order.append(self.name)
                if self.name == "b":
                    raise RuntimeError("this one fails")

        link = Link(FlameContext(fake_engine.endpoint), reactor=ReactorLoop())

        async def attach() -> None:
            for name in ("a", "b", "c"):
                made = link.attachment(name, lambda _, name=name: Attached(name))
                assert link.attachment(name, lambda _: Attached("?")) is made

        link.run(attach())
        close_link(link)
        assert order == ["c", "b", "a"]


class TestAsyncio:
    def test_a_connection_belongs_to_one_loop(self, fake_engine: FakeEngine) -> None:
        from support.loops import run

        async def make() -> aio.Connection:
            connection = await aio.connect(fake_engine.endpoint)
            await connection.list_nodes()
            return connection

        async def use_elsewhere() -> None:
            kept = []

            def other() -> None:
                kept.append(run(make()))

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            with pytest.raises(InvalidStateError, match="another event loop"):
                await kept[0].list_nodes()

        run(use_elsewhere())


class TestImplicit:
    def test_it_is_made_once_and_again_after_a_reset(self, monkeypatch) -> None:
        with LocalCluster(executors=1) as cluster:
            monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
            first = implicit_link()
            assert implicit_link() is first
            assert first.endpoint == cluster.endpoint
            reset_implicit_link()
            assert first.closed
            assert implicit_link() is not first
            reset_implicit_link()
