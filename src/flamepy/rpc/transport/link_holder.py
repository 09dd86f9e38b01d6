"""A link around a fork: its calls are held, its channel is closed, made anew, or dead in the child.

``flamepy.runtime.forks`` decides when; here is how a thread that forks reaches the link's loop.
Floors above take ``on_child`` from here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Protocol

from flamepy.runtime.forks import abandon_loop, done, is_here, leak, on_child

__all__ = ["LinkHolder", "Pausable", "abandon_loop", "on_child"]


class Pausable(Protocol):
    """What ``calls.Calls`` looks like from here; called on its loop."""

    async def pause(self, limit: float) -> bool:
        """Hold new calls, end those in flight, close the channel."""

    def pause_now(self) -> bool:
        """Do so at once, or not at all."""

    def resume(self) -> None:
        """Release the calls that were held."""


class LinkHolder:
    """Closes and reopens a link around a fork; a ``forks.Holder``.

    Attributes:
        loop: the link's, from its first call on.
    """

    def __init__(self, calls: Pausable) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._calls = calls

    def pause(self, limit: float) -> concurrent.futures.Future[bool]:
        """Close the channel; see ``forks.Holder``."""
        loop = self.loop
        if loop is None:
            return done(True)
        if is_here(loop) or not loop.is_running():
            return done(self._calls.pause_now())
        return asyncio.run_coroutine_threadsafe(self._calls.pause(limit), loop)

    def resume(self) -> None:
        """Release the calls that were held; the next one makes a channel."""
        loop = self.loop
        if loop is None or loop.is_closed():
            return
        if is_here(loop):
            self._calls.resume()
        else:
            loop.call_soon_threadsafe(self._calls.resume)

    def forget(self, clean: bool) -> None:
        """Keep what is left of gRPC from being freed in the child."""
        if not clean:
            leak(self._calls)
        if self.loop is not None:
            abandon_loop(self.loop)
