"""``OutboxStats``: how an outbox is, for probes and for people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """The counters of one sink's outbox.

    Attributes:
        waiting: events that wait to be sent.
        bytes: their size.
        oldest_age: seconds since the oldest of them was stored, at the last look, which is a second
            ago at most while the sink works; 0 if none waits.
        sent: events that were sent, by this process.
        retries: attempts that failed and are made again, by this process.
        dead: events that were given up, by this process.
        dropped: events that were dropped unsent, because the outbox was full or they were too old;
            of earlier processes as well.
        failures: batches in a row that failed, of the destination with the most.
        disabled: why nothing is sent, by destination; "*" stands for every one.
    """

    waiting: int = 0
    bytes: int = 0
    oldest_age: float = 0.0
    sent: int = 0
    retries: int = 0
    dead: int = 0
    dropped: int = 0
    failures: int = 0
    disabled: dict[str, str] = field(default_factory=dict)
