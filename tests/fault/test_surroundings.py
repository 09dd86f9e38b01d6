"""What a process is started in: proxies, no home folder, no working folder. Calls work in it."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.objects import client_of
from support.server_process import TESTS

from flamepy.core import ApplicationAttributes, Connection, ObjectRef, connect
from flamepy.errors import FlameError
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine
from flamepy.types import RetryPolicy

pytestmark = pytest.mark.timeout(120)
SERVICE = str(Path(__file__).parent.parent / "support" / "object_service.py")
VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
ONCE = RetryPolicy(attempts=1)


class Proxy:
    """Refuses every connection, and notes what was asked for."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self.asked.append(client.recv(2000).decode("latin-1").partition("\r\n")[0])
                client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10.0)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Yield a proxy that every variable names, and that nothing is excepted from."""
    made = Proxy()
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{made.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{made.port}")
    yield made
    made.close()


def command(*arguments: str, **options: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flamepy", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,  # type: ignore[call-overload]  # of Popen
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def uses_objects(connection: Connection) -> None:
    """Have a service process read an object and put another one."""
    spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE], delay_release=0)
    connection.register_application("sums", spec)
    numbers = connection.objects.put("app/numbers", [1, 2, 3])
    with connection.create_session("sums") as session:
        answer = session.invoke(numbers.encode(), timeout=60)
    assert connection.objects.get(ObjectRef.decode(answer or b"")) == 6


class TestProxies:
    def test_everything_of_an_embedded_cluster_is_reached_directly(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with LocalCluster(executors=1) as cluster, connect(context=cluster.context) as connection:
            uses_objects(connection)
            assert [one.key for one in connection.objects.list()]
            with Reactor(connection=connection, plugins=()) as reactor:
                reactor.register(TaskInformer()).wait_synced(20)
            assert "sums" in command("apps", "--endpoint", cluster.endpoint)
            monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cluster.cache_endpoint or "")
            assert "app/numbers" in command("cache", "list")
        assert not proxy.asked

    def test_a_stand_in_for_an_engine_is_reached_directly(self, proxy: Proxy) -> None:
        with FakeEngine() as engine, connect(engine.endpoint) as connection:
            connection.list_sessions()
        assert not proxy.asked

    def test_other_machines_are_asked_through_it(self, proxy: Proxy) -> None:
        with pytest.raises(FlameError):
            connect("http://flame.invalid:8081", timeout=1.0)
        assert "CONNECT flame.invalid:8081 HTTP/1.1" in proxy.asked
        with client_of("grpc://cache.invalid:9091", policy=ONCE, patience=0.0) as client:
            for act in (lambda: client.put("a/b", b"x", timeout=1.0), lambda: client.list()):
                proxy.asked.clear()
                with pytest.raises(FlameError):
                    act()
                assert "CONNECT cache.invalid:9091 HTTP/1.1" in proxy.asked


ALONE = """
import os, pwd, sys

def unknown(user):
    raise KeyError(f"not found: {user}")

pwd.getpwuid = pwd.getpwnam = unknown  # as for a user id without an entry
gone = sys.argv[1]
os.mkdir(gone)
os.chdir(gone)
os.rmdir(gone)
from flamepy.core import connect
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster
from flamepy.core import FlameService

class Echo(FlameService):
    def on_task_invoke(self, context):
        return context.input

with LocalCluster(executors=1, data=sys.argv[2]) as cluster:
    cluster.register_service("echo", Echo)
    with connect(context=cluster.context) as connection:
        with connection.create_session("echo") as session:
            print(session.invoke(b"x", timeout=30))
        connection.objects.put("a/b", b"x")
        with Reactor(connection=connection, plugins=()) as reactor:
            reactor.register(TaskInformer()).wait_synced(20)
    os.environ["FLAME_ENDPOINT"] = cluster.endpoint
    from flamepy.core import list_sessions
    print(len(list_sessions()))
    sys.argv = ["flamepy", "sessions", "--endpoint", cluster.endpoint]
    import runpy
    runpy.run_module("flamepy", run_name="__main__")
"""


@pytest.mark.parametrize("home", [None, "/dev/null", "/nonexistent"])
def test_a_process_without_home_user_or_working_folder_works(
    home: str | None, tmp_path: Path
) -> None:
    left_out = {"HOME", "USER", "LOGNAME"}
    environment = {name: text for name, text in os.environ.items() if name not in left_out}
    if home is not None:
        environment["HOME"] = home
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "gone"), str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b'x'\n1\n"), done.stdout


def clocks() -> list[str]:
    """Return how clocks are replaced: as libraries do it, and by those that are installed."""
    libraries = {"freezegun": ["freezegun"], "time_machine": ["frozen", "travelling"]}
    found = [name for name in libraries if importlib.util.find_spec(name) is not None]
    return ["replaced", *(kind for name in found for kind in libraries[name])]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("moment", ["before", "while"])
@pytest.mark.parametrize("kind", clocks())
def test_clocks_that_stand_or_jump_stop_no_call(kind: str, moment: str, loop: str) -> None:
    without = "import sys; sys.modules['uvloop'] = None; " if loop == "asyncio" else ""
    program = f"{without}import sys; from support.clock_process import main; main(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, kind, moment],
        env={**os.environ, "PYTHONPATH": TESTS},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[-1] == "done", done.stdout
    # A loop of the user's own may count by a clock that was stopped: then this is said at once.
    assert lines[0].isdecimal() or "this event loop's clock stands still" in lines[0], done.stdout
