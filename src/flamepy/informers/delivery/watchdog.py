"""Reports callbacks that run longer than their registration's ``timeout``, once each.

A repeated report is logged once a minute at most; the counter and the signal have each of them.

It cannot end them - a thread cannot be ended - but it says where they are: the stack of the
thread, or of the coroutine. Ticks on the loop; ``reactor`` owns one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from flamepy.informers.delivery.invocation import RunningCall, log_fields
from flamepy.informers.options import Options
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.repeats import RepeatedLog

logger = logging.getLogger(__name__)

TICK = (0.02, 1.0)  # seconds between looks, at least and at most


class Watched(Protocol):
    """What calls callbacks: a registration, or a receiver of signals."""

    name: str
    options: Options

    @property
    def calls(self) -> list[RunningCall]:
        """The callbacks that run now."""

    def stack(self, call: RunningCall) -> str:
        """Return where one of them is now, as text."""

    def expire(self, call: RunningCall) -> None:
        """Count one that runs too long, and act on it."""


W = TypeVar("W", bound=Watched)


class Watchdog(Generic[W]):
    """Looks for callbacks that run too long, and reports each of them once.

    Args:
        registrations: returns those to look at.
        report: called with the registration, what runs, for how many seconds, and the stack.
        clock: monotonic seconds, as ``invocation`` notes them.
        beside: called at each look as well.
        log: writes the lines about slow callbacks; what it has counted is flushed here.
    """

    def __init__(
        self,
        registrations: Callable[[], Iterable[W]],
        report: Callable[[W, RunningCall, float, str], None],
        *,
        clock: Callable[[], float] = monotonic,
        beside: Callable[[], None] = lambda: None,
        log: RepeatedLog | None = None,
    ) -> None:
        self._registrations = registrations
        self._report = report
        self._clock = clock
        self._beside = beside
        self._log = log or RepeatedLog(logger)
        self._seen: dict[int, RunningCall] = {}  # by identity: those that were reported
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now and then, until ``stop``; again after a new registration. On the loop."""
        self.stop()
        limits = [one.options.timeout for one in self._registrations() if one.options.timeout]
        delay = max(TICK[0], min([TICK[1], *(limit / 4 for limit in limits)]))
        self._timer = asyncio.get_running_loop().call_later(delay, self.start)
        self.look()

    def stop(self) -> None:
        """Look no more. On the loop."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Report what runs too long and was not reported."""
        seen = {}
        for one in list(self._registrations()):
            limit = one.options.timeout
            for running in one.calls if limit is not None else ():
                age = self._clock() - running.since
                if limit is None or age <= limit:
                    continue
                seen[id(running)] = running
                if id(running) not in self._seen:
                    self._report_slow(one, running, age)
                    one.expire(running)
        self._seen = seen
        self._beside()
        self._log.flush()

    def _report_slow(self, one: W, running: RunningCall, age: float) -> None:
        stack = one.stack(running)
        self._log.log(
            logging.WARNING,
            ("slow", one.name, running.callback),
            "%s.%s; its stack:\n%s",
            *(one.name, running.text(running.since + age), stack),
            extra=log_fields(one.name, running.item),
        )
        self._report(one, running, age, stack)
