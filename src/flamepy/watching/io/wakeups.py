"""Wake the background loops of watching. Made before them, so that each may wake the others.

A loop owns its ``Pulse``: it rests by it and clears it when a round begins. Everything else only
asks for a round by ``Wakeups``. Runs on the link's loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

FASTEST_GATHER = 0.005  # seconds between rounds of the gatherer
LONG_REST = 10.0  # of the gatherer, as a multiple of its fastest: a shorter rest is not cut


class Pulse:
    """The rests of one background loop between its rounds.

    Attributes:
        shortest: seconds of the rest after a wakeup.
        interval: seconds of the present rest, from which the loop derives the next one.
    """

    def __init__(self, shortest: float) -> None:
        self.shortest = self.interval = shortest
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """End the present rest, or the next one; the interval stays."""
        self._wakeup.set()

    def quicken(self) -> None:
        """End the present rest, and begin again with the shortest interval."""
        self.interval = self.shortest
        self._wakeup.set()

    def round_begins(self) -> None:
        """Ask that a wakeup from now on leads to the round after this one."""
        self._wakeup.clear()

    async def rest(self, seconds: float) -> None:
        """Wait for a wakeup, or until the time is up."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wakeup.wait(), seconds)


class Wakeups:
    """The pulses of the poll and of the gatherer, and what other parts may ask of them."""

    def __init__(self) -> None:
        self.poll = Pulse(0.0)  # ``Poller.configure`` sets its shortest interval
        self.gather = Pulse(FASTEST_GATHER)

    def poll_now(self) -> None:
        """Poll now, and often for a while. Does not start the poll."""
        self.poll.quicken()

    def gather_now(self) -> None:
        """Begin a round of the gatherer soon. Does not start the gatherer."""
        if self.gather.interval > LONG_REST * self.gather.shortest:
            self.gather.quicken()
