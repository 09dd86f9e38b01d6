"""What the handling of an informer's events reports, and to whom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from flamepy.informers.delivery.invocation import CallObservers, Failure
from flamepy.runtime.repeats import RepeatedLog
from flamepy.watching.state.missed import MissedEnds

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reporter:
    """What a dispatcher reports, on the informer's thread.

    Attributes:
        failed: a callback failed for good.
        dead: the same, once the handling of its event is recorded; stores it in the memory, if
            there is one, with that record.
        resolved: a dead letter was handled after all.
        synced: everything present at the registration was delivered.
        lagging: events wait for room in the queue, which is empty now.
        missed: ends that an earlier process saw cannot be delivered.
        quarantined: the informer failed so often in a row that it is left alone; gets the reason.
        recovered: it handles events again.
        log: writes what callbacks fail with; the reactor flushes it.
        observers: called with each call of a callback that has ended.
    """

    failed: Callable[[Failure], None]
    dead: Callable[[Failure], None]
    resolved: Callable[[int], None]
    synced: Callable[[], None]
    lagging: Callable[[], None]
    missed: Callable[[MissedEnds], None] = lambda _: None
    quarantined: Callable[[str], None] = lambda reason: None
    recovered: Callable[[], None] = lambda: None
    log: RepeatedLog = field(default_factory=lambda: RepeatedLog(logger))
    observers: CallObservers = field(default_factory=list)
