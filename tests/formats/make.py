"""Make the folder of a new format: ``python tests/formats/make.py tests/formats/v2``.

Run it before a change of a format lands, and commit the folder. It has a cluster's data folder and
a reactor's checkpoint, both cut by a kill in the middle of work, and the ends that were handled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from flamepy.core import ApplicationAttributes, Connection, connect

SERVICE = """from flamepy.core import FlameService, run
class S(FlameService):
    def on_task_invoke(self, c):
        if c.input == b"fail": raise ValueError("asked to fail")
        if c.input == b"wait":
            import time; time.sleep(6)
        return c.input
run(S())
"""
WATCHER = """
import sys, threading
from pathlib import Path
from flamepy.informers import Reactor, TaskInformer
folder, count = Path(sys.argv[1]), 0

class Informer(TaskInformer):
    def on_terminal(self, event):
        global count
        if count == 20:
            (folder / "held").touch()
            threading.Event().wait()
        count += 1
        with (folder / "handled.txt").open("a") as file:
            task = event.task
            file.write(f"{task.session_id} {task.id} {task.state.name.lower()}\\n")

with Reactor(checkpoint=folder / "checkpoint.db", endpoint=sys.argv[2]) as reactor:
    reactor.register(Informer(), application="fmt", uid="fmt")
    threading.Event().wait()
"""


def main() -> None:
    """Make the folder that the command line names."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--cache-port", "0", "-q"]
    command += ["--executors", "1", "--data", str(folder / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        endpoint = up.stdout.readline().split()[1]
        with connect(endpoint) as connection:
            work(connection, folder, endpoint)
            up.send_signal(signal.SIGKILL)
    (folder / "held").unlink()
    for left in ("checkpoint.db.lock", "checkpoint.db-shm", "data/lock", "data/flame.db-shm"):
        (folder / left).unlink(missing_ok=True)


def work(connection: Connection, folder: Path, endpoint: str) -> None:
    """Run tasks and watch them, until the watcher was killed."""
    spec = ApplicationAttributes(
        command="/usr/bin/env",
        arguments=["python3", "-c", SERVICE],
        description="of format 1",
        labels=["a"],
        environments={"K": "v"},
        delay_release=60,
    )
    connection.register_application("fmt", spec)
    session = connection.create_session("fmt", session_id="done")
    for future in [session.run(b"ok" if number % 5 else b"fail") for number in range(20)]:
        future.exception()
    session.close()
    with subprocess.Popen([sys.executable, "-c", WATCHER, str(folder), endpoint]) as watcher:
        handled = folder / "handled.txt"
        wait_for(lambda: handled.exists() and len(handled.read_text().splitlines()) == 20)
        session = connection.create_session("fmt", session_id="open", common_data=b"common")
        for future in [session.run(b"ok") for _ in range(10)]:
            future.result()
        for number in range(5):
            session.run(b"later" if number else b"wait")
        wait_for((folder / "held").exists)
        threading.Event().wait(3.0)  # what the watcher knows by then is written
        watcher.send_signal(signal.SIGKILL)


def wait_for(condition: object) -> None:
    """Wait until it is true."""
    assert callable(condition)
    while not condition():
        threading.Event().wait(0.1)


if __name__ == "__main__":
    main()
