"""Whether the engine answers, by its polls, and what an outage does to those that wait.

Runs on the link's loop. ``poller`` reports each poll; ``watch_streams`` and ``gatherer`` make
fewer calls while the engine is away.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

from flamepy.errors import FlameError, UnavailableError
from flamepy.texts import repr_of
from flamepy.watching.io.context import WatchContext

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """What the polls found out about the engine; read on the loop."""

    polls: int = 0
    every: float = 0.0  # seconds between the last poll and the next one
    outages: int = 0
    answered_at: float = float("-inf")  # when the sessions were shown
    heard_at: float = float("-inf")
    down_since: float | None = None
    last_error: FlameError | None = field(default=None, repr=False)


class Outages:
    """Records outages; ends waits that outlast the patience.

    Args:
        context: of the hub.
        patience: seconds without an answer after which waits end with ``UnavailableError``.
    """

    def __init__(self, context: WatchContext, patience: float) -> None:
        self._endpoint = context.endpoint
        self._now = context.clock
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._patience = patience
        self._answers = asyncio.Event()
        self._answers.set()
        self.health = Health()

    @property
    def is_away(self) -> bool:
        """True while the poll finds the engine away."""
        return not self._answers.is_set()

    async def wait_until_over(self, limit: float) -> None:
        """Wait until the engine answers again, ``limit`` seconds at most."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._answers.wait(), limit)

    def poll_failed(self, error: FlameError, started: float) -> None:
        """Record a poll that failed; the first one begins an outage.

        Args:
            error: why.
            started: when it was sent, in loop seconds.
        """
        health = self.health
        health.last_error = error
        if health.down_since is None:
            health.down_since = started
            health.outages += 1
            self._answers.clear()
            logger.info("the poll of %s failed: %s", self._endpoint, error.message)
            self._subscribers.failed(error)
        away = self._now() - health.down_since
        if away >= self._patience:
            self._end_waits(error, away)

    def is_young(self, started: float) -> bool:
        """Return True in the first minute of the outage that a poll sent at ``started`` found."""
        return self._now() - (self.health.down_since or started) < 60.0

    def poll_worked(self) -> bool:
        """Record a poll that worked; return True if an outage is over by it."""
        if self.health.down_since is None:
            return False
        logger.info("the poll of %s works again", self._endpoint)
        self.health.down_since = None
        self._answers.set()
        return True

    def _end_waits(self, error: FlameError, away: float) -> None:
        for interest in self._waiters.all():
            lost = UnavailableError(
                f"the engine at {self._endpoint} has not answered for {away:.0f} s, so the fate "
                f"of task {interest.number} of session {repr_of(interest.session_id)} is unknown: "
                f"{error.message}"
            )
            lost.__cause__ = error
            self._waiters.lose(interest, lost)
