"""A command whose reader has gone, or that has no terminal at all: no traceback, no question."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, connect
from flamepy.errors import TaskFailedError

SERVICE = """
from flamepy.core import FlameService, run

class Shout(FlameService):
    def on_task_invoke(self, context):
        print("at work", flush=True)
        if not context.input:
            raise ValueError("nothing to shout")
        return context.input.upper()

run(Shout())
"""
FLAMEPY = [sys.executable, "-m", "flamepy"]
INFORMERS = """
from flamepy.core import TaskInformer

class Quiet(TaskInformer):
    pass

class Broken(TaskInformer):
    def on_failed(self, event):
        raise LookupError("no account")
"""
COMMANDS = [
    ("logs", "s"),
    ("replay", "day.flr", "--informer", "mine:Quiet"),
    ("report", "day.flr", "-o", "day.html"),
    ("cache", "list"),
    ("cache", "get", "{object}"),
    ("handlers", "list"),
    ("describe", "handler", "mine:Broken"),
    ("explain", "s", "1"),
    ("deadletters", "list"),
    ("deadletters", "show", "1"),
    ("outbox", "list"),
    ("plugins", "list"),
    ("plugins", "check"),
    ("sessions",),
    ("tasks", "s"),
    ("describe", "session", "s"),
    ("doctor",),
]


@dataclass
class Place:
    """Where the commands run, with what."""

    folder: Path
    environment: dict[str, str]
    object: str = ""

    def words(self, *words: str) -> list[str]:
        return [*FLAMEPY, *(one.format(object=self.object) for one in words)]

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command that goes on; whatever the block raises, it is gone after it."""
        with (self.folder / f"{words[0]}.log").open("w") as log:
            process = subprocess.Popen(
                self.words(*words),
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=30)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("readers")
    (folder / "mine.py").write_text(INFORMERS)
    (folder / "service.py").write_text(SERVICE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder),
        "PYTHONPATH": str(folder),
        "FLAME_CHECKPOINT": str(folder / "state.db"),
        "FLAME_HTTP": http,
    }
    made = Place(folder, environment)
    with made.running("up", "--port", "0", "--executors", "1") as up:
        assert up.stdout is not None
        _, endpoint, _, cache = up.stdout.readline().split()
        environment |= {"FLAME_ENDPOINT": endpoint, "FLAME_CACHE_ENDPOINT": cache}
        checkpoint = environment["FLAME_CHECKPOINT"]
        watching = ("--http", http, "--informer", "mine:Broken", "--checkpoint", checkpoint)
        with (
            connect(endpoint) as connection,
            made.running("run", *watching),
        ):
            spec = ApplicationAttributes(
                command=sys.executable, arguments=[str(folder / "service.py")]
            )
            connection.register_application("shout", spec)
            session = connection.create_session("shout", session_id="s")
            assert session.invoke(b"hi", timeout=30) == b"HI"
            with pytest.raises(TaskFailedError):
                session.invoke(b"", timeout=30)
            put = called(made, "cache", "put", "shout/s/one", "mine.py", "-o", "name")
            made.object = put.stdout.decode().strip()
            eventually(lambda: b"LookupError" in called(made, "deadletters", "list").stdout, "dead")
            assert called(made, "record", "day.flr", "--for", "1s").returncode == 0
            yield made


def called(place: Place, *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options of any kind
        place.words(*words),
        **{
            **{"cwd": place.folder, "env": place.environment, "stdin": subprocess.DEVNULL},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
            **options,
        },
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_ends_it_without_a_message(
    place: Place, words: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = called(place, *words, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode in (0, 1)
    for word in (b"Traceback", b"Broken pipe", b"BrokenPipe", b"Exception ignored"):
        assert word not in done.stderr, done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_it_works_without_a_terminal(place: Place, words: tuple[str, ...]) -> None:
    environment = {k: v for k, v in place.environment.items() if k not in ("TERM", "COLUMNS")}
    done = called(place, *words, env=environment, start_new_session=True)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
