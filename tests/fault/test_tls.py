"""TLS that cannot be (fault 11): each failure has a text of its own, at once, and no storm.

The authority is made in the test. The proxy in between counts how often somebody connects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.tls import Authority, TlsFrontend
from support.waiting import eventually

from flamepy.cli.checks.findings import Finding, Verdict
from flamepy.cli.verbs.doctor import examine
from flamepy.config import FlameClientTls, FlameContext
from flamepy.core import connect, list_nodes
from flamepy.errors import FlameError, TlsError, UnavailableError
from flamepy.informers import Reactor
from flamepy.testing import ChaosProxy, FakeClock, RecordingInformer, ScriptedConnection
from flamepy.watching.hub import Hub

FEW = 6  # connections: of gRPC two or three, and a look; trying for 30 s makes dozens


@dataclass(frozen=True)
class Case:
    """A server, a client, and what both the error and the doctor have to say."""

    says: str
    advice: str
    scheme: str = "https"
    hosts: tuple[str, ...] = ()
    ask_client: bool = False
    expired: bool = False
    plain: bool = False
    ca: str = "right"  # or "other", "none"
    client: str = "none"  # or "right", "other", "expired"


CASES = {
    "an authority that is not ours": Case(
        r"certificate.*not (trusted|accepted)", r"set tls\.ca_file", ca="other"
    ),
    "no authority": Case(r"certificate.*not (trusted|accepted)", r"set tls\.ca_file", ca="none"),
    "an expired certificate": Case(r"expired", r"renew it", expired=True),
    "a certificate of another name": Case(
        r"another name|mismatch", r"use the host name", hosts=("elsewhere.example.org",)
    ),
    "no TLS to a TLS port": Case(r"speaks TLS", r"write https://", scheme="http"),
    "TLS to a port without": Case(r"does not (use|speak) TLS", r"write http://", plain=True),
    "no client certificate": Case(
        r"wants a client certificate, and none", r"set tls\.cert_file", ask_client=True
    ),
    "a client certificate of another authority": Case(
        r"does not accept the client certificate .*other-client\.pem",
        r"its client authority signed",
        ask_client=True,
        client="other",
    ),
    "an expired client certificate": Case(
        r"does not accept the client certificate .*ca-old\.pem",
        r"has not expired",
        ask_client=True,
        client="expired",
    ),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TlsFrontend]:
    with TlsFrontend(tmp_path) as made:
        yield made


def files(case: Case, server: TlsFrontend, folder: Path) -> FlameClientTls:
    other = Authority(folder, "other")
    ca = {"right": str(server.ca_file), "other": str(other.ca_file), "none": None}[case.ca]
    pairs = {
        "none": None,
        "right": (server.cert_file, server.key_file),
        "other": other.issue("client", "client@example.org"),
        "expired": server.authority.issue("old", "client@example.org", expired=True),
    }
    pair = pairs[case.client]
    cert, key = (None, None) if pair is None else (str(pair[0]), str(pair[1]))
    return FlameClientTls(ca, cert, key)


def begin(case: Case, server: TlsFrontend) -> str:
    return server.start(
        *case.hosts, ask_client=case.ask_client, expired=case.expired, plain=case.plain
    )


@pytest.mark.parametrize("name", CASES)
def test_connect_says_at_once_what_is_wrong_and_the_way_out(
    name: str, server: TlsFrontend, tmp_path: Path
) -> None:
    case = CASES[name]
    with ChaosProxy(begin(case, server)) as proxy:
        with pytest.raises(TlsError, match=case.says) as caught:
            connect(
                f"{case.scheme}://127.0.0.1:{proxy.port}",
                files(case, server, tmp_path),
                timeout=30.0,
            )
        assert not caught.value.retryable
        assert str(proxy.port) in caught.value.message
        assert 1 <= proxy.accepted <= FEW
    with pytest.raises(TlsError, match=case.advice):
        raise caught.value


@pytest.mark.parametrize("name", CASES)
def test_doctor_says_it_as_well(
    name: str, server: TlsFrontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    address = begin(case, server)
    tls = files(case, server, tmp_path)
    for key in ("ca_file", "cert_file", "key_file"):
        value = getattr(tls, key)
        if value is not None:
            monkeypatch.setenv(f"FLAME_{key.upper()}", value)
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run() -> list[Finding]:
        return [one async for one in examine(f"{case.scheme}://{address}", 3.0)]

    (failure,) = [one for one in asyncio.run(run()) if one.verdict is Verdict.FAILED]
    assert failure.check == ("frontend" if case.scheme == "http" else "tls")
    with pytest.raises(AssertionError, match=case.says):
        raise AssertionError(str(failure))
    with pytest.raises(AssertionError, match=case.advice):
        raise AssertionError(str(failure))


def test_right_files_connect_with_and_without_a_client_certificate(
    server: TlsFrontend, tmp_path: Path
) -> None:
    for ask in (False, True):
        tls = files(Case("", "", client="right"), server, tmp_path)
        with connect(f"https://{server.start(ask_client=ask)}", tls) as connection:
            assert connection.list_nodes() == []


def test_fault_11_a_failure_of_tls_is_told_at_once_and_not_repeated(
    server: TlsFrontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ChaosProxy(server.start()) as proxy:
        monkeypatch.setenv("FLAME_ENDPOINT", f"https://127.0.0.1:{proxy.port}")
        with pytest.raises(TlsError) as caught:
            list_nodes(timeout=20.0)
        assert caught.value.attempts == 1
        assert proxy.accepted <= 2


def polls_in_a_minute(error: FlameError) -> int:
    with ScriptedConnection(FakeClock()) as connection:
        source = connection.source

        async def minute() -> int:
            """Run on the reactor's thread, whose time it is that goes by."""
            source.fail_calls(error)
            before = source.calls["list_sessions"]
            await asyncio.sleep(60.0)
            return source.calls["list_sessions"] - before

        with Reactor(connection=connection, plugins=()) as reactor:
            reactor.register(RecordingInformer()).wait_synced(10.0)
            return connection.run(minute())


def test_polls_ask_ever_less_where_tls_is_to_blame() -> None:
    away = polls_in_a_minute(UnavailableError("away", retryable=True))
    assert 3 * polls_in_a_minute(TlsError("expired")) < away


def test_a_reactor_that_does_not_wait_goes_on_and_says_so_once(
    server: TlsFrontend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For certificates are renewed."""
    with ChaosProxy(server.start()) as proxy:
        context = FlameContext(
            f"https://127.0.0.1:{proxy.port}", config_file=_empty(tmp_path), environ={}
        )
        informer = RecordingInformer()
        with caplog.at_level(logging.WARNING), Reactor(context=context, plugins=()) as reactor:
            reactor.register(informer)
            eventually(lambda: informer.errors)
            hub = reactor._hub
            assert isinstance(hub, Hub)
            eventually(lambda: hub.health.polls >= 4)
            assert len(informer.errors) == 1
            assert isinstance(informer.errors[0], TlsError)
            assert proxy.accepted <= 2 * hub.health.polls
        said = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert len(said) == 1


def test_an_engine_that_is_away_is_not_taken_for_one_with_tls_trouble(tmp_path: Path) -> None:
    with ChaosProxy("127.0.0.1:1") as proxy, pytest.raises(UnavailableError) as caught:
        connect(f"https://127.0.0.1:{proxy.port}", timeout=1.0)
    assert not isinstance(caught.value, TlsError)


def _empty(folder: Path) -> Path:
    path = folder / "flame.yaml"
    path.write_text("current-context: a\ncontexts: [{name: a}]\n")
    return path
