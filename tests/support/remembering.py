"""A process whose informer notes each event in a file before its callback returns.

``python remembering.py ENDPOINT FILE NOTES [WORKERS [failing]]``: a line per event, on the disk
when it was noted. With several workers a callback takes some milliseconds, so that several are in
progress. With ``failing`` those that are ``doomed`` fail for good.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
import zlib

from flamepy.informers import PermanentError, Reactor, TaskEvent, TaskInformer


def doomed(key: str) -> bool:
    """Return whether the event with this key fails for good: one in five."""
    return zlib.crc32(key.encode()) % 5 == 0


class Noting(TaskInformer):
    def __init__(self, notes: str, workers: int, *, failing: bool) -> None:
        self.workers = workers
        self.failing = failing
        self.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_transition(self, event: TaskEvent) -> None:
        self.note(f"{event.key} {threading.current_thread().name}")
        if self.workers > 1:
            threading.Event().wait(random.uniform(0, 0.01))
        if self.failing and doomed(event.key):
            raise PermanentError("doomed")

    def on_synced(self) -> None:
        self.note("synced")

    def note(self, text: str) -> None:
        os.write(self.notes, f"{text}\n".encode())
        os.fsync(self.notes)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    endpoint, checkpoint, notes, *more = sys.argv[1:]
    workers = int(more[0]) if more else 1
    reactor = Reactor(endpoint=endpoint, checkpoint=checkpoint, poll_interval=0.05)
    informer = Noting(notes, workers, failing=more[1:] == ["failing"])
    reactor.register(informer, uid="noting", workers=workers)
    reactor.start()
    print("ready", flush=True)
    sys.stdin.read()
    reactor.stop()


if __name__ == "__main__":
    main()
