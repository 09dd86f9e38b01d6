"""The outcome of an observation: what ``store`` answers. Pure data."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from flamepy.types import TaskState
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.missed import MissedEnds


class Verdict(enum.Enum):
    """What an observation of a task amounted to."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STALE = "stale"
    NEEDS_TEXT = "needs text"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Observation:
    """The verdict on one observation of a task.

    Attributes:
        verdict: what it amounted to.
        events: what it caused, in order.
        drift: for DRIFT: the task as the engine shows it now; it is not part of the story.
        delivered: for DRIFT: the delivered end.
    """

    verdict: Verdict
    events: tuple[TaskEvent, ...] = ()
    drift: TaskEvent | None = None
    delivered: TaskState | None = None


@dataclass(slots=True)
class Outcome:
    """What an observation of a session changed, in the order of delivery.

    Attributes:
        reset: the new epoch if the session was reset.
        tasks: deletes, and ends that were held back.
        sessions: what happened to the session.
        missed: ends that were not read before the session was gone.
    """

    session_id: str
    application: str = ""
    reset: int | None = None
    tasks: list[TaskEvent] = field(default_factory=list)
    sessions: list[SessionEvent] = field(default_factory=list)
    missed: MissedEnds | None = None
