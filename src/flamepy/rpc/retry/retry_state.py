"""``RetryState``: what a call that has failed may still cost, and whether it is made again. Pure.

It keeps tries and waiting apart (docs/retry.md#time) and answers what tenacity asks. One loop acts
on it (``retry_loop``), for calls on an event loop as for those of ``objects`` that block.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tenacity import RetryCallState

from flamepy.errors import (
    AlreadyExistsError,
    AmbiguousResultError,
    ApplicationNotFoundError,
    FlameError,
    NotFoundError,
)
from flamepy.rpc.retry.budget import Budget
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.classifier import FREE, LATE_WRITES, TWICE, Failure, Verdict, verdict
from flamepy.types import RetryDetails

LATE = 5.0  # seconds in which a fresh engine may not know its own applications yet
NEVER = math.inf  # of ``FlameError.retry_after``
MARGIN = 0.005  # seconds before its end in which a call is not worth another try


@dataclass(slots=True)
class Counters:
    """See ``types.ConnectionStats``; read from anywhere."""

    calls: int = 0
    failures: int = 0
    retries: int = 0
    waits: int = 0
    refused_retries: int = 0
    adopted: int = 0
    sent_again: int = 0


class Account(Protocol):
    """What a connection knows of its engine, and what repeats it has left."""

    budget: Budget
    counters: Counters
    ever: bool  # whether it has answered
    way_out: str  # what its user does if it never has
    back_at: float
    scheduled: Callable[[RetryDetails], None]

    def patience(self, terms: Terms) -> float:
        """Return the seconds that a call waits for the engine."""

    def rest(self, waits: int) -> float:
        """Return how long a call rests that has found the engine away so often."""


class RetryState:
    """What one call that has failed once may still cost, and whether it is made again.

    Args:
        account: of its connection.
        call: the RPC's name.
        terms: what bounds it.
        now: returns monotonic seconds.
        start: when the call began.
    """

    def __init__(
        self, account: Account, call: str, terms: Terms, *, now: Callable[[], float], start: float
    ) -> None:
        self.account = account
        self.call = call
        self.terms = terms
        self.now = now
        self.unknown: FlameError | None = None  # the write may have happened
        self._doubt: FlameError | None = None  # how the write itself failed ...
        self._unread: FlameError | None = None  # ... and the read that should have settled it
        self._sent_again = False  # after its fate was unknown
        self._start = start
        self._tries = self._waits = self._twice = 0
        self._waited = 0.0
        self._riding = 0.0  # of it, in the current outage
        self._failure = Failure.REFUSED
        self._asked: float | None = None  # seconds that the server asks to wait, see FlameError

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return self.now() - self._start

    def left(self) -> float:
        """Return the seconds that it has left."""
        return self.terms.limit - self.elapsed()

    def note(self, error: FlameError, began: float) -> None:
        """Record a failure of a try that began then."""
        self._failure = Failure(error.failure) if error.failure else Failure.REFUSED
        self._asked = error.retry_after
        if self._is_late(error):
            self._failure = Failure.LATE
            error.failure = self._failure.value
        if self._failure in FREE and self.account.patience(self.terms) > 0.0:
            self._waits += 1
            self.spend(self.now() - began)
            return
        self._tries += 1
        self._waits, self._riding = 0, 0.0
        if self._failure in TWICE:
            self._twice += 1
        if verdict(self.call, self._failure) is Verdict.RESOLVE:
            self.unknown = error

    def send_again(self) -> None:
        """Record that a write of unknown fate was not found, and is sent again."""
        self.unknown = None
        self._sent_again = True
        self.account.counters.sent_again += 1

    def was_late(self, error: FlameError) -> bool:
        """Return True for a refusal that means: the first one, of unknown fate, has happened."""
        refused = isinstance(error, (AlreadyExistsError, NotFoundError))
        return refused and self._sent_again and self.call in LATE_WRITES

    def spend(self, seconds: float) -> None:
        """Record seconds spent waiting for the engine."""
        self._waited += seconds
        self._riding += seconds

    def _is_late(self, error: FlameError) -> bool:
        recent = self.now() - self.account.back_at < LATE
        return isinstance(error, ApplicationNotFoundError) and recent

    # ------------------------------------------------------------------ asked by tenacity

    def may_repeat(self, error: BaseException) -> bool:
        """Return True if the table allows another try."""
        if not isinstance(error, FlameError) or error.failure is None:
            return False
        if self._asked == NEVER or (self._failure in TWICE and self._twice > 2):
            return False
        return verdict(self.call, self._failure) is not Verdict.NEVER

    def may_look(self, error: FlameError) -> bool:
        """Return True if the last failure leaves a doubt, and time to look it up."""
        return error is self.unknown and self.left() > 0.0

    def is_waiting(self) -> bool:
        """Return True while nothing answers, which costs no try."""
        return self._failure in FREE and self.account.patience(self.terms) > 0.0

    def is_asked_to_wait(self) -> bool:
        """Return True while the server asked to wait: the patience bounds it, not the policy."""
        return bool(self._asked) and not self.is_waiting()

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds until the next try."""
        policy = self.terms.policy
        if self.is_waiting():
            left = self.account.patience(self.terms) - self._riding
            rest = self.account.rest(self._waits - 1)
            return max(0.0, min(rest, left, self.left() - MARGIN))
        wait = policy.wait_initial * policy.wait_exp_base ** min(self._tries - 1, 64)
        wait = min(policy.wait_max, wait) + random.uniform(0.0, policy.wait_jitter)
        return max(wait, self._asked or 0.0)

    def is_over(self, state: RetryCallState) -> bool:
        """Return True if terms, policy or budget are used up."""
        if state.upcoming_sleep >= self.left():
            return True  # tenacity's stop_before_delay, in the loop's time
        if self.is_waiting():
            return self._riding >= self.account.patience(self.terms) or self.left() <= 2 * MARGIN
        policy, retrier = self.terms.policy, self.account
        if self._tries >= policy.attempts:
            return True
        if (self._asked or 0.0) > self.account.patience(self.terms):
            return True
        spent = self.elapsed() - self._waited + (0.0 if self._asked else state.upcoming_sleep)
        if policy.timeout is not None and spent >= policy.timeout:
            return True
        if policy.budget is False:
            return False
        if retrier.budget.take(self.now(), lost=self._failure in (Failure.LOST, Failure.NOT_SENT)):
            return False
        retrier.counters.refused_retries += 1
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, FlameError):
            error.message += (
                "; not repeated: the connection's retry budget is used up, because most of its "
                "calls have failed lately"
            )
        return True

    def report(self, state: RetryCallState) -> None:
        """Count the next repeat, and report it."""
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, FlameError)  # nothing else is repeated
        if self.is_waiting():
            self.account.counters.waits += 1
            return
        self.account.counters.retries += 1
        details = RetryDetails(self.call, self._tries, state.upcoming_sleep, error)
        self.account.scheduled(details)

    def looked(self, error: FlameError, unread: FlameError | None = None) -> None:
        """Record that a write was looked up.

        Args:
            error: the doubt: how the write failed, or an earlier read.
            unread: how the read failed, if it did.
        """
        if error is not self._unread:
            self._doubt = error
        self._unread = unread

    def settled(self, error: FlameError) -> FlameError:
        """Return the error to raise in the end.

        A read that failed, or for which no time was left, does not tell whether the write
        happened. The error of the read or of the try would say ``retryable``, which a write of
        unknown fate is not.
        """
        if error is self.unknown and self.left() <= 0.0:
            return AmbiguousResultError(
                f"{self.call} may or may not have happened, and no time was left to read which: "
                f"{error.message}",
                grpc_code=error.grpc_code,
            )
        answers = (None, Failure.REFUSED.value, Failure.LATE.value)
        if error is not self._unread or self._doubt is None or error.failure in answers:
            return error
        return self.ambiguous_error(self._doubt, error)

    def ambiguous_error(self, cause: FlameError, read_error: FlameError) -> AmbiguousResultError:
        """Return what to raise when it could not be read whether a write happened."""
        return AmbiguousResultError(
            f"{self.call} may or may not have happened, and it could not be read which: "
            f"{cause.message}; {read_error.message}",
            grpc_code=cause.grpc_code,
        )

    def sum_up(self, error: FlameError) -> None:
        """Write into the error that is raised in the end what it took."""
        error.attempts = max(self._tries, 1)
        error.elapsed = self.elapsed()
        # A call without patience is a poll of ours: its caller has logged the outage before.
        first = not self.account.ever and self.terms.patience > 0.0
        if first and error.failure == Failure.NOT_SENT.value:
            error.message += self.account.way_out
