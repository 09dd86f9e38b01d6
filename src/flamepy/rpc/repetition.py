"""``Repetition``: one call that has failed once, and what tenacity asks about it.

It keeps the two kinds of time apart, says what a failure costs, and has writes of unknown fate
looked up before they are sent again. ``retry`` makes it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
)

from flamepy.errors import (
    AlreadyExistsError,
    AmbiguousResultError,
    ApplicationNotFoundError,
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    NotFoundError,
    UnavailableError,
)
from flamepy.rpc.terms import Terms
from flamepy.rpc.verdicts import FREE, LATE_WRITES, TWICE, Failure, Verdict, verdict
from flamepy.types import RetryDetails

if TYPE_CHECKING:
    from flamepy.rpc.retry import Retrier

T = TypeVar("T")
LATE = 5.0  # seconds in which a fresh engine may not know its own applications yet
MARGIN = 0.005  # seconds before its end in which a call is not worth another try


class Repetition(Generic[T]):
    """One call that has failed once."""

    def __init__(
        self,
        retrier: Retrier,
        call: str,
        terms: Terms,
        attempt: Callable[[float], Awaitable[T]],
        resolve: Callable[[FlameError, float], Awaitable[T | None]] | None,
        start: float,
    ) -> None:
        self._retrier = retrier
        self._call = call
        self._terms = terms
        self._attempt = attempt
        self._resolve = resolve
        self._now = asyncio.get_running_loop().time
        self._start = start
        self._tries = self._waits = self._twice = 0
        self._waited = 0.0
        self._riding = 0.0  # of it, in the outage that is under way
        self._first: FlameError | None = None
        self._unknown: FlameError | None = None  # the write may have happened
        self._failure = Failure.REFUSED
        self._sent_again = False  # after its fate was unknown

    async def go(self, first: FlameError) -> T:
        """Go on behind the first failure."""
        self._first = first
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(self._may_repeat),
            stop=self._is_over,
            wait=self._wait,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            try:
                answer: T = await retrying(self._again)
            except FlameError as error:
                if error is not self._unknown or self._left() <= 0.0:
                    raise
                found = await self._look(error)  # the policy is at its end: no further try
                if found is None:
                    raise
                answer = found
        except FlameError as error:
            error.attempts = max(self._tries, 1)
            error.elapsed = self._elapsed()
            raise
        self._retrier.counters.calls += 1
        self._retrier.budget.answered()
        return answer

    def _elapsed(self) -> float:
        return self._now() - self._start

    def _left(self) -> float:
        return self._terms.limit - self._elapsed()

    async def _again(self) -> T:
        began = self._start
        try:
            if self._first is not None:
                first, self._first = self._first, None
                raise first
            if self._unknown is not None:
                found = await self._look(self._unknown)
                if found is not None:
                    return found
                self._unknown = None
                self._retrier.counters.sent_again += 1
                self._sent_again = True
            began = self._now()
            return await self._attempt(max(0.001, min(self._terms.one_try, self._left())))
        except FlameError as error:
            self._note(error, began)
            if self._was_late(error) and (found := await self._look(error)) is not None:
                return found
            raise

    def _was_late(self, error: FlameError) -> bool:
        """Return True for a refusal that means: the first one, of unknown fate, has happened."""
        refused = isinstance(error, (AlreadyExistsError, NotFoundError))
        return refused and self._sent_again and self._call in LATE_WRITES

    def _note(self, error: FlameError, began: float) -> None:
        self._failure = Failure(error.failure) if error.failure else Failure.REFUSED
        if self._is_late(error):
            self._failure = Failure.LATE
            error.failure = self._failure.value
        if self._failure in FREE and self._retrier.patience(self._terms) > 0.0:
            self._waits += 1
            self._spend(self._now() - began)
            return
        self._tries += 1
        self._waits, self._riding = 0, 0.0
        if self._failure in TWICE:
            self._twice += 1
        if verdict(self._call, self._failure) is Verdict.RESOLVE:
            self._unknown = error

    def _spend(self, seconds: float) -> None:
        self._waited += seconds
        self._riding += seconds

    def _is_late(self, error: FlameError) -> bool:
        recent = self._now() - self._retrier.back_at < LATE
        return isinstance(error, ApplicationNotFoundError) and recent

    async def _look(self, error: FlameError) -> T | None:
        """Find out whether the write happened."""
        if self._resolve is None:
            return None
        try:
            found = await self._resolve(error, self._left())
        except ConnectionClosedError:
            raise
        except (UnavailableError, DeadlineExceededError) as unread:
            unknown = AmbiguousResultError(
                f"{self._call} may or may not have happened, and it could not be read which: "
                f"{error.message}; {unread.message}",
                grpc_code=error.grpc_code,
            )
            raise unknown from error
        if found is not None:
            self._retrier.counters.adopted += 1
        return found

    # ------------------------------------------------------------------ asked by tenacity

    def _may_repeat(self, error: BaseException) -> bool:
        if not isinstance(error, FlameError) or error.failure is None:
            return False
        if self._failure in TWICE and self._twice > 2:
            return False
        return verdict(self._call, self._failure) is not Verdict.NEVER

    def _is_waiting(self) -> bool:
        return self._failure in FREE and self._retrier.patience(self._terms) > 0.0

    def _wait(self, state: RetryCallState) -> float:
        policy = self._terms.policy
        if self._is_waiting():
            left = self._retrier.patience(self._terms) - self._riding
            rest = self._retrier.rest(self._waits - 1)
            return max(0.0, min(rest, left, self._left() - MARGIN))
        wait = policy.wait_initial * policy.wait_exp_base ** min(self._tries - 1, 64)
        return min(policy.wait_max, wait) + random.uniform(0.0, policy.wait_jitter)

    def _is_over(self, state: RetryCallState) -> bool:
        if state.upcoming_sleep >= self._left():
            return True  # tenacity's stop_before_delay, in the loop's time
        if self._is_waiting():
            return self._riding >= self._retrier.patience(self._terms) or self._left() <= 2 * MARGIN
        policy, retrier = self._terms.policy, self._retrier
        if self._tries >= policy.attempts:
            return True
        spent = self._elapsed() - self._waited + state.upcoming_sleep
        if policy.timeout is not None and spent >= policy.timeout:
            return True
        if policy.budget is False:
            return False
        if retrier.budget.take(self._now(), lost=self._failure in (Failure.LOST, Failure.NOT_SENT)):
            return False
        retrier.counters.refused_retries += 1
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, FlameError):
            error.message += (
                "; not repeated: the connection's retry budget is used up, because most of its "
                "calls have failed lately"
            )
        return True

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, FlameError)  # nothing else is repeated
        if self._is_waiting():
            self._retrier.counters.waits += 1
            return
        self._retrier.counters.retries += 1
        details = RetryDetails(self._call, self._tries, state.upcoming_sleep, error)
        self._retrier.scheduled(details)

    async def _sleep(self, seconds: float) -> None:
        waiting, began = self._is_waiting(), self._now()
        try:
            await self._retrier.sleep(seconds, for_engine=waiting)
        finally:
            if waiting:
                self._spend(self._now() - began)
