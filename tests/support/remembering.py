"""A process whose informer notes each event in a file before its callback returns.

``python remembering.py ENDPOINT FILE NOTES [WORKERS]``: a line per event, on the disk when it was
noted. With several workers a callback takes some milliseconds, so that several are in progress.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading

from flamepy.informers import Reactor, TaskEvent, TaskInformer


class Noting(TaskInformer):
    def __init__(self, notes: str, workers: int) -> None:
        self.workers = workers
        self.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_transition(self, event: TaskEvent) -> None:
        self.note(f"{event.key} {threading.current_thread().name}")
        if self.workers > 1:
            threading.Event().wait(random.uniform(0, 0.01))

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
    reactor.register(Noting(notes, workers), uid="noting", workers=workers)
    reactor.start()
    print("ready", flush=True)
    sys.stdin.read()
    reactor.stop()


if __name__ == "__main__":
    main()
