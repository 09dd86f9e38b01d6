"""The ends of tasks that could not be read before their session was gone. Pure.

An end is delivered, or it is counted here; never neither (docs/delivery.md). ``store`` asks when a
session leaves it; ``observer`` counts and reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.enums import TextEnum
from flamepy.types import SessionInfo, SessionState, TaskCounts
from flamepy.watching.state.records import SessionRecord


class Reason(TextEnum):
    """Why a session was gone before its tasks were read."""

    EVICTED = "evicted"  # the engine keeps a limited number of closed sessions
    DELETED = "deleted"
    AWAY = "gone while nothing watched"  # found by an informer that resumes
    LOST = "storage lost"  # the engine came back without it, or with another one of its id


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedEnds:
    """Ends of one session's tasks that no subscriber received.

    Attributes:
        session: as last seen.
        counts: how many of which end, by the session's last counters.
        unknown: tasks that had not ended when the session was last seen, but must have before it
            was gone; how they ended is not known.
        reason: why they could not be read.
    """

    session: SessionInfo
    counts: TaskCounts
    unknown: int
    reason: Reason

    @property
    def total(self) -> int:
        """How many ends."""
        return self.counts.terminal + self.unknown


def missed_ends(record: SessionRecord, reason: Reason) -> MissedEnds | None:
    """Return what was missed of a session that is gone; None if every end was delivered.

    A session is evicted or deleted only when it is closed and all its tasks have ended, so the
    tasks that were unfinished when it was last seen count as well. With lost storage they are
    gone without an end.
    """
    info = record.info
    if info is None:
        return None
    known, shown = record.counts, info.counts
    missed = TaskCounts(
        succeed=max(0, shown.succeed - known.succeed),
        failed=max(0, shown.failed - known.failed),
        cancelled=max(0, shown.cancelled - known.cancelled),
    )
    unknown = 0
    if reason is not Reason.LOST and info.state == SessionState.CLOSED:
        made = max(shown.total, known.total)
        unknown = max(0, made - known.terminal - missed.terminal)
    if not missed.terminal and not unknown:
        return None
    return MissedEnds(session=info, counts=missed, unknown=unknown, reason=reason)
