"""``BlockingRetrier``: makes calls that block, again where ``rpc.retry.retry_state`` says so.

What ``rpc.retry`` is for calls on an event loop: the same table, policy, patience and budget, for
calls that run in the thread that makes them. Every wait ends at once when the connection is closed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tenacity import Retrying, retry_if_exception

from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    UnavailableError,
)
from flamepy.rpc.retry import retrier as retry
from flamepy.rpc.retry.budget import CAPACITY, Budget
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.retry_state import Counters, RetryState
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.types import RetryDetails, RetryPolicy

T = TypeVar("T")
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
        start = monotonic()
        self._check()
        try:
            answer = attempt(terms.one_try)
        except FlameError as error:
            if retry.is_disabled():
                raise
            first = error
        else:
            self.answered()
            return answer
        return _BlockingRetryLoop(self, call, terms, attempt, resolve, start).run(first)

    def answered(self) -> None:
        """Record an answer."""
        self.ever = True
        self.counters.calls += 1
        self.budget.answered()

    def patience(self, terms: Terms) -> float:
        """Return the seconds that a call waits for a cache that cannot be reached."""
        return terms.patience if self.ever else min(terms.patience, retry.UNTIL_FIRST)

    def rest(self, waits: int) -> float:
        """Return how long a call rests that has found the cache away so often."""
        rest = min(retry.REST[1], retry.REST[0] * 2.0 ** min(waits, 16))
        return rest * random.uniform(0.75, 1.0)

    def sleep(self, seconds: float) -> None:
        """Wait. Raises ConnectionClosedError when the connection is closed, before or meanwhile."""
        self._closed.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._closed.is_set():
            raise ConnectionClosedError("the connection to the object cache is closed")

    def close(self) -> None:
        """End all waits."""
        self._closed.set()


class _BlockingRetryLoop(Generic[T]):
    """One call that has failed once."""

    def __init__(
        self,
        retrier: BlockingRetrier,
        call: str,
        terms: Terms,
        attempt: Attempt[T],
        resolve: Resolve[T] | None,
        start: float,
    ) -> None:
        self._retrier = retrier
        self._attempt = attempt
        self._resolve = resolve
        self._start = start
        self._retry_state = RetryState(retrier, call, terms, now=monotonic, start=start)
        self._first: FlameError | None = None

    def run(self, first: FlameError) -> T:
        self._first = first
        retrying = Retrying(
            sleep=self._sleep,
            retry=retry_if_exception(self._retry_state.may_repeat),
            stop=self._retry_state.is_over,
            wait=self._retry_state.wait,
            before_sleep=self._retry_state.report,
            reraise=True,
        )
        try:
            answer = self._tried(retrying)
        except FlameError as error:
            raised = self._retry_state.settled(error)
            self._retry_state.sum_up(raised)
            if raised is not error:
                raise raised from error
            raise
        self._retrier.answered()
        return answer

    def _tried(self, retrying: Retrying) -> T:
        try:
            return retrying(self._again)
        except FlameError as error:
            if not self._retry_state.may_look(error):
                raise
            found = self._look(error)  # the policy is at its end: no further try
            if found is None:
                raise
            return found

    def _again(self) -> T:
        state, began = self._retry_state, self._start
        try:
            if self._first is not None:
                first, self._first = self._first, None
                raise first
            if state.unknown is not None:
                found = self._look(state.unknown)
                if found is not None:
                    return found
                state.send_again()
            began = state.now()
            return self._attempt(max(0.001, min(state.terms.one_try, state.left())))
        except FlameError as error:
            state.note(error, began)
            raise

    def _look(self, error: FlameError) -> T | None:
        if self._resolve is None:
            return None
        try:
            found = self._resolve(error, self._retry_state.left())
        except ConnectionClosedError:
            raise
        except (UnavailableError, DeadlineExceededError) as read_error:
            raise self._retry_state.ambiguous_error(error, read_error) from error
        except FlameError as read_error:
            self._retry_state.looked(error, read_error)
            raise
        self._retry_state.looked(error)
        if found is not None:
            self._retrier.counters.adopted += 1
        return found

    def _sleep(self, seconds: float) -> None:
        waiting, began = self._retry_state.is_waiting(), monotonic()
        try:
            self._retrier.sleep(seconds)
        finally:
            if waiting:
                self._retry_state.spend(monotonic() - began)
