"""Every fault that the doctor knows is named with what to do about it, and ends with status 1."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.renaming_proxy import RenamingProxy
from support.tls import TlsFrontend

from flamepy.cli.checks import answers
from flamepy.cli.checks.answers import compare_clocks
from flamepy.cli.checks.findings import Finding, Verdict
from flamepy.cli.checks.installation import official_sdk, proxy, versions
from flamepy.cli.verbs.doctor import examine
from flamepy.config import FlameContext
from flamepy.testing import FakeEngine
from flamepy.types import SessionInfo, SessionState

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
CHECKS = [
    *("versions", "official SDK", "address", "proxy", "dns", "port", "tls", "frontend"),
    *("dialect", "port + 1", "clock", "keepalive"),
]


def doctor(endpoint: str) -> dict[str, Finding]:
    async def collect() -> list[Finding]:
        return [one async for one in examine(endpoint, 2.0)]

    found = asyncio.run(collect())
    for finding in found:
        assert "\n" not in str(finding)
        if finding.verdict in (Verdict.FAILED, Verdict.WARNING):
            assert finding.advice, finding
    return {finding.check: finding for finding in found}


def the_failure(endpoint: str) -> Finding:
    found = doctor(endpoint)
    assert list(found) == CHECKS
    broken = [one for one in found.values() if one.verdict is Verdict.FAILED]
    assert len(broken) == 1, broken
    return broken[0]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "FLAME_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_healthy_engine_passes_every_check(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    found = doctor(fake_engine.endpoint)
    assert list(found) == CHECKS
    verdicts = {name: one.verdict for name, one in found.items()}
    assert verdicts.pop("tls") is Verdict.SKIPPED
    assert set(verdicts.values()) == {Verdict.OK}, found
    assert fake_engine.calls["ListSession"] == 1
    changes = {name for name in fake_engine.calls if not name.startswith(("List", "Get"))}
    assert not changes, "it changed something"


@pytest.mark.parametrize(("newer", "says"), [(False, "0.6 (ListAppl"), (True, "next (ListAppl")])
def test_what_the_engine_speaks_and_the_workspace_are_shown(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, *, newer: bool, says: str
) -> None:
    monkeypatch.setenv("FLAME_WORKSPACE", "team-a")
    with RenamingProxy(fake_engine.endpoint, newer=newer) as proxy:
        found = doctor(proxy.endpoint)["dialect"]
    assert found.verdict is Verdict.OK
    assert found.says.startswith(says)
    assert found.says.endswith("workspace team-a")


def test_an_address_that_is_none() -> None:
    found = doctor("ftp://x")
    assert list(found)[-1] == "address"
    assert "the scheme must be http" in found["address"].says


def test_a_name_without_address() -> None:
    failure = the_failure("nothing.invalid:1")
    assert failure.check == "dns"
    assert "nothing.invalid" in failure.says
    assert "spelling" in failure.advice


def test_a_port_where_nothing_listens() -> None:
    port = free_port()
    failure = the_failure(f"127.0.0.1:{port}")
    assert failure.check == "port"
    assert "refused" in failure.says
    assert f"flamepy up --port {port}" in failure.advice


def test_a_port_that_is_off_by_one(fake_engine: FakeEngine) -> None:
    port = int(fake_engine.endpoint.rpartition(":")[2])
    failure = the_failure(f"127.0.0.1:{port + 1}")
    assert failure.check == "port"
    assert f"answers at port {port}" in failure.says


@contextmanager
def listener(answer: bytes) -> Iterator[int]:
    """Listen on a port, and send the same to everybody who says something."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with closing(connection), suppress(OSError):
                    connection.settimeout(0.3)
                    connection.recv(1000)
                    connection.sendall(answer)

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_port_of_something_else() -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        failure = the_failure(f"127.0.0.1:{port}")
    assert failure.check == "frontend"
    assert "frontend" in failure.advice


class TestTls:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[TlsFrontend]:
        with TlsFrontend(tmp_path) as made:
            yield made

    def test_a_trusted_one_passes(
        self, server: TlsFrontend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLAME_CA_FILE", str(server.ca_file))
        found = doctor(f"https://{server.start()}")
        assert found["tls"].verdict is Verdict.OK
        assert "days" in found["tls"].says
        assert found["frontend"].verdict is Verdict.WARNING, "it has no node"

    def test_an_unknown_authority(self, server: TlsFrontend) -> None:
        failure = the_failure(f"https://{server.start()}")
        assert (failure.check, "ca_file" in failure.advice) == ("tls", True)

    def test_plain_text_to_tls(self, server: TlsFrontend) -> None:
        failure = the_failure(f"http://{server.start()}")
        assert failure.check == "frontend"
        assert "write https://" in failure.advice

    def test_tls_to_plain_text(self, fake_engine: FakeEngine) -> None:
        failure = the_failure(fake_engine.endpoint.replace("http", "https"))
        assert failure.check == "tls"
        assert f"write {fake_engine.endpoint}" in failure.advice

    def test_a_file_that_is_not_there(
        self, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLAME_CA_FILE", "/no/such.pem")
        failure = the_failure(fake_engine.endpoint.replace("http", "https"))
        assert (failure.check, "No such file" in failure.says) == ("tls", True)


class Freezing:
    """A proxy that stops passing bytes, in both directions, once nothing came for ``quiet`` s."""

    def __init__(self, target: str, quiet: float) -> None:
        self._target = target.removeprefix("http://").split(":")
        self._quiet = quiet
        self._served: list[asyncio.Task[None] | None] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        served = [task for task in self._served if task is not None]
        assert served, "nobody came"
        await asyncio.wait(served, timeout=10.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.append(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        for one in (writer, there_writer):
            with suppress(OSError):
                await one.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            with suppress(asyncio.TimeoutError):
                while data := await asyncio.wait_for(reader.read(65536), self._quiet):
                    writer.write(data)
            while await reader.read(65536):  # swallowed
                pass
        writer.close()


def test_a_proxy_that_drops_idle_connections(fake_engine: FakeEngine) -> None:
    async def check() -> Finding:
        async with Freezing(fake_engine.endpoint, 0.4) as endpoint:
            return await answers.keepalive(FlameContext(endpoint), 2.0)

    failure = asyncio.run(check())
    assert failure.verdict is Verdict.FAILED
    assert "pings" in failure.advice


class TestClock:
    def session(self, seconds: float, ended: float | None = None) -> SessionInfo:
        done = None if ended is None else NOW + timedelta(seconds=ended)
        made = NOW + timedelta(seconds=seconds)
        return SessionInfo("s", "a", SessionState.OPEN, made, completion_time=done)

    def test_the_future_is_a_fault(self) -> None:
        assert compare_clocks([self.session(30)], NOW).verdict is Verdict.FAILED
        assert "30 s ahead" in compare_clocks([self.session(-9), self.session(0, 30)], NOW).says

    def test_the_past_and_the_second_of_rounding_are_not(self) -> None:
        assert compare_clocks([self.session(1), self.session(-9e6, 0)], NOW).verdict is Verdict.OK

    def test_without_a_date_nothing_is_claimed(self) -> None:
        assert compare_clocks([], NOW).verdict is Verdict.SKIPPED


class TestInstallation:
    def test_versions_are_listed(self) -> None:
        assert versions().verdict is Verdict.OK
        assert "grpcio" in versions().says

    def test_the_official_sdk_beside_ours_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert official_sdk().verdict is Verdict.OK
        info = tmp_path / "flamepy-0.6.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flamepy\nVersion: 0.6.0\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert official_sdk().verdict is Verdict.FAILED
        assert "pip uninstall" in official_sdk().advice

    @pytest.mark.parametrize(
        ("host", "environ", "verdict"),
        [
            ("flame.example.org", {}, Verdict.OK),
            ("flame.example.org", {"http_proxy": "http://p"}, Verdict.WARNING),
            ("flame.example.org", {"http_proxy": "p", "no_proxy": ".example.org"}, Verdict.OK),
            ("flame.example.org", {"https_proxy": "p", "no_proxy": "other"}, Verdict.WARNING),
            ("127.0.0.1", {"grpc_proxy": "p"}, Verdict.SKIPPED),
        ],
    )
    def test_a_proxy_in_the_way_is_said(
        self, host: str, environ: dict[str, str], verdict: Verdict
    ) -> None:
        assert proxy(FlameContext(host), environ).verdict is verdict


def test_the_program_prints_a_line_a_check_and_ends_with_a_status(fake_engine: FakeEngine) -> None:
    for endpoint, status in ((fake_engine.endpoint, 0), ("127.0.0.1:1", 1)):
        done = subprocess.run(
            [sys.executable, "-m", "flamepy", "doctor", "--endpoint", endpoint],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            check=False,
        )
        assert (done.returncode, done.stderr) == (status, "")
        lines = [one for one in done.stdout.splitlines() if not one.startswith("hint ")]
        assert len(lines) == len(CHECKS)
        assert any(line.startswith("FAIL") for line in lines) == bool(status)
