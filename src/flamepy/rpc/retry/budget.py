"""``Budget``: how many repeats a connection has left, so that repeats never become a storm. Pure.

Each repeat takes a token, each answer gives a tenth of one back. Calls that lose the same
connection at the same moment take one token together: that is one failure, however many saw it.
"""

from __future__ import annotations

CAPACITY = 10.0
PER_ANSWER = 0.1
TOGETHER = 0.25  # seconds in which lost calls are of one loss


class Budget:
    """The repeats that a connection has left. Pure.

    Args:
        capacity: tokens at the beginning, and at most.
    """

    def __init__(self, capacity: float = CAPACITY) -> None:
        self.capacity = capacity
        self.left = capacity
        self._lost_at = float("-inf")

    def answered(self) -> None:
        """Record that a call was answered."""
        self.left = min(self.capacity, self.left + PER_ANSWER)

    def take(self, now: float, *, lost: bool) -> bool:
        """Take a token for a repeat; return False if no token is left.

        Args:
            now: monotonic seconds.
            lost: the connection was lost.
        """
        if lost and 0.0 <= now - self._lost_at < TOGETHER:
            return True
        if self.left < 1.0 - 1e-9:  # ten tenths are a little less than one
            return False
        self.left -= 1.0
        if lost:
            self._lost_at = now
        return True
