"""The first error of a first-time user names the command that helps."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import grpc
import pytest

from flamepy import aio
from flamepy.core import TaskInformer, connect
from flamepy.errors import ApplicationNotFoundError, FlameError, UnavailableError
from flamepy.informers import Reactor
from flamepy.rpc.implicit import reset_implicit_link
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.transport.status import Call, from_result, from_status
from flamepy.rpc.transport.ways_out import CACHE, start_one
from flamepy.testing import FakeEngine


@pytest.mark.parametrize(
    ("endpoint", "command"),
    [
        ("http://127.0.0.1:8080", "`flamepy up`"),
        ("http://localhost", "`flamepy up`"),
        ("http://[::1]:81", "`flamepy up --port 81`"),
        ("http://0.0.0.0:81", "`flamepy up --port 81`"),
    ],
)
def test_an_engine_of_this_machine_is_started_with_its_port(endpoint: str, command: str) -> None:
    assert start_one(endpoint).endswith(f"start an engine on this machine with {command}")


def test_a_cache_has_a_port_of_its_own() -> None:
    assert start_one("grpc://127.0.0.1:9090", CACHE).endswith("with `flamepy up`")
    assert start_one("http://127.0.0.1:91", CACHE).endswith("with `flamepy up --cache-port 91`")


@pytest.mark.parametrize("endpoint", ["http://flame.example.org:8080", "https://127.0.0.1:1"])
def test_what_is_elsewhere_or_has_tls_is_looked_at_first(endpoint: str) -> None:
    assert "`flamepy doctor`" in start_one(endpoint)
    assert "`flamepy up`" in start_one(endpoint)


@pytest.fixture
def nothing() -> str:
    """Return the address of a port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


PROGRAMS = {
    "a call": "from flamepy.core import list_sessions; list_sessions(timeout=1)",
    "a connection": "from flamepy.core import connect; connect(timeout=1)",
    "coroutines": "import asyncio; from flamepy import aio; asyncio.run(aio.connect(timeout=1))",
    "the cache": "from flamepy.core import put_object; put_object('a/b', 1, timeout=1)",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_last_line_of_the_traceback_says_how_to_start_one(program: str, nothing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "FLAME_ENDPOINT": f"http://{nothing}",
            "FLAME_CACHE_ENDPOINT": f"grpc://{nothing}",
        },
    )
    assert done.returncode == 1
    port = nothing.partition(":")[2]
    option = "--cache-port" if "put_object" in program else "--port"
    assert f"with `flamepy up {option} {port}`" in done.stderr.splitlines()[-1]


WAITS: dict[str, Callable[[Reactor], object]] = {
    "an informer": lambda reactor: reactor.register(TaskInformer()).wait_synced(timeout=1),
    "all informers": lambda reactor: (
        reactor.register(TaskInformer()),
        reactor.wait_synced(timeout=1),
    ),
    "a lister": lambda reactor: reactor.tasks.wait_synced(timeout=1),
    "a task": lambda reactor: reactor.wait([("s", "1")], timeout=1),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_of_a_reactor_says_it_as_well(
    wait: Callable[[Reactor], object], nothing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAME_ENDPOINT", f"http://{nothing}")
    reset_implicit_link()
    with Reactor(plugins=()) as reactor, pytest.raises(FlameError) as raised:
        wait(reactor)
    port = nothing.partition(":")[2]
    assert f"with `flamepy up --port {port}`" in raised.value.message
    assert len(raised.value.message.splitlines()) == 1


def test_an_engine_that_has_answered_is_not_one_to_start() -> None:
    with FakeEngine() as engine, connect(engine.endpoint) as connection:
        engine.kill()
        with pytest.raises(UnavailableError) as raised:
            connection.list_sessions(timeout=0.5)
    assert "flamepy up" not in raised.value.message


async def _reach(endpoint: str) -> None:
    await aio.connect(endpoint, timeout=0.3)


def test_the_error_of_a_connection_says_what_the_table_says(nothing: str) -> None:
    with pytest.raises(UnavailableError, match="no connection within") as raised:
        asyncio.run(_reach(nothing))
    assert raised.value.failure == Failure.NOT_SENT.value
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("CreateSession", "Application nope not found: No such file or directory (os error 2)"),
        ("OpenSession", "NOT NULL constraint failed: sessions.application"),
    ],
)
def test_an_unknown_application_is_named_and_how_to_register_it(call: str, text: str) -> None:
    error = from_status(grpc.StatusCode.NOT_FOUND, text, Call(call, application="nope"))
    assert isinstance(error, ApplicationNotFoundError)
    assert text in error.message
    assert "nope" in error.message.replace(text, "")
    assert "`flamepy apps register FILE.yaml`" in error.message


def test_one_that_is_updated_may_be_registered_and_one_that_goes_need_not() -> None:
    text = "application <nope>"
    assert "apps register" in from_result(text, Call("UpdateApplication")).message
    assert "apps register" not in from_result(text, Call("UnregisterApplication")).message
