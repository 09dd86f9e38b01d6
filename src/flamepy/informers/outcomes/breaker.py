"""``Breaker``: when an informer that fails is left alone, and when it is tried again. Pure.

The model is a circuit breaker: closed, it counts failures in a row; open, nothing is handled until
``probe_delay`` is over; then one event is handled, and decides.
"""

from __future__ import annotations

from flamepy.enums import TextEnum


class BreakerState(TextEnum):
    """Whether events are handled."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """The breaker of one informer. Its owner passes the time in, in monotonic seconds.

    Args:
        max_failures: failures in a row that open it; None for a breaker that stays closed.
        probe_delay: seconds from an opening to the next probe.
    """

    def __init__(self, max_failures: int | None, probe_delay: float) -> None:
        self.counts = max_failures is not None
        self._max_failures = max_failures
        self._probe_delay = probe_delay
        self.state = BreakerState.CLOSED
        self.failures = 0  # in a row
        self.probe_at = 0.0

    def failed(self, now: float) -> bool:
        """Record an event whose handling failed for good; return whether that opened it."""
        self.failures += 1
        if self._max_failures is None or self.state is BreakerState.OPEN:
            return False
        if self.state is BreakerState.PROBING or self.failures >= self._max_failures:
            first = self.state is BreakerState.CLOSED
            self.state, self.probe_at = BreakerState.OPEN, now + self._probe_delay
            return first
        return False

    def succeeded(self) -> bool:
        """Record an event that was handled; return whether that closed it again."""
        self.failures = 0
        if self.state is BreakerState.PROBING:
            self.state = BreakerState.CLOSED
            return True
        return False

    def admits(self, now: float) -> bool:
        """Return whether the next event is handled now; an open one lets one through when due."""
        if self.state is BreakerState.OPEN and now >= self.probe_at:
            self.state = BreakerState.PROBING
            return True
        return self.state is BreakerState.CLOSED
