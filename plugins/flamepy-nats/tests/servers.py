"""A real nats-server of the test's own."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.js import JetStreamContext

T = TypeVar("T")
PROGRAM = shutil.which("nats-server") or shutil.which(
    "nats-server", path="/usr/sbin:/usr/local/bin"
)
LIMIT = 20.0  # seconds


class Server:
    """A nats-server with JetStream that can be killed, and started again on its port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = -1  # any

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        assert PROGRAM is not None
        ports = self._folder / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.iterdir():
            old.unlink()
        where = ["-a", "127.0.0.1", "-p", str(self.port), "--ports_file_dir", str(ports)]
        store = ["-js", "-sd", str(self._folder / "store")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, *where, *store, *self._options, *options], stdout=log, stderr=log
            )
        found = eventually(lambda: next(iter(ports.glob("*.ports")), None), "its ports")
        written = eventually(lambda: found.read_text() or None, "its ports")
        (address,) = json.loads(written)["nats"]
        self.port = int(address.rpartition(":")[2])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Let it answer nothing until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, act: Callable[[JetStreamContext], Awaitable[T]], url: str | None = None) -> T:
        """Run a coroutine with a connection of the test's own."""

        async def run() -> T:
            client = await nats.connect(url or self.url)
            try:
                return await act(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def create(
        self, name: str = "FLAME", subjects: Sequence[str] = ("flame.>",), **more: Any
    ) -> None:
        self.ask(lambda stream: stream.add_stream(name=name, subjects=list(subjects), **more))

    def messages(self, name: str = "FLAME") -> list[tuple[str, str, dict[str, Any]]]:
        """Return subject, id and body of every message of a stream."""

        async def read(stream: JetStreamContext) -> list[tuple[str, str, dict[str, Any]]]:
            state = (await stream.stream_info(name)).state
            found = []
            for number in range(state.first_seq, state.last_seq + 1 if state.messages else 0):
                one = await stream.get_msg(name, number)
                headers = one.headers or {}
                found.append(
                    (one.subject or "", headers["Nats-Msg-Id"], json.loads(one.data or b""))
                )
            return found

        return self.ask(read)


def eventually(find: Callable[[], T | None], what: str) -> T:
    """Return what is found within a while."""
    limit, pause = time.monotonic() + LIMIT, threading.Event()
    while time.monotonic() < limit:
        found = find()
        if found:
            return found
        pause.wait(0.01)
    raise AssertionError(f"waited for {what}")
