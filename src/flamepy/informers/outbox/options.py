"""``OutboxOptions``: how a sink's events wait, and how they are sent again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of

DAY = 86_400.0  # seconds
KEYS = ("task", "session", "application", "none")
WHEN_FULL = ("wait", "drop_oldest")
MAX_EXPONENT = 64  # of the factor: beyond it each wait is the longest one
FACTOR = 2.0
JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """How a sink's events wait and are sent.

    Attributes:
        batch_size: entries that ``send`` gets at most.
        batch_delay: seconds that an entry waits at most for others to be sent with it.
        senders: threads that send, at most.
        key: events of one ``"task"``, ``"session"`` or ``"application"`` are sent in order, each
            after the one before it was sent or given up; ``"none"`` for no order.
        backoff_first: seconds before the second attempt; each later wait is twice as long ...
        backoff_max: ... and this many seconds at most.
        give_up_after: seconds since it was stored after which an entry that fails becomes a dead
            letter.
        max_entries: entries that wait at most.
        max_bytes: bytes of them at most.
        max_age: seconds after which an entry that was not sent is dropped; None for never.
        when_full: ``"wait"``: the informer's queue waits, and nothing is lost; ``"drop_oldest"``.
        payloads: store input and output of tasks, where the reactor reads them.
        flush_timeout: seconds in which a stop sends what waits.

    Raises:
        InvalidArgumentError: names the value and the rule.
    """

    batch_size: int = 100
    batch_delay: float = 0.0
    senders: int = 1
    key: str = "task"
    backoff_first: float = 1.0
    backoff_max: float = 3_600.0
    give_up_after: float = 3 * DAY
    max_entries: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    max_age: float | None = None
    when_full: str = "wait"
    payloads: bool = False
    flush_timeout: float = 5.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "senders", "max_entries", "max_bytes"):
            _check_count(name, getattr(self, name))
        for name in ("batch_delay", "give_up_after", "flush_timeout"):
            object.__setattr__(self, name, seconds(f"outbox: {name}", getattr(self, name)))
        for name in ("backoff_first", "backoff_max"):
            given = seconds(f"outbox: {name}", getattr(self, name), zero=False)
            object.__setattr__(self, name, given)
        limit = seconds_or_none("outbox: max_age", self.max_age, zero=False)
        object.__setattr__(self, "max_age", limit)
        _check_choice("key", self.key, KEYS)
        _check_choice("when_full", self.when_full, WHEN_FULL)
        if not isinstance(self.payloads, bool):
            raise InvalidArgumentError(
                f"outbox: payloads must be True or False, got {repr_of(self.payloads)}"
            )
        if self.backoff_max < self.backoff_first:
            raise InvalidArgumentError(
                f"outbox: backoff_max must be at least backoff_first ({self.backoff_first:g} s), "
                f"got {self.backoff_max:g}"
            )

    def wait(self, failures: int, random: float) -> float:
        """Return the seconds after the n-th failure in a row; ``random`` is in [0, 1)."""
        grown = self.backoff_first * FACTOR ** min(max(0, failures - 1), MAX_EXPONENT)
        return float(min(self.backoff_max, grown) * (1.0 - JITTER * random))

    @classmethod
    def of(cls, given: OutboxOptions | Mapping[str, object] | None) -> OutboxOptions:
        """Return options, made of a mapping of their names where it is one.

        Raises:
            InvalidArgumentError: an option is unknown, or its value breaks its rule.
        """
        if given is None:
            return cls()
        if isinstance(given, OutboxOptions):
            return given
        if not isinstance(given, Mapping):
            raise InvalidArgumentError(
                f"outbox must be OutboxOptions or a mapping of them, got {repr_of(given)}"
            )
        known = {one.name for one in fields(cls)}
        for name in given:
            if name not in known:
                raise InvalidArgumentError(
                    f"outbox has no option {repr_of(name)}; there are {', '.join(sorted(known))}"
                )
        return cls(**given)  # type: ignore[arg-type]  # __post_init__ checks the values


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgumentError(
            f"outbox: {name} must be a whole number, 1 or more, got {repr_of(value)}"
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidArgumentError(
            f"outbox: {name} must be one of {', '.join(choices)}, got {repr_of(value)}"
        )
