"""``Terms``: what bounds one call, and the checks of what bounds are given. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy

DEFAULT_TIMEOUT = 30.0
VERIFY, RAISE, RETRY = "verify", "raise", "retry"  # what ``on_ambiguous`` may be


def check_policy(value: object) -> RetryPolicy:
    """Return the policy. Raises InvalidArgumentError."""
    if not isinstance(value, RetryPolicy):
        raise InvalidArgumentError(
            "retry must be a flamepy.types.RetryPolicy, such as RetryPolicy(attempts=3), "
            f"got {repr_of(value)}"
        )
    return value


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds one call.

    Attributes:
        policy: for its tries.
        patience: seconds for an engine that cannot be reached.
        timeout: seconds for everything; None: ``default`` for a try, beside the patience.
        default: see there.
    """

    policy: RetryPolicy
    patience: float
    timeout: float | None = None
    default: float = DEFAULT_TIMEOUT

    @property
    def limit(self) -> float:
        """Seconds after which the call is over whatever happens."""
        return self.default + self.patience if self.timeout is None else self.timeout

    @property
    def one_try(self) -> float:
        """Seconds of a single try."""
        return self.default if self.timeout is None else self.timeout


def check_mode(on_ambiguous: str) -> None:
    """Raise InvalidArgumentError unless it is one of the three."""
    if on_ambiguous not in (VERIFY, RAISE, RETRY):
        raise InvalidArgumentError(
            f"on_ambiguous must be 'verify', 'raise' or 'retry', got {repr_of(on_ambiguous)}"
        )


def check_options(policy: object, patience: object, on_ambiguous: str) -> None:
    """Check what a connection is made with.

    Raises:
        InvalidArgumentError: a value breaks its rule.
    """
    if policy is not None:
        check_policy(policy)
    seconds("patience", patience)
    check_mode(on_ambiguous)
