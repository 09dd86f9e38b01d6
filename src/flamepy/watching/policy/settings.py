"""How often a hub asks, and how much: checked values that can be changed while it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """The settings of watching: intervals, time limits and bounds of what it may cost.

    Attributes:
        poll_interval: seconds between polls while changes come, and while nothing happens; one
            number means both.
        poll_timeout: seconds after which a poll without an answer counts as failed and the engine
            as away; None derives it from what polls take: 5 to 30.
        audit: seconds within which every session is listed once, whatever its counters say.
        watch_budget: watch streams open at most; they go to awaited tasks. Of an engine that
            pushes whole sessions, four times as many, one a session.
        calls_per_second: GetTask and ListTask calls of the hub at most, on average.
        bytes_per_second: bytes of their answers at most, on average.
        payloads: keep the tasks' inputs and outputs, and hand them on with every event.
        retain_terminal: the number of finished tasks kept; older ones leave the store and only
            how they ended is remembered, one byte a task.
        stall_after: seconds that a task stays pending, while later ones finish, before it is
            reported as stalled.

    Raises:
        InvalidArgumentError: a value is out of its range; the message names it.
    """

    poll_interval: float | tuple[float, float] = (0.1, 1.0)
    poll_timeout: float | None = None
    audit: float = 600.0
    watch_budget: int = 64
    calls_per_second: float = 3000.0
    bytes_per_second: float = 64.0 * MIB
    payloads: bool = False
    retain_terminal: int = 100_000
    stall_after: float = 60.0

    def __post_init__(self) -> None:
        fast, slow = self.poll_limits
        if not fast <= slow:
            raise InvalidArgumentError(
                "poll_interval must be seconds above 0, or a pair (fast, slow) of them with fast "
                f"<= slow, got {repr_of(self.poll_interval)}"
            )
        timeout = seconds_or_none("poll_timeout", self.poll_timeout, zero=False)
        object.__setattr__(self, "poll_timeout", timeout)
        for name in ("audit", "stall_after"):
            object.__setattr__(self, name, seconds(name, getattr(self, name), zero=False))
        for name in ("calls_per_second", "bytes_per_second"):
            _check_number(name, getattr(self, name), above=0.0)
        for name, least in (("watch_budget", 0), ("retain_terminal", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidArgumentError(
                    f"{name} must be a whole number >= 0, got {repr_of(value)}"
                )
        if not isinstance(self.payloads, bool):
            raise InvalidArgumentError(
                f"payloads must be True or False, got {repr_of(self.payloads)}"
            )

    @property
    def poll_limits(self) -> tuple[float, float]:
        """The shortest and the longest time between two polls."""
        value = self.poll_interval
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(pair) != 2:
            raise InvalidArgumentError(
                f"poll_interval must be one number or a pair (fast, slow), got {repr_of(value)}"
            )
        fast, slow = (seconds("poll_interval", one, zero=False) for one in pair)
        return fast, slow


def _check_number(name: str, value: object, *, above: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not above < value < float("inf"):  # type: ignore[operator]  # a number
        raise InvalidArgumentError(f"{name} must be a number above {above:g}, got {repr_of(value)}")
