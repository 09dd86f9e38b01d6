"""``WorkQueue``: which key is due, and when one that failed is tried again. Pure.

It has each key once, however often it is added. Its owner serializes the calls and passes the time
in; ``runs`` is the owner. The model is the work queue of client-go, with one difference: a key that
waits after a failure is not run sooner because another event names it, so that a busy key that
fails cannot be tried in a tight loop.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of

K = TypeVar("K", bound=Hashable)

MAX_EXPONENT = 64  # of the factor: beyond it each wait is the longest one


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a key waits after it failed: longer after each failure in a row.

    Attributes:
        initial: seconds after the first failure.
        maximum: seconds at most.
        factor: each wait is the one before times this.
        jitter: a random share of up to this much of the wait is added, so that keys that failed
            together are not tried together.

    Raises:
        InvalidArgumentError: a value breaks its rule.
    """

    initial: float = 0.1
    maximum: float = 60.0
    factor: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        for name in ("initial", "maximum"):
            given = seconds(f"backoff: {name}", getattr(self, name), zero=False)
            object.__setattr__(self, name, given)
        if self.maximum < self.initial:
            raise InvalidArgumentError(
                f"backoff: maximum must be at least initial ({self.initial:g} s), "
                f"got {repr_of(self.maximum)}"
            )
        for name, least in (("factor", 1.0), ("jitter", 0.0)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not least <= value < float("inf"):
                raise InvalidArgumentError(
                    f"backoff: {name} must be a number, {least:g} or more, got {repr_of(value)}"
                )

    def wait(self, failures: int, random: float) -> float:
        """Return the seconds to wait after the n-th failure in a row; ``random`` is in [0, 1)."""
        grown = self.initial * self.factor ** min(failures - 1, MAX_EXPONENT)
        return min(self.maximum, grown) * (1.0 + self.jitter * random)


@dataclass(slots=True)
class _Key:
    """What the queue knows of one key; it is forgotten when nothing of this is left."""

    added_at: float | None = None  # waits to be run, since then
    due: float | None = None  # not before
    held: bool = False  # ``due`` follows a failure: an event does not bring it forward
    running: bool = False
    failures: int = 0  # in a row


class WorkQueue(Generic[K]):
    """Keys that are due, in order; each one once, none of them twice at the same time.

    Args:
        backoff: the waits after failures.
        interval: seconds between the starts of two runs at least; 0 for no limit.
        random: returns a number in [0, 1).
    """

    def __init__(
        self, backoff: Backoff, *, interval: float = 0.0, random: Callable[[], float]
    ) -> None:
        self._backoff = backoff
        self._interval = interval
        self._random = random
        self._keys: dict[K, _Key] = {}
        self._ready: dict[K, None] = {}  # in the order in which they became due
        self._later: list[tuple[float, int, K]] = []  # by time; an entry that was replaced stays
        self._entries = 0
        self._next_start = 0.0

    @property
    def depth(self) -> int:
        """The number of keys that wait: those that are due, and those that are due later."""
        return sum(one.added_at is not None for one in self._keys.values())

    @property
    def running(self) -> int:
        """The number of keys that were taken and are not finished."""
        return sum(one.running for one in self._keys.values())

    @property
    def failing(self) -> int:
        """The number of keys whose last run failed."""
        return sum(one.failures > 0 for one in self._keys.values())

    def failures(self, key: K) -> int:
        """Return how often in a row a key has failed."""
        known = self._keys.get(key)
        return 0 if known is None else known.failures

    def oldest(self, now: float) -> float:
        """Return for how many seconds a key has been due and not taken; 0 if no key is due."""
        since = [
            max(one.added_at, one.due or 0.0)
            for one in self._keys.values()
            if one.added_at is not None
        ]
        return max(0.0, now - min(since, default=now))

    def add(self, key: K, now: float) -> None:
        """Have a key run soon; while it runs: again after that run."""
        known = self._keys.setdefault(key, _Key())
        if known.added_at is None:
            known.added_at = now
        elif known.held or known.due is None:
            return
        known.due = None
        self._place(key, known)

    def add_at(self, key: K, due: float, now: float) -> None:
        """Have a key run at ``due``; one that is due sooner, or waits after a failure, stays so."""
        known = self._keys.setdefault(key, _Key())
        waits = known.added_at is not None
        if not waits or (not known.held and known.due is not None and due < known.due):
            self._delay(key, known, due, now, held=False)

    def _delay(self, key: K, known: _Key, due: float, now: float, *, held: bool) -> None:
        known.added_at, known.due, known.held = now, due, held
        self._place(key, known)

    def _place(self, key: K, known: _Key) -> None:
        """Put a key where ``take`` finds it in time; after its run if it runs."""
        if known.running or known.added_at is None:
            return
        if known.due is None:
            self._ready[key] = None
            return
        self._ready.pop(key, None)
        self._entries += 1
        heapq.heappush(self._later, (known.due, self._entries, key))

    def take(self, now: float) -> K | None:
        """Return a key to run now, which is running from then on; None if none is due."""
        self._promote(now)
        if not self._ready or now < self._next_start:
            return None
        key = next(iter(self._ready))
        del self._ready[key]
        known = self._keys[key]
        known.added_at, known.due, known.held, known.running = None, None, False, True
        self._next_start = now + self._interval
        return key

    def next_due(self, now: float) -> float | None:
        """Return when ``take`` will have a key; None while no key waits for a time.

        A key that was added while it runs waits for its run, not for a time.
        """
        self._promote(now)
        if self._ready:
            return max(now, self._next_start)
        return max(self._later[0][0], self._next_start) if self._later else None

    def _promote(self, now: float) -> None:
        while self._later and (self._later[0][0] <= now or not self._valid(self._later[0])):
            entry = heapq.heappop(self._later)
            if self._valid(entry):
                known = self._keys[entry[2]]
                known.added_at, known.due, known.held = entry[0], None, False
                self._ready[entry[2]] = None

    def _valid(self, entry: tuple[float, int, K]) -> bool:
        known = self._keys.get(entry[2])
        return known is not None and known.due == entry[0] and not known.running

    # ------------------------------------------------------------------ after a run

    def succeeded(self, key: K, now: float, *, again_at: float | None = None) -> None:
        """Record that a run ended well; ``again_at`` is when the key is run without an event."""
        known = self._keys[key]
        known.running, known.failures = False, 0
        if known.added_at is not None:  # it was added while it ran
            self._place(key, known)
        elif again_at is not None:
            self._delay(key, known, again_at, now, held=False)
        else:
            del self._keys[key]

    def failed(self, key: K, now: float, *, delay: float | None = None) -> float:
        """Record that a run failed; return the seconds until the key is run again.

        Args:
            key: which.
            now: seconds now.
            delay: seconds until then; None leaves it to the back-off.
        """
        known = self._keys[key]
        known.running = False
        known.failures += 1
        wait = self._backoff.wait(known.failures, self._random()) if delay is None else delay
        self._delay(key, known, now + wait, now, held=True)
        return wait

    def dropped(self, key: K, now: float) -> None:
        """Record that a run failed for good: the key waits for its next event."""
        self.succeeded(key, now)

    def clear(self) -> int:
        """Forget every key that waits; return how many."""
        count = self.depth
        self._ready.clear()
        self._later.clear()
        for key, known in list(self._keys.items()):
            known.added_at = known.due = None
            if not known.running:
                del self._keys[key]
        return count

    def drop_later(self, now: float) -> None:
        """Forget the keys that are due later, also by the rate, and keep the others: for a stop."""
        self._later.clear()
        held_up = self._ready if now < self._next_start else ()
        for key, known in list(self._keys.items()):
            if known.due is not None or key in held_up:
                known.added_at = known.due = None
                if not known.running:
                    del self._keys[key]
        if held_up:
            self._ready.clear()
