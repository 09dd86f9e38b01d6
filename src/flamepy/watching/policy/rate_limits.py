"""How fast the hub may call, and how long it waits for a poll: pace, token buckets, deadline. Pure.

A caller takes its amount from a bucket at once, even below zero, and learns how long to wait until
the bucket has recovered. So waiting is first come, first served, and no two callers can wait for
each other. ``reader`` does the waiting.
"""

from __future__ import annotations

LOAD = 50.0  # a poll takes at most 1/50 of the time
LONGEST_REST = 60.0
SHORTEST, LONGEST = 5.0, 30.0  # seconds that a poll waits for its answer
TIMEOUT_FACTOR = 20.0  # times the recent duration of polls
OUTLIER_FACTOR = 4.0  # times the last poll, and ...
OUTLIER_MARGIN = 0.005  # ... seconds more, are believed at once
LONGEST_DEBT = 60.0  # seconds; one huge list must not silence the hub for longer


class Bucket:
    """Tokens that come back at a rate.

    Args:
        rate: tokens per second.
        burst: seconds of the rate that may be used at once after a pause.
        debt: seconds of the rate that may be owed; more is forgiven.
    """

    def __init__(self, rate: float, *, burst: float, debt: float = float("inf")) -> None:
        self._rate = rate
        self._debt = debt
        self._burst = burst
        self._level = rate * burst
        self._at = float("-inf")

    def resize(self, rate: float) -> None:
        """Continue with another rate; debts remain."""
        self._rate = rate
        self._level = min(self._level, rate * self._burst)

    def take(self, amount: float, now: float) -> float:
        """Reserve ``amount``; return the seconds after which it may be used (0: at once)."""
        if now > self._at:
            if self._at != float("-inf"):
                gained = (now - self._at) * self._rate
                self._level = min(self._level + gained, self._rate * self._burst)
            self._at = now
        self._level = max(self._level - amount, -self._debt * self._rate)
        return max(0.0, -self._level / self._rate)


class Limits:
    """The limits of a hub: calls are counted before, bytes after the answer.

    Single tasks and lists have half of the bytes each, so that a huge list does not delay single
    tasks.
    """

    def __init__(self, calls_per_second: float, bytes_per_second: float) -> None:
        half = bytes_per_second / 2.0
        self._calls = Bucket(calls_per_second, burst=0.1)
        self._single = Bucket(half, burst=1.0, debt=LONGEST_DEBT)
        self._lists = Bucket(half, burst=1.0, debt=LONGEST_DEBT)

    def resize(self, calls_per_second: float, bytes_per_second: float) -> None:
        """Continue with other limits."""
        self._calls.resize(calls_per_second)
        self._single.resize(bytes_per_second / 2.0)
        self._lists.resize(bytes_per_second / 2.0)

    def call(self, now: float, *, lists: bool) -> float:
        """Count one call; return the seconds to wait before it may be sent."""
        owed = self._lists if lists else self._single
        return max(self._calls.take(1.0, now), owed.take(0.0, now))

    def received(self, size: float, now: float, *, lists: bool) -> None:
        """Count the bytes of an answer; the calls of its kind that come next wait for them."""
        (self._lists if lists else self._single).take(size, now)


class Pace:
    """How long to rest after a poll, so that a slow or huge engine is polled less.

    A poll that took much longer than the one before counts in full only if the next one takes as
    long: it may have waited for an engine that was away for a moment.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def rest(self, took: float) -> float:
        """Return the seconds to wait after a poll of that duration."""
        believed = min(took, self._last * OUTLIER_FACTOR + OUTLIER_MARGIN)
        self._last = took
        return min(believed * LOAD, LONGEST_REST)


class Deadline:
    """How long a poll waits for an answer before the engine counts as silent.

    Without a given number it is derived: well above the times of recent polls and the slow poll's
    interval, and longer after each silence, so that an engine that is merely slow is not away.
    """

    def __init__(self) -> None:
        self._given: float | None = None
        self._least = SHORTEST
        self._slowest = 0.0
        self._silences = 0

    def configure(self, given: float | None, interval: float) -> None:
        """Wait ``given`` seconds, or as long as fits to polls at this interval."""
        self._given = given
        self._least = max(SHORTEST, 5.0 * interval)

    @property
    def seconds(self) -> float:
        """How long the next call of a poll may take."""
        if self._given is not None:
            return self._given
        fitting = max(self._least, TIMEOUT_FACTOR * self._slowest) * 2.0**self._silences
        return min(fitting, LONGEST)

    def answered(self, took: float) -> None:
        """Record a poll that worked, and its seconds."""
        self._silences = 0
        self._slowest = max(took, 0.9 * self._slowest)

    def silent(self) -> None:
        """Record a poll that got no answer in time."""
        self._silences = min(self._silences + 1, 8)
