"""An audit log: who ended how, each once over restarts, in a file that shows if it was changed."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.local import LocalCluster

FIELDS = ("key", "endpoint", "application", "session", "task", "state", "error", "completion_time")
BEGIN = "0" * 64


class AuditLog(TaskInformer):
    """Appends a line for each end; a line has the hash of the one before it.

    With a checkpoint at most the last event comes again after a kill, and its key is that of the
    last line: so every end is in the file once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self) -> None:
        """Continue after the last whole line: a kill may have left half of one."""
        text = self.path.read_bytes() if self.path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        lines = whole.splitlines()
        self.last_key = json.loads(lines[-1])["key"] if lines else ""
        self.last_hash = digest(lines[-1]) if lines else BEGIN
        self.file = self.path.open("ab")
        self.file.truncate(len(whole))

    def on_terminal(self, event: TaskEvent) -> None:
        if event.key == self.last_key:
            return
        facts = event.to_dict()
        line = {name: facts[name] for name in FIELDS} | {"previous": self.last_hash}
        written = json.dumps(line).encode()
        self.file.write(written + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.last_key, self.last_hash = event.key, digest(written)

    def close(self) -> None:
        self.file.close()


def digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def verify(path: Path) -> str:
    """Return what is wrong with a log, or how many lines it has."""
    previous = BEGIN
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        if json.loads(line)["previous"] != previous:
            return f"line {number - 1} was changed, or one after it was removed"
        previous = digest(line)
    return f"{len(lines)} lines, unchanged"


class Payments(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"0":
            raise ValueError("nothing to pay")
        return b"paid"


def audit(connection: Connection, folder: Path) -> None:
    """Write what ended since the last time."""
    with Reactor(connection=connection, checkpoint=folder / "state.db") as reactor:
        informer = AuditLog(folder / "audit.jsonl")
        reactor.register(informer, uid="audit", application="payments").wait_synced(timeout=10)


def pay(session, *amounts: bytes) -> None:
    for amount in amounts:
        try:
            session.invoke(amount, timeout=30)
        except TaskFailedError as error:
            print("refused:", error)


def main(folder: Path) -> None:
    log = folder / "audit.jsonl"
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("payments", Payments)
        with connection.create_session("payments", session_id="may") as session:
            pay(session, b"10", b"0")
            audit(connection, folder)
            pay(session, b"20")  # while no audit runs
            audit(connection, folder)
    for line in map(json.loads, log.read_text().splitlines()):
        print(line["session"], line["task"], line["state"], line["error"] or "-")
    print(verify(log))
    log.write_bytes(log.read_bytes().replace(b"nothing to pay", b"nothing at all"))
    print(verify(log))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
