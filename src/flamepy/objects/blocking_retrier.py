"""``BlockingRetrier``: makes calls that block, again where ``rpc.retry.retry_state`` says so.

What ``rpc.retry.retrier`` is for calls on an event loop: the same loop, table, policy, patience
and budget, for calls that run in the thread that makes them. ``RetryLoop`` is a coroutine; here all
that it awaits blocks, so it runs to its end without an event loop. Every wait ends at once when the
connection is closed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from flamepy.errors import ConnectionClosedError, FlameError
from flamepy.rpc.retry import retrier as retry
from flamepy.rpc.retry.budget import CAPACITY, Budget
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.retry_loop import RetryLoop
from flamepy.rpc.retry.retry_state import Counters
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.types import RetryDetails, RetryPolicy

T = TypeVar("T")
P = ParamSpec("P")
Attempt = Callable[[float], T]
Resolve = Callable[[FlameError, float], T | None]


class _LockedBudget(Budget):
    """A budget that several threads take from."""

    def __init__(self, capacity: float) -> None:
        super().__init__(capacity)
        self._lock = threading.RLock()

    def answered(self) -> None:
        if self.left < self.capacity:
            with self._lock:
                super().answered()

    def take(self, now: float, *, lost: bool) -> bool:
        with self._lock:
            return super().take(now, lost=lost)


class BlockingRetrier:
    """Makes blocking calls and repeats them. Safe from any thread.

    Args:
        policy: of the connection; its budget's size, too.
        way_out: what is said after the first failure to reach the cache.
    """

    def __init__(self, policy: RetryPolicy, *, way_out: str = "") -> None:
        self.way_out = way_out
        self.budget: Budget = _LockedBudget(
            CAPACITY if isinstance(policy.budget, bool) else float(policy.budget)
        )
        self.counters = Counters()
        self.back_at = float("-inf")
        self.scheduled: Callable[[RetryDetails], None] = lambda _: None
        self.ever = False  # whether a cache has answered
        self._closed = Flag()

    def run(
        self, call: str, terms: Terms, attempt: Attempt[T], resolve: Resolve[T] | None = None
    ) -> T:
        """Return ``attempt(seconds)``; arguments and errors as of ``rpc.retry.Retrier.run``."""
        start = self.now()
        self._check()
        try:
            answer = attempt(terms.one_try)
        except FlameError as error:
            if retry.is_disabled():
                raise
            first = error
        else:
            self.done()
            return answer
        again = _awaitable(attempt)
        look = None if resolve is None else _awaitable(resolve)
        return _finish(RetryLoop(self, call, terms, again, look, start).run(first))

    def done(self) -> None:
        """Record that a call has been made."""
        self.ever = True
        self.counters.calls += 1
        self.budget.answered()

    def now(self) -> float:
        """Return monotonic seconds."""
        return monotonic()

    def patience(self, terms: Terms) -> float:
        """Return the seconds that a call waits for a cache that cannot be reached."""
        return terms.patience if self.ever else min(terms.patience, retry.UNTIL_FIRST)

    def rest(self, waits: int) -> float:
        """Return how long a call rests that has found the cache away so often."""
        rest = min(retry.REST[1], retry.REST[0] * 2.0 ** min(waits, 16))
        return rest * random.uniform(0.75, 1.0)

    async def sleep(self, seconds: float, *, for_engine: bool = False) -> None:
        """Block. Raises ConnectionClosedError if the connection is closed, before or meanwhile."""
        self._closed.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._closed.is_set():
            raise ConnectionClosedError("the connection to the object cache is closed")

    def close(self) -> None:
        """End all waits."""
        self._closed.set()


def _awaitable(call: Callable[P, T]) -> Callable[P, Coroutine[None, None, T]]:
    """Return a call that blocks as one that can be awaited, which blocks as well."""

    async def awaited(*arguments: P.args, **options: P.kwargs) -> T:
        return call(*arguments, **options)

    return awaited


def _finish(coroutine: Coroutine[None, None, T]) -> T:
    """Run a coroutine that blocks instead of suspending, in this thread and without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise AssertionError("a blocking call suspended")
