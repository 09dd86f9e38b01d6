"""How a connection stands, what it counts, how its calls are repeated; ``types`` has them, too."""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.enums import TextEnum
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of


class ConnectionState(TextEnum):
    """How a connection stands with its engine, as the last attempts showed it."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    DISCONNECTED = "disconnected"


class Dialect(TextEnum):
    """What an engine speaks, as its answers show it (docs/protocol.md#dialects)."""

    UNKNOWN = "unknown"
    OLD = "0.6"
    NEXT = "next"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a call that may be repeated is repeated; docs/retry.md says which calls those are.

    Waiting for an engine that cannot be reached is not in here: it costs no attempt, and a
    connection's ``patience`` bounds it.

    Attributes:
        attempts: how often the call is tried at most, the first try included.
        timeout: seconds for all attempts together; None leaves it to the call's own timeout.
        wait_initial, wait_max: seconds of the first wait, and the limit of any wait.
        wait_jitter: each wait gets a random extra of up to this number of seconds.
        wait_exp_base: each wait is the one before times this factor.
        budget: True counts repeats against the connection's budget, False does not; a number,
            in the policy of a connection, is the budget's size (10 by default).
    """

    attempts: int = 6
    timeout: float | None = 20.0
    wait_initial: float = 0.1
    wait_max: float = 5.0
    wait_jitter: float = 0.1
    wait_exp_base: float = 2.0
    budget: bool | float = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: one breaks its rule.
        """
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise _bad("attempts", "a whole number, 1 or more", self.attempts)
        if self.attempts < 1:
            raise _bad("attempts", "a whole number, 1 or more", self.attempts)
        timeout = seconds_or_none("retry: timeout", self.timeout, zero=False)
        object.__setattr__(self, "timeout", timeout)
        for name in ("wait_initial", "wait_max", "wait_jitter"):
            object.__setattr__(self, name, seconds(f"retry: {name}", getattr(self, name)))
        if not _at_least(self.wait_exp_base, 1.0):
            raise _bad("wait_exp_base", "a number, 1 or more", self.wait_exp_base)
        if not isinstance(self.budget, bool) and not _at_least(self.budget, 0.0):
            raise _bad("budget", "true, false, or a number of tokens", self.budget)


def _at_least(value: object, least: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return least <= value < float("inf")


def _bad(name: str, rule: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"retry: {name} must be {rule}, got {repr_of(value)}")


@dataclass(frozen=True, slots=True)
class RetryDetails:
    """A call that failed and will be made again.

    Attributes:
        call: the RPC's name.
        attempt: how often it has been made.
        delay: seconds until it is made again.
        error: why it failed.
    """

    call: str
    attempt: int
    delay: float
    error: FlameError


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """What a connection has counted since it was made.

    Attributes:
        state: what the last attempts showed.
        calls: calls that were answered with what was asked for.
        failures: attempts that failed, refusals not counted.
        retries: repeats that cost an attempt.
        waits: tries that only found the engine still unreachable.
        refused_retries: repeats that the budget did not allow.
        adopted: writes of unknown fate that had happened.
        sent_again: writes of unknown fate that had not.
        outages: how often the engine was lost.
        budget: what is left of the budget.
        dialect: what the engine speaks, ``unknown`` until it has answered a list of sessions,
            tasks, applications or executors since it was last lost.
    """

    state: ConnectionState
    calls: int = 0
    failures: int = 0
    retries: int = 0
    waits: int = 0
    refused_retries: int = 0
    adopted: int = 0
    sent_again: int = 0
    outages: int = 0
    budget: float = 0.0
    dialect: Dialect = Dialect.UNKNOWN
