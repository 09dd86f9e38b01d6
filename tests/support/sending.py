"""A process whose sink sends each event to a file: the receiver, which notes ids.

``python sending.py ENDPOINT CHECKPOINT NOTES``: what the receiver takes is in the file, a
line for each key, before ``send`` answers. The receiver takes a few milliseconds, is down now and
then, and leaves one event in ten for later.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
from collections.abc import Sequence

from flamepy.informers import OutboxEntry, Outcome, Reactor, Sink


class Noting(Sink):
    def __init__(self, notes: str) -> None:
        super().__init__(
            outbox={"batch_size": 20, "backoff_first": 0.01, "backoff_max": 0.05, "senders": 2}
        )
        self.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        if random.random() < 0.1:
            raise OSError("the receiver is down")
        taken = [random.random() < 0.9 for _ in batch]
        lines = [one.key for one, took in zip(batch, taken, strict=True) if took]
        os.write(self.notes, "".join(f"{line}\n" for line in lines).encode())
        threading.Event().wait(random.uniform(0, 0.01))
        return [Outcome.sent() if took else Outcome.retry("busy") for took in taken]


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    endpoint, checkpoint, notes = sys.argv[1:]
    reactor = Reactor(endpoint=endpoint, checkpoint=checkpoint, poll_interval=0.05)
    reactor.register(Noting(notes), uid="noting")
    reactor.start()
    print("ready", flush=True)
    sys.stdin.read()
    reactor.stop(30)


if __name__ == "__main__":
    main()
