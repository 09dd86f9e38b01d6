"""When each session is listed, whatever its counters say. Pure; time is an argument.

Every session has its slot in the period, and the slots of sessions first seen together are
spread evenly: the golden ratio puts each new one into the largest gap between the others.
"""

from __future__ import annotations

import math

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
REST = 1.0 / 16.0  # of the period: the time without an audit after a session was first seen


class AuditSchedule:
    """Gives each session its times of audits.

    Args:
        period: seconds in which every session comes once.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._phase = 0.0

    def first(self, now: float) -> float:
        """Return when a session that is first seen now is audited; within one period."""
        self._phase = (self._phase + GOLDEN) % 1.0
        return now + self.period * (REST + (1.0 - REST) * self._phase)

    def next(self, due: float, now: float) -> float:
        """Return the next slot after ``now`` of a session whose slot ``due`` was."""
        return due + self.period * max(1, math.ceil((now - due) / self.period))
