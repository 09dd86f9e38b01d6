"""Each command that a page shows is run, beside a cluster that has what the pages assume.

The tutorials are followed by ``test_tutorials``. Here every line of every other page is run in
order, with the addresses and folders of ``Scene`` in the place of the page's. It has to end with
status 0, or to run until Ctrl-C where ``RUNS_ON`` says so; where a page shows output, it has to be
that. ``NOT_RUN`` has what cannot be run here, each with the reason.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually
from support.walking import blocks, pattern

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.errors import AlreadyExistsError, SessionNotFoundError
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.dead_letters.letter import letters_of
from flamepy.informers.outbox import table
from flamepy.informers.outbox.entry import OutboxRow
from flamepy.runtime.clocks import wall
from flamepy.types import SessionState, Task, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "tutorial" not in page.parts and any(kind == "console" for kind, _, _ in blocks(page))
]
LIMIT = 60  # seconds for a command

pytestmark = pytest.mark.timeout(300)

# By the beginning of the command: why it is not run here.
NOT_RUN = {
    "pip install": "needs an index of packages; scripts/install_dist.py and test_installing do it",
    "python3 -m venv": "test_installing makes environments",
    ". venv/bin/activate": "the same",
    "make ": "takes minutes; CI runs these targets",
    "GRPC_EXPERIMENTS=": "a program of the reader's",
    "flamepy top": "needs a terminal; test_top has one",
    "flamepy run --plugin prometheus": "needs prometheus-client; test_plugins installs it",
    "flamepy run --config examples/alerts": "needs flamepy-notify; test_plugins runs the recipe",
    "flamepy up --host 0.0.0.0 --tls-cert": "needs certificates; test_tls_cluster makes them",
    "flamepy doctor --endpoint https:": "needs an engine with TLS; test_tls_cluster has one",
}

# By the beginning of the command: what it prints once it does its work. Then it gets a Ctrl-C.
RUNS_ON = {
    "flamepy up": r"ready: http",
    "flamepy run": r"watching http",
    "flamepy dashboard": r"dashboard of http\S+: http",
    "flamepy sessions --watch": r"byte-service",
    "flamepy watch --summary": r"succeed",
    "flamepy watch": r"byte-service",
    "flamepy record": r"watching http",
    "flamepy logs byte-service-a1b2c3 --follow": r"raised",
}

BYTES = ROOT / "examples" / "byte_service" / "service.py"
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
READY = re.compile(r"ready: (\S+) cache: (\S+)")
HEALTH = re.compile(r"health at http://(\S+)/healthz")
MANIFEST = """
metadata:
  name: byte-service
spec:
  command: {python}
  arguments: [{service}]
"""
CONFIGURATION = """
current-context: production
contexts:
  - name: production
    cluster: {{endpoint: "{endpoint}"}}
    informers:
      - alerts
"""
PLUGINS = """
[flamepy.informers]
alerts = alerts:Alerts
slow = alerts:Alerts
jsonlog = flamepy_jsonlog:JsonLog
"""
SESSION = "byte-service-a1b2c3"
INFORMERS = """
from flamepy.core import TaskInformer

class Alerts(TaskInformer):
    def on_failed(self, event):
        print(event.task.id, flush=True)

class Billing(TaskInformer):
    def on_terminal(self, event):
        print(event.task.id, flush=True)
"""


@dataclass
class Scene:
    """What the pages assume: a cluster with a service and a session, informers, files of a state.

    Attributes:
        folder: the current folder of the commands.
        environment: of the commands.
        connection: to the cluster.
        names: what stands here for the names of the pages.
        done: the commands that have been run.
    """

    folder: Path
    environment: dict[str, str]
    connection: Connection
    names: dict[str, str]
    done: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Make sure of the application, of an open session with a failed task, and of a state."""
        write_state(self.folder / "state.db")
        spec = ApplicationAttributes(command=sys.executable, arguments=[str(BYTES)])
        with suppress(AlreadyExistsError):
            self.connection.register_application("byte-service", spec)
        with suppress(SessionNotFoundError):
            if self.connection.get_session(SESSION).state == SessionState.OPEN:
                return
            self.connection.delete_session(SESSION)
        session = self.connection.create_session("byte-service", session_id=SESSION)
        done = [session.run(b"hello") for _ in range(17)]
        failed = session.run(b"")
        assert all(one.result(LIMIT) == b"HELLO" for one in done)
        assert failed.exception(LIMIT) is not None

    def command(self, line: str, expected: list[str]) -> None:
        """Run one command of a page."""
        for name, here in self.names.items():
            line = line.replace(name, here)
        if line.startswith(("flamepy apps register", "flamepy apps unregister")):
            self.connection.close_session(SESSION)  # an engine refuses both while one is open
        sign = next((one for begin, one in RUNS_ON.items() if line.startswith(begin)), None)
        if sign is None:
            done = self._start(line, subprocess.PIPE)
            output, _ = done.communicate(timeout=LIMIT)
            assert done.returncode == 0, f"$ {line}\n{output}"
            if expected:
                shown = output if output.endswith("\n") else f"{output}\n"
                assert pattern(expected).fullmatch(shown), f"$ {line}\n{output}"
        else:
            self._until_interrupted(line, sign)

    def _start(self, line: str, output: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", line if line.startswith("eval") else f"exec {line}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )

    def _until_interrupted(self, line: str, sign: str) -> None:
        if line.startswith(("flamepy up", "flamepy dashboard")):
            line = f"{re.sub('--port [0-9]+', '', line)} --port 0"
        log = self.folder / "output.txt"
        with log.open("w") as file:
            process = self._start(line, file)

        def shown() -> bool:
            assert process.poll() is None, f"$ {line}\n{log.read_text()}"
            if line.startswith("flamepy watch"):
                self.connection.get_session(SESSION).run(b"").exception(LIMIT)
            return re.search(sign, log.read_text()) is not None

        try:
            eventually(shown, f"$ {line}: {sign}", limit=LIMIT)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT)
        # 130 where the output, and not the end, is the purpose: the usual status of a Ctrl-C.
        assert process.returncode in (0, 130), f"$ {line}\n{log.read_text()}"


def write_state(path: Path) -> None:
    """Write a reactor's file with four dead letters and seventeen events that wait."""
    for old in path.parent.glob("state.db*"):
        old.unlink()
    store = CheckpointStore(path)
    store.open()
    now = wall()
    for number in range(1, 5):
        task = Task(str(number), SESSION, TaskState.SUCCEED, MOMENT, payloads_loaded=False)
        event = TaskEvent(kind=EventKind.ADDED, task=task, application="byte-service")
        error = ValueError("no such customer")
        store.put_dead(
            letters_of(event, error, informer="bills", callback="on_terminal", attempts=1, now=now)
        )
    rows = [OutboxRow("to", None, f"{SESSION}/{n}", '{"type": "task"}', now) for n in range(17)]
    store.transact(lambda database: table.put(database, "alerts", rows))
    store.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "alerts.py").write_text(INFORMERS)
    (folder / "billing.py").write_text(INFORMERS)
    (folder / "input.bin").write_bytes(b"hello")
    manifest = MANIFEST.format(python=sys.executable, service=BYTES)
    (folder / "byte-service.yaml").write_text(manifest)
    service = folder / "my-service"
    service.write_text(f"#!/bin/sh\nexec {sys.executable} {BYTES}\n")
    service.chmod(0o755)
    information = folder / "pages-1.0.dist-info"  # as if the plugins of the pages were installed
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: pages\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(PLUGINS)
    paths = [str(folder), str(ROOT / "plugins" / "flamepy-jsonlog" / "src")]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLAME_")},
        **{
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(paths),
            "XDG_RUNTIME_DIR": str(folder),
        },
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{"PYTHONUNBUFFERED": "1"},
    }
    with running(["flamepy", "up", "--port", "0"], folder, environment, READY) as ready:
        environment |= {"FLAME_ENDPOINT": ready[1], "FLAME_CACHE_ENDPOINT": ready[2]}
        (folder / "flame.yaml").write_text(CONFIGURATION.format(endpoint=ready[1]))
        environment["FLAME_CONFIG"] = str(folder / "flame.yaml")
        words = ["flamepy", "run", "--plugin", "alerts", "--informer", "billing:Billing"]
        with (
            running([*words, "--http", "127.0.0.1:0"], folder, environment, HEALTH) as health,
            connect(ready[1]) as connection,
        ):
            names = {
                "flamepy run --http 127.0.0.1:8081": "flamepy run --http 127.0.0.1:0",
                "flame.yaml --http 127.0.0.1:8081": "flame.yaml --http 127.0.0.1:0",
                "127.0.0.1:8081": health[1],
                "http://flame.example.org:8080": ready[1],
                "/etc/flame/flame.yaml": "flame.yaml",
                "/var/lib/flame-informers/": "",
                "/opt/byte-service/service": "./my-service",
                "my-machine": connection.list_nodes()[0].name,
            }
            yield Scene(folder, environment, connection, names)


@contextmanager
def running(
    words: list[str], folder: Path, environment: dict[str, str], sign: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """Run a program until the end of the block; give what it printed at its start."""
    log = folder / f"{words[1]}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )

    def started() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return sign.search(log.read_text())

    try:
        yield eventually(started, log.name, limit=LIMIT)
    finally:
        process.terminate()
        process.wait(LIMIT)


def lines_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a block, and the lines that it shows of its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        yield command, expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work_as_written(page: Path, scene: Scene) -> None:
    for kind, _, text in blocks(page):
        wanted = [one for one in lines_of(text) if not one[0].startswith(tuple(NOT_RUN))]
        if kind != "console" or all(one in scene.done for one in map(str, wanted)):
            continue  # most pages ask the same things
        scene.prepare()
        for command, expected in wanted:
            scene.command(command, expected)
        scene.done.update(map(str, wanted))


def test_each_reason_not_to_run_a_command_is_needed() -> None:
    texts = [text for page in PAGES for kind, _, text in blocks(page) if kind == "console"]
    commands = [command for text in texts for command, _ in lines_of(text)]
    for begin in (*NOT_RUN, *RUNS_ON):
        assert any(one.startswith(begin) for one in commands), begin
    run = [one for one in commands if not one.startswith(tuple(NOT_RUN))]
    assert len(run) > 0.75 * len(commands) > 80


def test_other_output_and_another_status_are_found(scene: Scene) -> None:
    scene.command("flamepy explain-error SessionBusyError", ["FL311 ...", "..."])
    with pytest.raises(AssertionError, match="FL311"):
        scene.command("flamepy explain-error SessionBusyError", ["FL310 ...", "..."])
    with pytest.raises(AssertionError, match="no session"):
        scene.command("flamepy sessions delete nothing", [])
