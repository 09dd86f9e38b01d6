"""``flamepy run`` follows its file on SIGHUP: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
RUN = str(Path(sys.executable).parent / "flamepy")
MODULE = """
import os
from flamepy.core import TaskInformer
from flamepy.informers import Sink

class Lines(TaskInformer):
    def __init__(self, *, path, mark="", refuses=False):
        self.path, self.mark, self.refuses = path, mark, refuses
    def say(self, text):
        with open(self.path, "a") as file:
            print(self.mark + text, file=file)
    def attach(self, reactor):
        if self.refuses:
            raise ValueError("cannot attach with " + self.mark)
    def start(self):
        self.say("start")
    def reopen(self):
        self.say("reopen")
    def close(self):
        self.say("close")
    def on_terminal(self, event):
        self.say(event.task.id)

class Away(Sink):
    def send(self, batch):
        raise ConnectionError("nobody is there")
"""


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as made:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        made.register_application("recorded", spec)
        yield made


class Daemon:
    """A running ``flamepy run --config``, its file, and what its informers wrote."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self.file = folder / "my.yaml"
        self.log = folder / "log"
        self._connection = connection
        self._session = connection.create_session("recorded")
        self.process: subprocess.Popen[str] | None = None
        self._reloads = 0

    def write(self, *informers: str, rest: str = "") -> None:
        lines = "\n".join(f"      - {one}" for one in informers)
        self.file.write_text(
            f"current-context: a\ncontexts:\n  - name: a\n"
            f"    cluster: {{endpoint: '{self._connection.endpoint}'}}\n"
            f"    reactor: {{checkpoint: '${{STATE}}/state.db'}}\n{rest}"
            f"    informers:\n{lines}\n"
        )

    def entry(self, name: str, more: str = "", options: str = "") -> str:
        path = self.folder / name
        more = f", {more}" if more else ""
        return f"{{name: {name}, plugin: 'mine:Lines', options: {{path: '{path}'{options}}}{more}}}"

    @contextmanager
    def running(self) -> Iterator[None]:
        plain = {key: one for key, one in os.environ.items() if not key.startswith("FLAME_")}
        environ = {
            **plain,
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.folder),
            "STATE": str(self.folder),
            "WORD": "hunter2",
        }
        with (
            self.log.open("a") as errors,
            subprocess.Popen(
                [RUN, "run", "--config", str(self.file)],
                stdout=errors,
                stderr=errors,
                text=True,
                cwd=self.folder,
                env=environ,
            ) as self.process,
        ):
            try:
                self.until(lambda: "watching" in self.text.split("STARTED")[-1])
                yield
            finally:
                if self.process.poll() is None:
                    self.process.terminate()
                    self.process.wait(30)
        assert self.process.returncode == 0, self.text
        with self.log.open("a") as log:
            log.write("STARTED\n")

    @property
    def text(self) -> str:
        return self.log.read_text()

    def until(self, true: Callable[[], object]) -> None:
        try:
            eventually(true)
        except BaseException:
            print(self.text)
            raise

    def hang_up(self, said: str) -> None:
        """Send SIGHUP, and wait for what it logs of it."""
        assert self.process is not None
        before = self.text.count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: self.text.count("reloaded") > before)
        assert said in self.text, self.text

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def call(self) -> None:
        self._session.invoke(b"echo hi", timeout=30)


@pytest.fixture
def daemon(tmp_path: Path, connection: Connection) -> Daemon:
    (tmp_path / "mine.py").write_text(MODULE)
    return Daemon(tmp_path, connection)


def test_informers_come_change_and_go_and_lose_nothing(daemon: Daemon) -> None:
    daemon.write(daemon.entry("kept"), daemon.entry("gone"), daemon.entry("changed"))
    with daemon.running():
        daemon.call()
        for name in ("kept", "gone", "changed"):
            daemon.until(lambda name=name: daemon.lines(name) == ["start", "1"])
        changed = daemon.entry("changed", options=", mark: '${WORD}-'")
        daemon.write(daemon.entry("kept"), changed, daemon.entry("new", "replay: none"))
        daemon.hang_up("reloaded; added: new; changed: changed; removed: gone; unchanged: kept")
        daemon.call()
        daemon.until(lambda: daemon.lines("kept")[-1] == "2")
        assert "reopen" in daemon.lines("kept")
        daemon.until(lambda: daemon.lines("new")[-1] == "2")
        daemon.until(lambda: daemon.lines("changed")[-1] == "hunter2-2")
        assert daemon.lines("gone") == ["start", "1", "close"]
        assert "1" in daemon.lines("changed")
        assert "hunter2-1" not in daemon.lines("changed"), "the checkpoint knows of it"
        daemon.write(daemon.entry("kept"), changed, daemon.entry("gone"))
        daemon.hang_up("reloaded; added: gone; removed: new; unchanged: kept, changed")
        daemon.until(lambda: daemon.lines("gone") == ["start", "1", "close", "start", "2"])
        assert daemon.lines("kept").count("start") == 1
    with daemon.running():
        daemon.call()
        daemon.until(lambda: daemon.lines("gone")[-1] == "3")
    assert [one for one in daemon.lines("kept") if one.isdigit()] == ["1", "2", "3"]
    assert [one for one in daemon.lines("gone") if one.isdigit()] == ["1", "2", "3"]
    assert "hunter2" not in daemon.text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("[", "this is not YAML"),
        ("{name: x, evnts: [failed]}", "unknown key 'evnts'; did you mean 'events'"),
        ("{name: x, plugin: 'mine:Gone'}", "raised AttributeError"),
        ("{name: x, plugin: 'mine:Lines', options: {path: '${UNSET}'}}", "UNSET, which is not"),
        (
            "{name: x, plugin: 'mine:Lines', options: {path: y, mark: '${WORD}', refuses: true}}",
            "could not be registered: cannot attach with ***",
        ),
    ],
)
def test_a_broken_file_keeps_what_runs_and_says_why(daemon: Daemon, wanted: str, said: str) -> None:
    daemon.write(daemon.entry("one"), daemon.entry("two"))
    with daemon.running():
        daemon.call()
        daemon.until(lambda: daemon.lines("two") == ["start", "1"])
        daemon.write(daemon.entry("one"), wanted)
        daemon.hang_up("the configuration was not reloaded, and all runs as before: ")
        assert said in daemon.text
        daemon.call()
        for name in ("one", "two"):
            daemon.until(lambda name=name: "2" in daemon.lines(name))
            assert [one for one in daemon.lines(name) if one.isdigit()] == ["1", "2"]
        daemon.write(daemon.entry("one"), daemon.entry("two"))
        daemon.hang_up("unchanged: one, two")
    assert "hunter2" not in daemon.text


def test_files_are_reopened_and_what_needs_a_restart_is_said(daemon: Daemon) -> None:
    daemon.write(daemon.entry("one"))
    with daemon.running():
        daemon.write(daemon.entry("one"), rest="    retry: {attempts: 3}\n")
        text = daemon.file.read_text().replace("state.db", "other.db")
        more = ", token: '${WORD}', metadata: {x-team: '${WORD}'}}\n    reactor"
        daemon.file.write_text(text.replace("}\n    reactor", more))
        changed = "cluster.token, cluster.metadata, retry, reactor changed, which takes effect at"
        daemon.hang_up(f"{changed} a restart")
        assert "hunter2" not in daemon.text
        daemon.until(lambda: daemon.lines("one") == ["start", "reopen"])


def test_events_of_sinks_that_are_gone_are_told_at_a_reload_and_at_a_start(daemon: Daemon) -> None:
    told = "1 events wait in the outbox of 'away', which is not among the informers"
    away = "{name: away, plugin: 'mine:Away', events: [terminal]}"
    daemon.write(daemon.entry("one"), away)
    with daemon.running():
        daemon.call()
        daemon.until(lambda: "1 of 1 events could not be sent" in daemon.text)
        daemon.write(daemon.entry("one"))
        daemon.hang_up("removed: away")
        daemon.until(lambda: told in daemon.text)
    with daemon.running():
        daemon.until(lambda: told in daemon.text.split("STARTED")[-1])
    daemon.write(daemon.entry("one"), away)
    with daemon.running():
        daemon.until(lambda: "1 of 1 events could not be sent" in daemon.text.split("STARTED")[-1])
    assert told not in daemon.text.split("STARTED")[2]


def test_settings_of_the_reactor_that_exclude_each_other_are_status_2(daemon: Daemon) -> None:
    daemon.write(daemon.entry("one"))
    text = daemon.file.read_text().replace("state.db'", "state.db', poll_interval: [2, 1]")
    daemon.file.write_text(text)
    done = subprocess.run(
        [RUN, "run", "--config", str(daemon.file)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(daemon.folder), "STATE": str(daemon.folder)},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "poll_interval must be seconds above 0" in done.stderr
