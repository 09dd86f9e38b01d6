"""No secret is in what the process shows: logs, reprs, errors, the outbox, dead letters, health."""

from __future__ import annotations

import base64
import logging
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flamepy_webhook import Webhook
from receiver import Answer, Received, Receiver, raw_server, read_request
from test_webhook import FAST, Service, work

from flamepy.core import connect
from flamepy.errors import InvalidArgumentError
from flamepy.informers import DeadLetter, Reactor, Secret
from flamepy.local import LocalCluster

CANARY = "canary"
KEY = "whsec_" + base64.b64encode(b"canary" * 6).decode()
SHOWN = (CANARY, KEY, KEY[6:], base64.b64encode(b"me:canary").decode())


def check_nothing_shown(text: str) -> None:
    for secret in SHOWN:
        assert secret not in text


def echo(request: Received) -> Answer:
    """Answer with what a receiver that means ill, or a debug page, would send back."""
    return Answer(500, {}, repr(request.headers).encode() + request.path.encode())


def run(url: str, folder: Path, **options: object) -> str:
    """Have events fail for good; return everything that a person could see of it."""
    sink = Webhook(
        **{
            "url": Secret(f"{url}?token={CANARY}"),
            "secret": [Secret(KEY), KEY],
            "headers": {"Authorization": Secret(f"Bearer {CANARY}")},
            "allow_private": True,
            "outbox": {**FAST, "give_up_after": 0.0},
            **options,
        }
    )
    checkpoint = folder / "checkpoint.db"
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("app", Service)
        with Reactor(connection=connection, checkpoint=checkpoint) as reactor:
            reactor.register(sink, uid="hook").wait_synced(timeout=60)
            work(connection, tasks=3)
            letters = first_letters(reactor)
            shown = [repr(sink), str(sink), repr(reactor), repr(reactor.health())]
            shown += [f"{one!r} {one.error} {one.traceback} {one.event}" for one in letters]
    stored = b"".join(path.read_bytes() for path in folder.glob("checkpoint.db*"))
    return "\n".join([*shown, stored.decode("latin-1")])


def first_letters(reactor: Reactor) -> list[DeadLetter]:
    """Return the dead letters, once there is one: without any, nothing was shown."""
    end = time.monotonic() + 60
    while not (letters := reactor.dead_letters.list()):
        assert time.monotonic() < end, "nothing failed"
        threading.Event().wait(0.02)
    return letters


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Log all, but for the header fields of answers, which README names."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="httpcore")


def test_a_receiver_that_echoes_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(echo) as receiver:
        shown = run(receiver.url, tmp_path)
    assert CANARY in receiver.requests[0].headers["authorization"]
    assert CANARY in receiver.requests[0].path
    check_nothing_shown(shown + caplog.text)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 canary\r\ncanary\r\n\r\n", b"canary\r\n\r\n", b""])
def test_garbage_that_echoes_them(
    said: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(connection: object) -> None:
        read_request(connection)  # type: ignore[arg-type]  # a socket
        connection.sendall(said)  # type: ignore[attr-defined]

    with raw_server(serve) as port:
        shown = run(f"http://127.0.0.1:{port}/{CANARY}", tmp_path)
    check_nothing_shown(shown + caplog.text)


def test_a_proxy_with_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(connection: object) -> None:
        read_request(connection)  # type: ignore[arg-type]  # a socket
        connection.sendall(b"HTTP/1.1 407 canary\r\n\r\n")  # type: ignore[attr-defined]

    with raw_server(refuse) as port:
        shown = run(
            "https://127.0.0.1/x", tmp_path, proxy=Secret(f"http://me:canary@127.0.0.1:{port}")
        )
    check_nothing_shown(shown + caplog.text)


def test_nobody_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        url = receiver.url
    check_nothing_shown(run(url, tmp_path) + caplog.text)


@pytest.mark.parametrize("show", [repr, str, lambda sink: repr(vars(sink))])
def test_the_sink_itself(show: Callable[[Webhook], str]) -> None:
    sink = Webhook(url=f"https://x.example/{CANARY}", headers={"X": CANARY}, secret=KEY)
    check_nothing_shown(show(sink))
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever: it has connections and locks
        pickle.dumps(sink)


def test_a_wrong_secret() -> None:
    for given in (CANARY, f"whsec_{CANARY}", "whsec_" + base64.b64encode(b"canary").decode()):
        with pytest.raises(InvalidArgumentError) as raised:
            Webhook(url="https://x.example/", secret=given)
        assert given not in repr(raised.value)
