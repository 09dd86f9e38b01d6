"""The proxy that breaks connections, seen by plain sockets: each fault, and what it spares."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.errors import ConfigError, InvalidArgumentError, InvalidStateError
from flamepy.local import LocalCluster
from flamepy.testing import ChaosProxy

SECONDS = 10.0
MOMENT = 0.2


class Echo:
    """A server that sends back what it gets; ``taken`` are its connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.taken: list[socket.socket] = []
        self.ends = 0  # connections whose client ended its direction
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            self.taken.append(taken)
            serving = threading.Thread(target=self._serve, args=(taken,))
            serving.start()
            self.threads.append(serving)

    def _serve(self, taken: socket.socket) -> None:
        with taken:
            try:
                while data := taken.recv(65536):
                    taken.sendall(data)
                self.ends += 1
                taken.sendall(b"bye")
            except OSError:
                return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.taken:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self.threads:
            thread.join(SECONDS)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[ChaosProxy]:
    with ChaosProxy(echo.address) as made:
        yield made


def dial(proxy: ChaosProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)


def ask(line: socket.socket, data: bytes = b"hello") -> bytes:
    line.sendall(data)
    return take(line, len(data))


def ask_once(proxy: ChaosProxy) -> None:
    """Raise ConnectionError, at whichever step the reset arrives; return if there is none."""
    with dial(proxy) as line:
        ask(line)
        line.recv(1)


def take(line: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (piece := line.recv(count - len(got))):
        got += piece
    return got


def is_silent(line: socket.socket) -> bool:
    line.settimeout(MOMENT)
    try:
        line.recv(1)
    except TimeoutError:
        return True
    finally:
        line.settimeout(SECONDS)
    return False


class TestThrough:
    def test_bytes_go_through_whole_and_in_order_and_so_does_the_end(
        self, proxy: ChaosProxy, echo: Echo
    ) -> None:
        data = bytes(range(256)) * 8192  # 2 MiB
        with dial(proxy) as line:
            sending = threading.Thread(target=line.sendall, args=(data,))
            sending.start()
            assert take(line, len(data)) == data
            sending.join()
            line.shutdown(socket.SHUT_WR)
            assert take(line, 10) == b"bye"
        assert echo.ends == 1
        assert proxy.accepted == 1
        eventually(lambda: proxy.open_connections == 0)

    def test_a_target_that_is_not_there_resets(self, echo: Echo) -> None:
        with ChaosProxy(echo.address) as proxy:
            echo.listener.shutdown(socket.SHUT_RDWR)
            echo.listener.close()
            with pytest.raises(ConnectionError):
                ask_once(proxy)
            echo.listener = socket.create_server(("127.0.0.1", 0))

    def test_the_endpoint_is_of_the_targets_scheme(self) -> None:
        with ChaosProxy("https://127.0.0.1:1") as proxy:
            assert proxy.endpoint == f"https://127.0.0.1:{proxy.port}"
        assert "not running" in repr(proxy)


class TestReset:
    def test_open_connections_end_with_rst_and_new_ones_as_well(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as line:
            assert ask(line) == b"hello"
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        with pytest.raises(ConnectionError):
            ask_once(proxy)

    def test_existing_only_leaves_new_ones_alone(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as old:
            ask(old)
            proxy.reset(connections="existing")
            with pytest.raises(ConnectionResetError):
                old.recv(1)
        with dial(proxy) as new:
            assert ask(new) == b"hello"

    def test_new_only_leaves_existing_ones_alone(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as old:
            ask(old)
            proxy.reset(connections="new")
            with pytest.raises(ConnectionError):
                ask_once(proxy)
            assert ask(old) == b"hello"


class TestBlackHole:
    def test_nothing_comes_until_it_is_healed_and_then_everything(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as line:
            ask(line)
            proxy.black_hole()
            line.sendall(b"lost?")
            assert is_silent(line)
            proxy.heal()
            assert take(line, 5) == b"lost?"

    def test_new_connections_are_made_and_silent(self, proxy: ChaosProxy, echo: Echo) -> None:
        proxy.black_hole()
        with dial(proxy) as line:
            line.sendall(b"hello")
            assert is_silent(line)
            assert echo.taken == []
            proxy.heal()
            assert take(line, 5) == b"hello"

    def test_the_end_of_the_server_is_not_told(self, proxy: ChaosProxy, echo: Echo) -> None:
        with dial(proxy) as line:
            ask(line)
            proxy.black_hole()
            echo.taken[0].shutdown(socket.SHUT_RDWR)
            assert is_silent(line)
            proxy.heal()
            assert line.recv(1) == b""


class TestHalfClose:
    def test_the_client_reads_an_end_and_may_write_on(self, proxy: ChaosProxy, echo: Echo) -> None:
        with dial(proxy) as line:
            ask(line)
            proxy.half_close()
            assert line.recv(1) == b""
            line.sendall(b"still here")
            assert echo.ends == 0
            line.shutdown(socket.SHUT_WR)
            eventually(lambda: echo.ends == 1)

    def test_the_server_reads_an_end_and_may_write_on(self, proxy: ChaosProxy, echo: Echo) -> None:
        with dial(proxy) as line:
            ask(line)
            proxy.half_close(towards="server")
            assert take(line, 10) == b"bye"
        assert echo.ends == 1


class TestSlow:
    def test_a_delay_holds_back_each_piece(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as line:
            proxy.delay(MOMENT)
            delayed = took(line)
            assert delayed > 2 * MOMENT  # there and back
            proxy.heal()
            assert took(line) < delayed

    def test_a_rate_stretches_what_is_sent(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as line:
            proxy.throttle(20_000)
            assert took(line, 2_000) < took(line, 10_000)


def took(line: socket.socket, count: int = 5) -> float:
    start = time.monotonic()
    assert len(ask(line, b"x" * count)) == count
    return time.monotonic() - start


class TestCut:
    @pytest.mark.parametrize("count", [0, 1, 5, 70_000])
    def test_exactly_so_many_bytes_reach_the_client(self, proxy: ChaosProxy, count: int) -> None:
        with dial(proxy) as line:
            assert ask(line) == b"hello"
            proxy.cut_after(count)
            line.sendall(b"x" * 100_000)
            assert rest(line) == count
        with dial(proxy) as line:  # each connection counts for itself
            line.sendall(b"x" * 100_000)
            assert rest(line) == count

    def test_or_the_server(self, proxy: ChaosProxy) -> None:
        with dial(proxy) as line:
            proxy.cut_after(3, towards="server", connections="existing")
            line.sendall(b"hello")
            assert rest(line) <= 3
        with dial(proxy) as line:
            assert ask(line) == b"hello"


def rest(line: socket.socket) -> int:
    """Return how many bytes come until the connection ends, however it does."""
    count = 0
    try:
        while data := line.recv(65536):
            count += len(data)
    except ConnectionError:
        pass
    return count


class TestRefuse:
    def test_connecting_is_refused_until_it_is_healed_at_the_same_port(
        self, proxy: ChaosProxy
    ) -> None:
        port = proxy.port
        with dial(proxy) as line:
            ask(line)
            proxy.refuse()
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                dial(proxy)
            assert ask(line) == b"hello"
        proxy.heal()
        assert proxy.port == port
        with dial(proxy) as line:
            assert ask(line) == b"hello"
        assert proxy.accepted == 2

    def test_other_faults_do_not_end_it(self, proxy: ChaosProxy) -> None:
        proxy.refuse()
        proxy.delay(0.001)
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)


class TestMisuse:
    def test_arguments_are_checked(self, proxy: ChaosProxy) -> None:
        with pytest.raises(InvalidArgumentError, match="'all', 'new' or 'existing'"):
            proxy.reset(connections="some")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(InvalidArgumentError, match="seconds must be"):
            proxy.delay(0)
        with pytest.raises(InvalidArgumentError, match="bytes_per_second must be"):
            proxy.throttle(-1)
        with pytest.raises(InvalidArgumentError, match="count must be"):
            proxy.cut_after(-1)
        with pytest.raises(InvalidArgumentError, match="'client' or 'server'"):
            proxy.half_close(towards="both")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(ConfigError):
            ChaosProxy("ftp://x")

    def test_it_has_to_run(self, proxy: ChaosProxy) -> None:
        with pytest.raises(InvalidStateError, match="runs already"):
            proxy.__enter__()
        idle = ChaosProxy("127.0.0.1:1")
        idle.__exit__(None, None, None)
        for use in (lambda: idle.port, idle.heal, idle.refuse):
            with pytest.raises(InvalidStateError, match="not running"):
                use()


def test_the_fixture_is_in_front_of_the_cluster(
    flame_cluster: LocalCluster, chaos_proxy: ChaosProxy
) -> None:
    with connect(chaos_proxy.endpoint) as connection:
        assert connection.list_nodes()
    assert chaos_proxy.accepted == 1
    assert chaos_proxy.endpoint != flame_cluster.endpoint


class TestLife:
    @pytest.mark.parametrize("name", ["heal", "black_hole", "reset", "refuse", "half_close"])
    def test_what_it_does_needs_it_to_run(self, echo: Echo, name: str) -> None:
        proxy = ChaosProxy(echo.address)
        with pytest.raises(InvalidStateError, match="is not running"):
            getattr(proxy, name)()
        with proxy:
            pass
        with pytest.raises(InvalidStateError, match="is not running"):
            getattr(proxy, name)()

    def test_it_starts_once_at_a_time_and_ends_twice(self, echo: Echo) -> None:
        with ChaosProxy(echo.address) as proxy, pytest.raises(InvalidStateError, match="already"):
            proxy.__enter__()
        proxy.__exit__(None, None, None)

    @pytest.mark.parametrize("fault", ["refuse", "reset", "black_hole"])
    def test_what_was_broken_twice_is_healed_twice_and_whole_at_its_next_start(
        self, echo: Echo, fault: str
    ) -> None:
        proxy = ChaosProxy(echo.address)
        for _ in range(2):
            with proxy:
                with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as one:
                    one.sendall(b"x")
                    assert one.recv(1) == b"x"
                for act in (fault, fault, "heal", "heal", fault):
                    getattr(proxy, act)()
