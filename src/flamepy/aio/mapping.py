"""``map`` and ``run_many`` on an event loop: inputs from any iterable, through a ``Pump``.

One asyncio task reads the inputs, ahead of the results by the window at most. ``core.mapping`` is
the same for threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from typing import Any

from flamepy.aio.pump import Input, Launch, Pump
from flamepy.aio.read_ahead import ReadAhead, Window
from flamepy.aio.result_order import Result
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.rpc.link import Link
from flamepy.types import RetryPolicy
from flamepy.wire import validation

CHUNK = 64  # inputs that are taken from an iterable without a pause


def check_inputs(inputs: object, *, asynchronous: bool = False) -> None:
    """Refuse what cannot be a series of inputs. Raises InvalidArgumentError."""
    kinds = (Iterable, AsyncIterable) if asynchronous else (Iterable,)
    if isinstance(inputs, (bytes, bytearray, memoryview, str)) or not isinstance(inputs, kinds):
        raise InvalidArgumentError(
            f"inputs must be an iterable of bytes, one for each task, got {type(inputs).__name__}"
        )


def checked(index: int, value: object) -> Input:
    """Return an input, or why it cannot be sent."""
    try:
        return index, validation.payload(value, f"input {index}")
    except InvalidArgumentError as error:
        return index, error


class _Feed:
    """Reads the inputs of one ``map``, as far as there is room for them.

    Attributes:
        left: inputs that were taken and of which nothing was handed on yet.
        error: what the iterable raised.
        done: True when it is at its end.
    """

    def __init__(self, window: Window) -> None:
        self.left = 0
        self.error: Exception | asyncio.CancelledError | GeneratorExit | None = None
        self.done = False
        self.bell = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._ahead = ReadAhead(window, self._now())
        self._room = asyncio.Event()
        self._chunk: list[Input] = []
        self._count = 0

    def handed_on(self, value: object) -> None:
        """Make room for one more."""
        self.left -= 1
        self._ahead.taken(value, self._now())
        self._room.set()

    async def run(self, inputs: Iterable[Any] | AsyncIterable[Any], pump: Pump) -> None:
        """Read to the end, or until cancelled."""
        try:
            if isinstance(inputs, AsyncIterable):
                async for value in inputs:
                    self._add(value)
                    await self._pass_on(pump)
            else:
                for value in inputs:
                    self._add(value)
                    if len(self._chunk) >= CHUNK or self.left >= self._ahead.limit:
                        await self._pass_on(pump)
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:  # whatever inputs raise
            self.error = error
        pump.submit(self._chunk)
        self.done = True
        self.bell.set()

    def _add(self, value: object) -> None:
        self._chunk.append(checked(self._count, value))
        self._ahead.read(value)
        self._count += 1
        self.left += 1

    async def _pass_on(self, pump: Pump) -> None:
        chunk, self._chunk = self._chunk, []
        pump.submit(chunk)
        await asyncio.sleep(0)
        while self.left >= self._ahead.limit:
            self._room.clear()
            await self._room.wait()


async def results(
    link: Link,
    session_id: str,
    inputs: Iterable[Any] | AsyncIterable[Any],
    *,
    window: Window,
    ordered: bool = True,
    return_exceptions: bool = False,
    launch: Launch | None = None,
    retry: RetryPolicy | None = None,
    on_ambiguous: str | None = None,
) -> AsyncGenerator[Any, None]:
    """Yield what becomes of the inputs; see ``Session.map``, and ``Pump`` for ``launch``."""
    ready: deque[Result] = deque()
    feed = _Feed(window)

    def deliver(turn: list[Result]) -> None:
        ready.extend(turn)
        feed.bell.set()

    pump = await Pump.open(
        link,
        session_id,
        ordered=ordered,
        deliver=deliver,
        launch=launch,
        retry=retry,
        on_ambiguous=on_ambiguous,
    )
    feeding = asyncio.ensure_future(feed.run(inputs, pump))
    try:
        while not feed.done or feed.left:
            while ready:
                result = ready.popleft()
                feed.handed_on(result.value)
                yield value_of(result, return_exceptions)
            if not feed.done or feed.left:
                feed.bell.clear()
                await feed.bell.wait()
        if feed.error is not None:
            raise feed.error
    finally:
        pump.stop()
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


def value_of(result: Result, return_exceptions: bool) -> Any:
    """Return what is handed on for an input, or raise."""
    error = result.error
    if error is None:
        return result.value
    if return_exceptions and not result.fatal and isinstance(error, FlameError):
        return error
    raise error
