"""A process whose informer notes each event in a file before its callback returns.

``python remembering.py ENDPOINT FILE NOTES``: a line per event, on the disk when it was noted.
"""

from __future__ import annotations

import logging
import os
import sys

from flamepy.informers import Reactor, TaskEvent, TaskInformer


class Noting(TaskInformer):
    def __init__(self, notes: str) -> None:
        self.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_transition(self, event: TaskEvent) -> None:
        self.note(event.key)

    def on_synced(self) -> None:
        self.note("synced")

    def note(self, text: str) -> None:
        os.write(self.notes, f"{text}\n".encode())
        os.fsync(self.notes)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    endpoint, checkpoint, notes = sys.argv[1:]
    reactor = Reactor(endpoint=endpoint, checkpoint=checkpoint, poll_interval=0.05)
    reactor.register(Noting(notes), uid="noting")
    reactor.start()
    print("ready", flush=True)
    sys.stdin.read()
    reactor.stop()


if __name__ == "__main__":
    main()
