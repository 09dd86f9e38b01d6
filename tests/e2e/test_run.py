"""``flamepy run``: what runs, how it ends, with which status, and what it tells by HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cluster_process import ClusterProcess
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
RUN = [str(Path(sys.executable).parent / "flamepy"), "run"]  # unlike -m it adds no folder
MODULE = """
import threading
from flamepy.core import TaskInformer

class Lines(TaskInformer):
    def on_terminal(self, event):
        print(event.task.id, event.task.state.name, flush=True)

class Slow(Lines):
    def on_terminal(self, event):
        threading.Event().wait(0.3)
        super().on_terminal(event)

class Options(TaskInformer):
    def __init__(self, path):
        pass

class Fatal(TaskInformer):
    def attach(self, reactor):
        self.fail = reactor._fail
    def on_synced(self):
        self.fail(RuntimeError("the loop is broken"))

class Misspelt(TaskInformer):
    def on_sucess(self, event):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the current folder of the programs: it has informers, and is nobody's package."""
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as made:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        made.register_application("recorded", spec)
        yield made


def environment(folder: Path, endpoint: str | None = None) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLAME_")}
    made = {**plain, "HOME": str(folder)}
    return made if endpoint is None else {**made, "FLAME_ENDPOINT": endpoint}


class Running:
    """A started program; what it logs goes to a file, so that no pipe fills."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def address(self) -> str:
        """Return where its health is served, once it says so."""

        def said() -> str:
            found = [line for line in self.log.splitlines() if "health at " in line]
            return found[0].split("health at ")[1].split("/healthz")[0] if found else ""

        return eventually(said, "the line that says where health is served")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and the standard output."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@contextmanager
def run(folder: Path, endpoint: str, *arguments: str) -> Iterator[Running]:
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*RUN, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env=environment(folder, endpoint),
        ) as process,
    ):
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()


def ask(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def status(url: str) -> int:
    return ask(url)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_informer_of_this_folder_is_told_until_a_signal(
    connection: Connection, folder: Path, number: int
) -> None:
    with run(folder, connection.endpoint, "--informer", "mine:Lines", "--http", ":0") as running:
        eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
        with connection.create_session("recorded") as session:
            session.invoke(b"echo hi", timeout=30)
        assert running.stop(number) == (0, "1 SUCCEED\n")
        assert "Traceback" not in running.log
        assert f"watching {connection.endpoint} with: mine:Lines" in running.log


def test_its_informers_are_paused_resumed_and_explained_by_commands(
    connection: Connection, folder: Path
) -> None:
    def command(*words: str) -> str:
        done = subprocess.run(
            [RUN[0], *words, "--http", running.address().removeprefix("http://")],
            env=environment(folder),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    with run(folder, connection.endpoint, "--informer", "mine:Lines", "--http", ":0") as running:
        eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
        (listed,) = json.loads(command("handlers", "list", "--json"))
        assert listed["state"] == "active"
        name = listed["name"]
        assert command("handlers", "pause", name, "--reason", "repair") == (
            f"{name}: paused: repair\n"
        )
        with connection.create_session("recorded") as session:
            session.invoke(b"echo hi", timeout=30)
            explained = ("explain", session.id, "1", "--json")
            eventually(lambda: json.loads(command(*explained))["handlers"][0]["waiting"])
            assert command("handlers", "resume", name) == f"{name}: active\n"
            eventually(lambda: "delivered" in command(*explained), "the delivery")
        assert running.stop() == (0, "1 SUCCEED\n")


def test_what_is_queued_is_delivered_before_it_ends(connection: Connection, folder: Path) -> None:
    with run(folder, connection.endpoint, "--informer", "mine:Slow", "--http", ":0") as running:
        eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
        with connection.create_session("recorded") as session:
            for future in [session.run(b"echo hi") for _ in range(5)]:
                future.result(timeout=30)
        code, out = running.stop()
        assert code == 0
        assert sorted(out.splitlines()) == [f"{number} SUCCEED" for number in range(1, 6)]


def test_a_checkpoint_goes_on_where_the_last_run_was(connection: Connection, folder: Path) -> None:
    """Killed or stopped: what was told is not told again, what happened meanwhile is."""
    command = ("--informer", "mine:Lines", "--http", ":0", "--checkpoint", "state/told.db")
    with connection.create_session("recorded") as session:
        session.invoke(b"echo hi", timeout=30)
        with run(folder, connection.endpoint, *command) as running:
            assert running.process.stdout is not None
            assert running.process.stdout.readline() == "1 SUCCEED\n"
            eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
            running.process.kill()
        session.invoke(b"echo hi", timeout=30)
        with run(folder, connection.endpoint, *command) as running:
            eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
            first = running.stop()
        session.invoke(b"echo hi", timeout=30)
        with run(folder, connection.endpoint, *command) as running:
            eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
            assert ask(f"{running.address()}/healthz")[1]["checkpoint"] is True
            second = running.stop()
    told = first[1].splitlines()
    assert first[0] == 0
    assert set(told) - {"1 SUCCEED"} == {"2 SUCCEED"}, "the event that was cut may come again"
    assert len(told) == len(set(told))
    assert second == (0, "3 SUCCEED\n")


def test_a_checkpoint_that_another_run_has_is_status_1(
    connection: Connection, folder: Path
) -> None:
    command = ("--informer", "mine:Lines", "--http", ":0", "--checkpoint", "told.db")
    with run(folder, connection.endpoint, *command) as running:
        running.address()
        eventually(lambda: "watching " in running.log, "the first to run")
        done = subprocess.run(
            [*RUN, *command],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=environment(folder, connection.endpoint),
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "told.db" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_health_follows_the_engine(folder: Path) -> None:
    cluster = ClusterProcess(folder)
    with (
        cluster,
        run(
            folder, cluster.endpoint, "--informer", "mine:Lines", "--http", "127.0.0.1:0"
        ) as running,
    ):
        where = running.address()
        eventually(lambda: status(f"{where}/readyz") == 200, "readiness")
        code, health = ask(f"{where}/healthz")
        assert (code, health["live"], health["connection"]) == (200, True, "connected")
        cluster.kill()
        eventually(lambda: status(f"{where}/readyz") == 503, "no readiness without an engine")
        assert status(f"{where}/healthz") == 200, "the process does its work: it waits"
        cluster.start()
        eventually(lambda: status(f"{where}/readyz") == 200, "readiness again")
        assert running.stop()[0] == 0


def test_an_engine_that_is_not_there_yet_is_waited_for(folder: Path) -> None:
    cluster = ClusterProcess(folder)
    with cluster:
        endpoint = cluster.endpoint
        cluster.kill()
        with run(folder, endpoint, "--informer", "mine:Lines", "--http", ":0") as running:
            where = running.address()
            code, health = ask(f"{where}/readyz")
            assert (code, health["ready"]) == (503, False)
            cluster.start()
            eventually(lambda: status(f"{where}/readyz") == 200, "readiness")
            assert running.stop()[0] == 0


def test_json_logs(connection: Connection, folder: Path) -> None:
    options = ("--informer", "mine:Lines", "--http", ":0", "--log-format", "json")
    with run(folder, connection.endpoint, *options) as running:
        eventually(lambda: status(f"{running.address()}/readyz") == 200, "readiness")
        assert running.stop()[0] == 0
        assert all(json.loads(line)["level"] == "INFO" for line in running.log.splitlines())


CONFIG = """
current-context: a
contexts:
  - {name: a, informers: [nothing]}
  - {name: b}
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "there is nothing to run"),
        (("--plugin", "nothing", "--strict"), "nothing installed has that name"),
        (("--plugin", "nothing"), "none of the plugins of --plugin could be made (nothing)"),
        (("--informer", "mine"), "informer 'mine': write module:Class"),
        (("--informer", "mine:Gone"), "raised AttributeError"),
        (("--informer", "mine:Options"), "the option 'path' is missing"),
        (("--informer", "mine:Misspelt"), "on_sucess"),
        (("--informer", "mine:Lines", "--http", "nowhere"), "write HOST:PORT"),
        (("--informer", "mine:Lines", "--context", "c"), "context <c> not found"),
        (("--informer", "mine:Lines", "--endpoint", "ftp://x"), "the scheme must be http or https"),
        (("--informer", "mine:Lines", "--checkpoint", "."), "is a directory"),
        (("--frob",), "No such option"),
    ],
)
def test_a_mistake_is_status_2_and_its_last_line_says_which(
    folder: Path, arguments: tuple[str, ...], says: str
) -> None:
    (folder / ".flame").mkdir()
    (folder / ".flame" / "flame.yaml").write_text(CONFIG)
    done = subprocess.run(
        [*RUN, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=environment(folder),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert not done.stdout
    assert "Traceback" not in done.stderr


def test_a_reactor_that_fails_is_status_1(connection: Connection, folder: Path) -> None:
    with run(folder, connection.endpoint, "--informer", "mine:Fatal", "--http", ":0") as running:
        assert running.process.wait(timeout=30) == 1
        assert running.log.splitlines()[-1].startswith("flamepy run: the reactor failed: ")
        assert "the loop is broken" in running.log.splitlines()[-1]


def test_a_taken_port_is_status_1(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*RUN, "--informer", "mine:Lines", "--http", address],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=environment(folder, "http://127.0.0.1:1"),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"flamepy run: cannot listen on {address}: ")
