"""How many messages may leave in which time. Pure."""

from __future__ import annotations

import re

from flamepy.errors import InvalidArgumentError

_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}  # seconds
_FORM = re.compile(r"^\s*(\d+)\s*/\s*(second|minute|hour|day)\s*$")


class RateLimit:
    """A token bucket: some messages at once, and one more after each share of the period.

    Args:
        text: ``"20/hour"``; also ``/second``, ``/minute`` and ``/day``.

    Raises:
        InvalidArgumentError: it has another form.
    """

    def __init__(self, text: str) -> None:
        found = _FORM.match(text)
        if found is None or int(found[1]) < 1:
            raise InvalidArgumentError(
                f"rate_limit {text!r} must be a number of messages and a period, as in '20/hour'; "
                f"periods are {', '.join(_PERIODS)}; null for no limit"
            )
        self.text = text.strip()
        self._size = float(found[1])
        self._rate = self._size / _PERIODS[found[2]]
        self._tokens = self._size
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Return the seconds until a message may leave at a wall-clock time; 0.0 if it may now."""
        self._refill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def take(self, now: float) -> None:
        """Count a message that leaves."""
        self._refill(now)
        self._tokens -= 1.0

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._tokens = min(self._size, self._tokens + passed * self._rate)
        self._at = now

    def dump(self) -> list[float]:
        """Return the state as JSON takes it."""
        return [self._tokens, self._at or 0.0]

    def load(self, state: object) -> None:
        """Continue from ``dump``; a state that is not one is ignored."""
        if isinstance(state, list) and len(state) == 2:
            tokens, at = state
            if isinstance(tokens, (int, float)) and isinstance(at, (int, float)):
                self._tokens, self._at = min(self._size, float(tokens)), float(at) or None
