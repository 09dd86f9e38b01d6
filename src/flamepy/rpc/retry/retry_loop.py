"""``Repetition``: one call that has failed once, made again as its ``Reckoning`` says.

Writes of unknown fate are looked up before they are sent again. ``retry`` makes it.
"""

from __future__ import annotations

import asyncio
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
from flamepy.rpc.retry.retry_state import Account, Reckoning

T = TypeVar("T")


class AsyncAccount(Account, Protocol):
    """One of an event loop."""

    async def sleep(self, seconds: float, *, for_engine: bool = False) -> None:
        """Wait; with ``for_engine`` at most until the engine answers any call."""


class Repetition(Generic[T]):
    """One call that has failed once, on an event loop."""

    def __init__(
        self,
        account: AsyncAccount,
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
        now = asyncio.get_running_loop().time
        self._reckoning = Reckoning(account, call, terms, now=now, start=start)
        self._first: FlameError | None = None

    async def go(self, first: FlameError) -> T:
        """Repeat the call after its first failure."""
        self._first = first
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(self._reckoning.may_repeat),
            stop=self._reckoning.is_over,
            wait=self._reckoning.wait,
            before_sleep=self._reckoning.report,
            reraise=True,
        )
        try:
            try:
                answer: T = await retrying(self._again)
            except FlameError as error:
                if not self._reckoning.may_look(error):
                    raise
                found = await self._look(error)  # the policy is at its end: no further try
                if found is None:
                    raise
                answer = found
        except FlameError as error:
            raised = self._reckoning.settled(error)
            self._reckoning.sum_up(raised)
            if raised is not error:
                raise raised from error
            raise
        self._account.counters.calls += 1
        self._account.budget.answered()
        return answer

    async def _again(self) -> T:
        began = self._start
        try:
            if self._first is not None:
                first, self._first = self._first, None
                raise first
            if self._reckoning.unknown is not None:
                found = await self._look(self._reckoning.unknown)
                if found is not None:
                    return found
                self._reckoning.send_again()
            began = self._reckoning.now()
            return await self._attempt(
                max(0.001, min(self._reckoning.terms.one_try, self._reckoning.left()))
            )
        except FlameError as error:
            self._reckoning.note(error, began)
            if self._reckoning.was_late(error) and (found := await self._look(error)) is not None:
                return found
            raise

    async def _look(self, error: FlameError) -> T | None:
        """Find out whether the write happened."""
        if self._resolve is None:
            return None
        try:
            found = await self._resolve(error, self._reckoning.left())
        except ConnectionClosedError:
            raise
        except (UnavailableError, DeadlineExceededError) as unread:
            raise self._reckoning.unread(error, unread) from error
        except FlameError as unread:
            self._reckoning.looked(error, unread)
            raise
        self._reckoning.looked(error)
        if found is not None:
            self._account.counters.adopted += 1
        return found

    async def _sleep(self, seconds: float) -> None:
        waiting, began = self._reckoning.is_waiting(), self._reckoning.now()
        try:
            await self._account.sleep(seconds, for_engine=waiting)
        finally:
            if waiting:
                self._reckoning.spend(self._reckoning.now() - began)
