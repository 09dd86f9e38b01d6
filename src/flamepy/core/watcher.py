"""``TaskWatcher``: a synchronous iterator over one task's states.

A time limit covers the whole iteration, a silent stream included, and ``close`` ends it from
any thread. ``session`` makes it from the hub's asynchronous iterator.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Any

from flamepy.errors import DeadlineExceededError
from flamepy.rpc.link import Link
from flamepy.types import Task


class TaskWatcher:
    """An iterator over one task's states; ``close`` ends it, also from another thread.

    Raises (while iterating):
        DeadlineExceededError: (a TimeoutError) ``timeout`` seconds went by, silent or not.
    """

    def __init__(
        self, link: Link, states: AsyncGenerator[Task, None], timeout: float | None
    ) -> None:
        self._link = link
        self._states = states
        self._timeout = timeout
        self._limit: float | None = None
        self._closed = False
        self._waiting: asyncio.Task[Any] | None = None  # on the loop: whose ``next`` it is

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if self._closed:
            raise StopIteration
        try:
            return self._link.run(self._next())
        except StopAsyncIteration:
            self._closed = True
            raise StopIteration from None
        except concurrent.futures.CancelledError:
            self._closed = True  # closed by another thread
            raise StopIteration from None
        except BaseException:
            self._closed = True
            raise

    async def _next(self) -> Task:
        now = asyncio.get_running_loop().time
        if self._timeout is None:
            return await self._advance()
        if self._limit is None:
            self._limit = now() + self._timeout
        try:
            return await asyncio.wait_for(self._advance(), self._limit - now())
        except asyncio.TimeoutError as error:
            raise DeadlineExceededError(
                f"watch_task timed out after {self._timeout} seconds"
            ) from error

    async def _advance(self) -> Task:
        self._waiting = asyncio.current_task()
        try:
            return await self._states.__anext__()
        finally:
            self._waiting = None

    def close(self) -> None:
        """Release the stream; a ``next`` that waits in another thread ends the iteration."""
        self._closed = True
        if not self._link.closed:
            self._link.run(self._aclose())

    async def _aclose(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait({self._waiting})
        await self._states.aclose()

    def __enter__(self) -> TaskWatcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
