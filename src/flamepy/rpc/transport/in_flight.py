"""``InFlightCall``: a call that gRPC has and that has not ended; what a wait for one needs.

An error leaves here without the frames that it passed in gRPC: a frame that is kept keeps the call
and its channel alive.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio


class InFlightCall:
    """A call in flight.

    Attributes:
        name: the RPC's.
        call: gRPC's; dropped when it has ended.
        cut: True once a fork has ended it.
    """

    __slots__ = ("_ended", "call", "cut", "name")

    def __init__(self, name: str, call: Any) -> None:
        self.name = name
        self.call = call
        self.cut = False
        self._ended: asyncio.Future[None] | None = None

    def ended(self) -> asyncio.Future[None]:
        """Return a future of its end, made at the first call: few calls need one."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def end(self) -> None:
        """Record that it has ended."""
        self.call = None
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


async def answered_within(call: Any, limit: float | None) -> bool:
    """Wait for gRPC's call, ``limit`` seconds at most, without a task; True if it has ended.

    A caller that is cancelled here leaves the call alone; awaiting the call itself would cancel it.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()

    def wake(ended: Any = None) -> None:  # by gRPC with the call, by the timer without
        if not waiter.done():
            waiter.set_result(ended is not None)

    timer = None if limit is None else loop.call_later(limit, wake)
    call.add_done_callback(wake)
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()


def without_frames(error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
    """Take the frames from an error: they would keep the call and its channel alive."""
    error.__traceback__ = error.__context__ = None
    return error


async def wait_all(futures: list[asyncio.Future[Any]], limit: float) -> None:
    """Wait for all futures, ``limit`` seconds at most."""
    if futures:
        await asyncio.wait(futures, timeout=limit)


def is_cancelled() -> bool:
    """Return True if the running task is being cancelled."""
    # Python 3.10 cannot say; there a cancellation in the moment of a fork is taken for the fork.
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
