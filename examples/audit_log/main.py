"""An audit log: who ended how, each once over restarts, in a file that shows if it was changed."""

import json
import tempfile
from pathlib import Path

from audit import AuditLog, verify

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


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
