"""What is chosen at a registration, and what is counted of it: data, checked when it is made.

``registration`` acts by it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.informers import arguments, predicates
from flamepy.informers.event_names import checked_events
from flamepy.informers.expect import Rule, checked
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy
from flamepy.watching.state.events import SessionEvent, TaskEvent

Where = Callable[[Any], object]  # Any: an event of a task, or of a session
Transform = Callable[[Any], "TaskEvent | SessionEvent | None"]
KeyFunction = Callable[[Any], Hashable]
TIMEOUT = 30.0
NO_LIMIT = "None reports no slow callback"

QUEUE_SIZE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How events reach one informer; the arguments of ``Reactor.register`` of the same names.

    Raises:
        InvalidArgumentError: names the value and the rule.
    """

    events: Sequence[str] | None = None
    where: Where | None = None
    transform: Transform | None = None
    name: str | None = None
    uid: str | None = None
    queue_size: int = QUEUE_SIZE
    retry: RetryPolicy | None = None
    timeout: float | None = TIMEOUT
    replay: str = "all"
    resume: bool | None = None
    batch_size: int = 100
    batch_delay: float = 1.0
    workers: int = 1
    key: str | KeyFunction | None = None
    on_stuck: str = "report"
    transitions: str = "observed"
    rules: Sequence[Rule] = ()
    max_failures: int | None = None
    probe_delay: float = 60.0

    def __post_init__(self) -> None:
        arguments.check_count("queue_size", self.queue_size)
        arguments.check_count("batch_size", self.batch_size)
        arguments.check_count("workers", self.workers)
        arguments.check_key(self.key)
        if self.max_failures is not None:
            arguments.check_count("max_failures", self.max_failures)
        object.__setattr__(
            self, "probe_delay", seconds("probe_delay", self.probe_delay, zero=False)
        )
        object.__setattr__(self, "rules", checked(self.rules))
        object.__setattr__(self, "events", checked_events(self.events))
        arguments.check_on_stuck(self.on_stuck, self.timeout)
        object.__setattr__(self, "batch_delay", seconds("batch_delay", self.batch_delay))
        limit = seconds_or_none("timeout", self.timeout, zero=False, hint=NO_LIMIT)
        object.__setattr__(self, "timeout", limit)
        arguments.check_retry(self.retry)
        arguments.check_replay("replay", self.replay)
        arguments.check_transitions(self.transitions)
        if self.resume not in (None, True, False):
            raise InvalidArgumentError(f"resume must be True or False, got {repr_of(self.resume)}")
        arguments.check_function("where", self.where)
        arguments.check_function("transform", self.transform)
        predicates.check_made(self.where)


@dataclass(frozen=True, slots=True)
class RegistrationStats:
    """Counters of one registration.

    Attributes:
        delivered: events that reached the callbacks.
        queued: events, and a few markers between them, that were accepted and have not been
            handled to their end: in the queue, taken from it, collected for a batch, in a callback
            or a pause before it is called again, and those that found no place in the queue and
            are read from the store later.
        oldest_age: seconds since the oldest of them was accepted; 0 if none waits.
        missed: ends in the informer's scope that could not be read before their session was gone
            (signal ``events_missed``); with a checkpoint those of earlier processes as well.
        coalesced: changes that were merged into later ones, or left out while the queue was full.
        failures: callbacks that failed for good.
        retries: callbacks called again after an error.
        dead: events that were stored as dead letters.
        slow: callbacks that ran longer than the ``timeout``.
        handler_seconds: seconds spent in callbacks.
        stuck: callbacks that have been running for longer than the ``timeout``, now.
        running_for: seconds for which the oldest running callback has been running, else None.
    """

    delivered: int
    queued: int
    coalesced: int
    failures: int
    retries: int = 0
    slow: int = 0
    handler_seconds: float = 0.0
    running_for: float | None = None
    oldest_age: float = 0.0
    missed: int = 0
    dead: int = 0
    stuck: int = 0
