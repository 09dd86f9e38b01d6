"""Which call may be repeated after a failure, as data; tenacity repeats it.

A first form: what only reads, and what is the same when it happens twice, is repeated while the
engine cannot be reached, until the policy or the call's own time ends. Writes are not
(docs/protocol.md#errors).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from flamepy.errors import DeadlineExceededError, FlameError, TlsError, UnavailableError
from flamepy.types import RetryPolicy

T = TypeVar("T")

REPEATABLE = frozenset(
    {
        "GetApplication",
        "ListApplication",
        "ListExecutor",
        "ListNodes",
        "GetNode",
        "GetSession",
        "ListSession",
        "GetTask",
        "OpenSession",
        "CloseSession",
    }
)


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


def _ignore(details: RetryDetails) -> None:
    """Nobody asked."""


async def repeat(
    call: str,
    policy: RetryPolicy,
    time_limit: float,
    attempt: Callable[[float], Awaitable[T]],
    scheduled: Callable[[RetryDetails], None] = _ignore,
) -> T:
    """Await ``attempt(seconds left)``, again where the table and the policy allow it.

    Args:
        call: the RPC's name.
        policy: how often and how long.
        time_limit: seconds for everything together.
        attempt: makes one try within the seconds it is given.
        scheduled: told before each wait for another try.

    Raises:
        FlameError: of the last try, with ``attempts`` and ``elapsed``.
    """
    now = asyncio.get_running_loop().time
    start = now()
    tries = 0

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, FlameError)  # nothing else is repeated
        scheduled(RetryDetails(call, tries, state.upcoming_sleep, error))

    async def once() -> T:
        nonlocal tries
        tries += 1
        return await attempt(max(0.001, time_limit - (now() - start)))

    try:
        if call not in REPEATABLE:
            return await once()
        limit = min(time_limit, policy.timeout if policy.timeout is not None else time_limit)
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_repeat),
            stop=stop_after_attempt(policy.attempts) | stop_before_delay(limit),
            wait=wait_exponential(
                multiplier=policy.wait_initial,
                max=policy.wait_max,
                exp_base=policy.wait_exp_base,
            )
            + wait_random(0, policy.wait_jitter),
            before_sleep=tell,
            reraise=True,
        )
        return await retrying(once)
    except FlameError as error:
        error.attempts, error.elapsed = tries, now() - start
        raise


def _may_repeat(error: BaseException) -> bool:
    # A deadline is not repeated: the call's time is up.
    # What is wrong with TLS stays wrong.
    lasting = (DeadlineExceededError, TlsError)
    return isinstance(error, UnavailableError) and not isinstance(error, lasting)
