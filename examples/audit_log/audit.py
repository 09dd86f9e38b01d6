"""The log itself: a line for each end, each with the hash of the one before it."""

import hashlib
import json
import os
from pathlib import Path

from flamepy.informers import TaskEvent, TaskInformer

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
