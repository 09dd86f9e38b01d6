"""``Retrier``: makes the calls of one link, again where ``classifier`` and a policy allow it.

A call that is answered at once costs no more than a look at a clock; tenacity takes over at the
first failure. Two kinds of time are kept apart (docs/retry.md#time): tries, which the policy
bounds, and waiting for an engine that cannot be reached, which the patience bounds. Every wait
ends at once when the link is closed, and waiting ends when any call is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from flamepy.errors import ConnectionClosedError, FlameError
from flamepy.rpc.retry.budget import CAPACITY, Budget
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.retry_loop import RetryLoop
from flamepy.rpc.retry.retry_state import Counters
from flamepy.runtime.surroundings import check_clock
from flamepy.types import RetryDetails, RetryPolicy

T = TypeVar("T")
UNTIL_FIRST = 10.0  # seconds of patience before the engine has answered at all
REST = (0.1, 0.4)  # seconds of a first and of any later wait for the engine to come back ...
LONG_OUTAGE = 60.0  # ... until it has been away for so long: then up to ...
LONG_REST = 30.0
CROWD = 8  # waiting calls that probe one by one; with more of them each rests longer

_disabled = 0


def is_disabled() -> bool:
    """Return True while calls fail with their first error."""
    return _disabled > 0


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Let each call of this process fail with its first error, as it comes; for tests."""
    global _disabled
    _disabled += 1
    try:
        yield
    finally:
        _disabled -= 1


class Retrier:
    """Makes the calls of one link and repeats them. Runs on the link's loop.

    Args:
        policy: of the connection; its budget's size, too.
        scheduled: called before each repeat that costs an attempt.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        way_out: str = "",
        scheduled: Callable[[RetryDetails], None] = lambda _: None,
    ) -> None:
        size = CAPACITY if isinstance(policy.budget, bool) else float(policy.budget)
        self.budget = Budget(size)
        self.counters = Counters()
        self.way_out = way_out
        self.scheduled = scheduled
        self.away_since: float | None = None
        self.back_at = float("-inf")
        self.ever = False  # whether the engine has answered
        self._waiters: dict[asyncio.Future[None], bool] = {}
        self._waiting = 0  # of them, for the engine
        self._closed: str | None = None

    async def run(
        self,
        call: str,
        terms: Terms,
        attempt: Callable[[float], Awaitable[T]],
        resolve: Callable[[FlameError, float], Awaitable[T | None]] | None = None,
    ) -> T:
        """Await ``attempt(seconds)``, again where table, policy, patience and budget allow it.

        Args:
            call: the RPC's name.
            terms: what bounds it.
            attempt: makes one try within the seconds it is given.
            resolve: for a write of unknown fate: gets the error and the seconds left, returns
                what the write made, or None if it did not happen.

        Raises:
            FlameError: of the last try, with ``attempts`` and ``elapsed``.
            AmbiguousResultError: it may have happened, and reading did not clear it up.
        """
        start = asyncio.get_running_loop().time()
        try:
            answer = await attempt(terms.one_try)
        except FlameError as error:
            if is_disabled():
                raise
            first = error
        else:
            self.done()
            return answer
        return await self.repeat(first, call, terms, attempt, resolve, start)

    async def repeat(
        self,
        first: FlameError,
        call: str,
        terms: Terms,
        attempt: Callable[[float], Awaitable[T]],
        resolve: Callable[[FlameError, float], Awaitable[T | None]] | None,
        start: float,
    ) -> T:
        """Continue after a first try that has failed; ``start`` is when the call began."""
        return await RetryLoop(self, call, terms, attempt, resolve, start).run(first)

    # ------------------------------------------------------------------ what attempts showed

    def done(self) -> None:
        """Record that a call has been made, at its first try."""
        self.counters.calls += 1
        if self.budget.left < self.budget.capacity:
            self.budget.answered()

    def now(self) -> float:
        """Return the loop's seconds."""
        return asyncio.get_running_loop().time()

    def answered(self) -> None:
        """Record that the engine answered a call, with a refusal perhaps."""
        if self.away_since is not None:
            self.away_since = None
            self.back_at = asyncio.get_running_loop().time()
            for waiter, for_engine in list(self._waiters.items()):
                if for_engine and not waiter.done():
                    waiter.set_result(None)
        self.ever = True

    def missed(self) -> None:
        """Record that the engine cannot be reached."""
        if self.away_since is None:
            self.away_since = asyncio.get_running_loop().time()

    def patience(self, terms: Terms) -> float:
        """Return the seconds that a call waits for the engine."""
        return terms.patience if self.ever else min(terms.patience, UNTIL_FIRST)

    # ------------------------------------------------------------------ waits

    def rest(self, waits: int) -> float:
        """Return how long a call rests that has found the engine away so often.

        All that wait together ask about as often as ``CROWD`` of them would.
        """
        now = asyncio.get_running_loop().time()
        away = now - self.away_since if self.away_since is not None else 0.0
        longest = min(max(REST[1], (away - LONG_OUTAGE) / 4), LONG_REST)
        rest = min(longest, REST[0] * 2.0 ** min(waits, 16)) * max(1.0, self._waiting / CROWD)
        return min(rest, LONG_REST) * random.uniform(0.75, 1.0)

    async def sleep(self, seconds: float, *, for_engine: bool = False) -> None:
        """Wait; with ``for_engine`` at most until the engine answers any call.

        Raises:
            ConnectionClosedError: the link was closed, before or meanwhile.
            InvalidStateError: the loop's clock stands still, so that the wait would never end.
        """
        if self._closed is not None:
            raise ConnectionClosedError(self._closed)
        loop = asyncio.get_running_loop()
        check_clock(loop)
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter)
        self._waiters[waiter] = for_engine
        self._waiting += for_engine
        try:
            await waiter
        finally:
            self._waiting -= for_engine
            del self._waiters[waiter]
            timer.cancel()

    def close(self, reason: str) -> None:
        """End all waits, and those to come, with ConnectionClosedError."""
        self._closed = reason
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionClosedError(reason))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
