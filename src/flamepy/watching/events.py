"""What the hub tells its subscribers: frozen events of tasks and sessions.

An event says what changed (``old`` to ``task``) and how it was learned (``source``, ``epoch``,
``sequence``, ``observed_at``). Events are made by ``store`` only, handed on by ``hub``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flamepy.types import SessionInfo, Task, TaskState


class EventKind(str, enum.Enum):
    """What happened to the object."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"


class EventSource(str, enum.Enum):
    """Which answer of the engine showed it."""

    CREATE = "create"
    WATCH = "watch"
    PROBE = "probe"
    LIST = "list"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which an observation was true: request sent, reply received (loop seconds)."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One observed change of one task.

    The engine coalesces, so what is seen is an ordered subsequence of the true states; a
    terminal state comes once per incarnation of a task (docs/protocol.md#watch).

    Attributes:
        kind: ADDED the first time a task is seen, UPDATED for a later state, DELETED when the
            engine no longer knows it.
        task: the state now (for DELETED the last known one). Payloads are left out unless
            ``task.payloads_loaded``. A failed task carries its events: ``task.error``.
        old: the state delivered before, None for ADDED.
        application: name of the session's application; "" while it is not known.
        source: which answer showed it; REPLAY for the present state given to a newcomer.
        endpoint: the engine.
        epoch: raised when the session was replaced by another of the same id.
        sequence: grows with each event of one link.
        initial: True for what was there before the informer was registered; each informer
            gets its own answer.
        coalesced: how many intermediate changes were folded into this one by a full queue.
        final_state_known: for DELETED: True if the task had ended before it vanished.
        observed_at: monotonic seconds of the observation.
    """

    kind: EventKind
    task: Task
    old: Task | None = None
    application: str = ""
    source: EventSource = EventSource.LIST
    endpoint: str = ""
    epoch: int = 0
    sequence: int = 0
    initial: bool = False
    coalesced: int = 0
    final_state_known: bool = True
    observed_at: float = 0.0

    @property
    def is_requeue(self) -> bool:
        """True when the engine put a running task back into the queue (restart, lost node)."""
        return (
            self.old is not None
            and self.old.state == TaskState.RUNNING
            and self.task.state == TaskState.PENDING
        )

    @property
    def key(self) -> str:
        """A text that is the same whenever this state of this task is delivered again."""
        made = int(self.task.creation_time.timestamp() * 1000)
        kind = "deleted" if self.kind is EventKind.DELETED else self.task.state.name.lower()
        return f"{self.task.session_id}/{self.task.id}@{made}/{kind}"


class SessionEventKind(str, enum.Enum):
    """What happened to a session."""

    OPENED = "opened"
    PROGRESS = "progress"
    CLOSED = "closed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """One observed change of one session; ``old`` is None when it was first seen."""

    kind: SessionEventKind
    session: SessionInfo
    old: SessionInfo | None = None
    endpoint: str = ""
    epoch: int = 0
    sequence: int = 0
    initial: bool = False
    observed_at: float = 0.0
