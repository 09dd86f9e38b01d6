"""How long the engine keeps what has ended, as observed, and which session to read next. Pure.

An engine keeps a limited number of sessions and forgets the closed ones, oldest end first. While
few end, that is days later; under churn it is seconds, and a task list that is read too late is
gone. ``Retention`` learns from the polls how fast sessions vanish; ``ReadQueue`` orders the
sessions that wait to be read: first those that will be gone soonest and can still be read in time.
``session_poll`` feeds both, ``session_sync`` reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MEMORY = 10.0  # seconds after which what vanished counts for 1/e
FORGOTTEN = 0.5  # fewer sessions than this in memory: the engine forgets nothing now
TURN = 4  # every fourth read is of the session that waits longest, whatever is urgent


class Retention:
    """How fast closed sessions vanish.

    Attributes:
        period: seconds that a session which ends now will be kept; inf while none vanishes.
    """

    def __init__(self) -> None:
        self.period = math.inf
        self._vanished = 0.0  # sessions, each fading with time
        self._at: float | None = None
        self._since = 0.0

    @property
    def rate(self) -> float:
        """Sessions that vanish in a second, as seen recently."""
        if self._at is None:
            return 0.0
        seen_for = MEMORY * -math.expm1(-max(self._at - self._since, 0.1) / MEMORY)
        return self._vanished / seen_for

    def polled(self, now: float, *, closed: int, vanished: int) -> None:
        """Record a poll.

        Args:
            now: when it was sent, in loop seconds.
            closed: closed sessions that it showed.
            vanished: closed sessions that were found gone since the last one.
        """
        if self._at is None:
            self._at = self._since = now
            return  # what went before the first poll says nothing of the pace
        self._vanished = self._vanished * math.exp((self._at - now) / MEMORY) + vanished
        self._at = max(now, self._at)
        kept = self._vanished > FORGOTTEN
        self.period = max(closed, 1) / self.rate if kept else math.inf

    def left(self, ended: list[str]) -> dict[str, float]:
        """Return the seconds until each closed session is gone.

        Args:
            ended: their ids, those that ended first coming first.
        """
        rate = self.rate
        if math.isinf(self.period) or rate <= 0.0:
            return {}
        return {session_id: (rank + 1) / rate for rank, session_id in enumerate(ended)}


class ReadQueue:
    """The sessions that wait to be read, each once.

    In order of arrival while the engine forgets nothing. While it does, the session that will be
    gone soonest and can still be caught comes first; those that are probably too late come last,
    and each ``TURN``-th place goes to the one that waits longest, so that a session which is not
    about to vanish has its turn as well.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}  # in order of arrival
        self._urgent: list[str] = []  # the next one last; those that have left stay until met
        self._turn = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, session_id: str) -> None:
        """Add a session to the queue; one that waits already keeps its place."""
        self._waiting.setdefault(session_id, None)

    def order(self, left: Mapping[str, float], margin: float) -> None:
        """Decide which sessions are read first, after a poll.

        Args:
            left: seconds until each of those that will vanish is gone; empty while none does.
            margin: seconds that a read takes; a session that is gone sooner cannot be read in time.
        """
        if not left:
            self._urgent = []
            return
        known = [one for one in self._waiting if one in left]
        in_time = sorted((one for one in known if left[one] > margin), key=left.__getitem__)
        late = sorted((one for one in known if left[one] <= margin), key=lambda one: -left[one])
        self._urgent = [*reversed(late), *reversed(in_time)]

    def next(self) -> str | None:
        """Remove and return the session to be read next; None if none waits."""
        self._turn += 1
        if self._turn % TURN:
            while self._urgent:
                urgent = self._urgent.pop()
                if urgent in self._waiting:
                    del self._waiting[urgent]
                    return urgent
        for first in self._waiting:
            del self._waiting[first]
            return first
        return None
