"""``RetryLoop``: one call that has failed once, made again as its ``RetryState`` says.

Writes of unknown fate are looked up before they are sent again. ``retrier`` makes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from tenacity import AsyncRetrying, retry_if_exception

from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    UnavailableError,
)
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.retry_state import Account, RetryState

T = TypeVar("T")


class RetryAccount(Account, Protocol):
    """What a connection does for its repeated calls; ``Retrier`` on a loop, or one that blocks."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def done(self) -> None:
        """Record that a call has been made."""

    async def sleep(self, seconds: float, *, for_engine: bool = False) -> None:
        """Wait; with ``for_engine`` at most until the engine answers any call."""


class RetryLoop(Generic[T]):
    """One call that has failed once. It awaits what it is given and needs no event loop itself.

    Args:
        account: of the connection.
        call: the RPC's name.
        terms, attempt, resolve: see ``Retrier.run``.
        start: when the call began.
    """

    def __init__(
        self,
        account: RetryAccount,
        call: str,
        terms: Terms,
        attempt: Callable[[float], Awaitable[T]],
        resolve: Callable[[FlameError, float], Awaitable[T | None]] | None,
        start: float,
    ) -> None:
        self._account = account
        self._attempt = attempt
        self._resolve = resolve
        self._start = start
        self._retry_state = RetryState(account, call, terms, now=account.now, start=start)
        self._first: FlameError | None = None

    async def run(self, first: FlameError) -> T:
        """Repeat the call after its first failure."""
        self._first = first
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(self._retry_state.may_repeat),
            stop=self._retry_state.is_over,
            wait=self._retry_state.wait,
            before_sleep=self._retry_state.report,
            reraise=True,
        )
        try:
            try:
                answer: T = await retrying(self._again)
            except FlameError as error:
                if not self._retry_state.may_look(error):
                    raise
                found = await self._look(error)  # the policy is at its end: no further try
                if found is None:
                    raise
                answer = found
        except FlameError as error:
            raised = self._retry_state.settled(error)
            self._retry_state.sum_up(raised)
            if raised is not error:
                raise raised from error
            raise
        self._account.done()
        return answer

    async def _again(self) -> T:
        began = self._start
        try:
            if self._first is not None:
                first, self._first = self._first, None
                raise first
            if self._retry_state.unknown is not None:
                found = await self._look(self._retry_state.unknown)
                if found is not None:
                    return found
                self._retry_state.send_again()
            began = self._retry_state.now()
            return await self._attempt(
                max(0.001, min(self._retry_state.terms.one_try, self._retry_state.left()))
            )
        except FlameError as error:
            self._retry_state.note(error, began)
            if self._retry_state.was_late(error) and (found := await self._look(error)) is not None:
                return found
            raise

    async def _look(self, error: FlameError) -> T | None:
        """Find out whether the write happened."""
        if self._resolve is None:
            return None
        try:
            found = await self._resolve(error, self._retry_state.left())
        except ConnectionClosedError:
            raise
        except (UnavailableError, DeadlineExceededError) as read_error:
            raise self._retry_state.ambiguous_error(error, read_error) from error
        except FlameError as read_error:
            self._retry_state.looked(error, read_error)
            raise
        self._retry_state.looked(error)
        if found is not None:
            self._account.counters.adopted += 1
        return found

    async def _sleep(self, seconds: float) -> None:
        waiting, began = self._retry_state.is_waiting(), self._retry_state.now()
        try:
            await self._account.sleep(seconds, for_engine=waiting)
        finally:
            if waiting or self._retry_state.is_asked_to_wait():
                self._retry_state.spend(self._retry_state.now() - began)
