"""How long a callback that raised waits before it is called again with the same event. Pure."""

from __future__ import annotations

from collections.abc import Callable

from flamepy.informers.informer import PermanentError, TemporaryError
from flamepy.types import RetryPolicy

_FOR_EVER = RetryPolicy(timeout=None)  # of a TemporaryError where no policy was given


def may_repeat(policy: RetryPolicy | None, error: BaseException) -> bool:
    """Return whether an error of a callback is one after which it is called again at all."""
    kind = type(error)  # isinstance asks a __class__, which a user's exception may define
    if issubclass(kind, PermanentError) or not issubclass(kind, Exception):
        return False
    return issubclass(kind, TemporaryError) or policy is not None


def wait_before_retry(
    policy: RetryPolicy | None,
    error: BaseException,
    *,
    attempts: int,
    elapsed: float,
    jitter: Callable[[], float],
) -> float | None:
    """Return the seconds until the next attempt; None for no further attempt.

    Args:
        policy: of the registration.
        error: what the last attempt raised.
        attempts: how many there were.
        elapsed: seconds since the first one failed.
        jitter: returns a number from 0 to 1.
    """
    if not may_repeat(policy, error):
        return None
    policy = policy or _FOR_EVER
    wait = min(policy.wait_max, _growing(policy, attempts)) + jitter() * policy.wait_jitter
    if issubclass(type(error), TemporaryError):
        asked: float | None = getattr(error, "delay", None)
        wait = wait if asked is None else asked
    if attempts >= policy.attempts:
        return None
    if policy.timeout is not None and elapsed + wait >= policy.timeout:
        return None
    return wait


def _growing(policy: RetryPolicy, attempts: int) -> float:
    try:
        return policy.wait_initial * float(policy.wait_exp_base) ** (attempts - 1)
    except OverflowError:
        return policy.wait_max
