"""What the hub delivers to its subscribers: frozen events of tasks and sessions.

An event says what changed (``old`` to ``task``) and how it was learned (``source``, ``epoch``,
``sequence``, ``observed_at``). ``store`` alone makes events, ``subscriptions`` delivers them; what
a queue changes before a callback gets them (``initial``, ``coalesced``) belongs to ``informers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from flamepy.enums import TextEnum
from flamepy.runtime.clocks import monotonic
from flamepy.types import Event, SessionInfo, Task, TaskCounts, TaskState
from flamepy.watching.state import event_dicts
from flamepy.watching.state.memo import MemoHolder, make_once

SCHEMA_VERSION = 1


class EventKind(TextEnum):
    """The kind of a task's event: first seen, changed, or gone."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"


class EventSource(TextEnum):
    """Which reply of the engine showed a state.

    Attributes:
        CREATE: of CreateTask, made by this process.
        WATCH: a message of a WatchTask stream.
        PROBE: of GetTask.
        LIST: of ListTask, because a session's counters changed.
        AUDIT: of the periodic ListTask that finds what counters hide.
        POLL: of ListSession.
        REPLAY: none: the state was known before, or comes from a checkpoint.
    """

    CREATE = "create"
    WATCH = "watch"
    PROBE = "probe"
    LIST = "list"
    AUDIT = "audit"
    POLL = "poll"
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
    terminal state comes once per incarnation of a task (docs/delivery.md).

    Attributes:
        kind: ADDED the first time a task is seen, UPDATED for a later state, DELETED when the
            engine no longer knows it.
        task: the state now (for DELETED the last known one). Payloads are left out unless
            ``task.payloads_loaded``. A failed task carries its events: ``task.error``.
        old: the state delivered before, None for ADDED.
        application: name of the session's application; "" while it is not known.
        source: which reply showed it; REPLAY for the present state at a subscription.
        endpoint: the engine.
        epoch: raised when the session was replaced by another of the same id.
        sequence: grows with each event of one link.
        initial: True for the state before the informer was registered; each informer
            gets its own answer.
        inferred: True for a state that was not observed, but must have been between two that were;
            only with ``transitions="complete"`` of ``Reactor.register``.
        coalesced: the number of intermediate changes that a full queue merged into this one.
        final_state_known: for DELETED: True if the task had ended before it vanished.
        observed_at: monotonic seconds of the observation.
        session_creation_time: the session's; another one is another session of the same id.
        session: the session as the last poll showed it, counters included; None where no poll has
            shown it, and for what a checkpoint remembers of a session that is gone.
        memo_holder: what has the ``memo``: the store's record. No part of equality or pickles.
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
    inferred: bool = False
    coalesced: int = 0
    final_state_known: bool = True
    observed_at: float = 0.0
    session_creation_time: datetime | None = None
    session: SessionInfo | None = None
    memo_holder: MemoHolder | None = field(default=None, repr=False, compare=False)

    @property
    def memo(self) -> dict[Any, Any]:  # Any: whatever handlers keep
        """A dictionary for handlers' own use, which lives as long as the task is known.

        All events of one incarnation of a task have the same one, for every informer, stream and
        receiver of a connection; the delete of the task still has it. It is empty in a new process
        and in copies. Handlers of different informers run at the same time: single operations such
        as ``setdefault`` and ``pop`` are atomic, for several in a row use a lock of your own. An
        event that was not made by a connection has one of its own.
        """
        return _memo(self)

    @property
    def session_id(self) -> str:
        """Id of the task's session."""
        return self.task.session_id

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
        kind = "deleted" if self.kind is EventKind.DELETED else self.task.state.name.lower()
        return f"{self.task.session_id}/{self.task.id}@{_millis(self.task.creation_time)}/{kind}"

    @property
    def lag(self) -> float:
        """Seconds since the observation, never negative; read in a callback: how late it is."""
        return max(0.0, monotonic() - self.observed_at)

    def to_dict(self) -> dict[str, Any]:  # Any: whatever JSON takes
        """Return the event as JSON takes it, without payloads; ``schema`` says which form."""
        return {
            **_provenance(self, "task"),
            "session": self.task.session_id,
            "task": self.task.id,
            "state": self.task.state.name.lower(),
            "old_state": None if self.old is None else self.old.state.name.lower(),
            "error": self.task.error,
            "inferred": self.inferred,
            "final_state_known": self.final_state_known,
            "creation_time": _text(self.task.creation_time),
            "completion_time": _text(self.task.completion_time),
            "session_creation_time": _text(self.session_creation_time),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> TaskEvent:  # Any: what JSON gives
        """Return the event that ``to_dict`` wrote, without what it leaves out.

        Raises:
            InvalidArgumentError: it is not such a dictionary.
        """
        form = event_dicts.check_form(given, "task", SCHEMA_VERSION)
        task = event_dicts.task_of(form)
        return cls(
            kind=event_dicts.kind_of(EventKind, form, "kind"),
            task=task,
            old=event_dicts.old_task_of(form, task),
            source=event_dicts.kind_of(EventSource, form, "source"),
            session_creation_time=event_dicts.time_of(form, "session_creation_time"),
            inferred=bool(form.get("inferred", False)),
            **event_dicts.provenance_of(form),
        )


class SessionEventKind(TextEnum):
    """The kind of a session's event."""

    OPENED = "opened"
    PROGRESS = "progress"
    DRAINED = "drained"
    CLOSED = "closed"
    DELETED = "deleted"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """One observed change of one session.

    Attributes:
        kind: OPENED when it is first seen, PROGRESS when its counters moved, DRAINED when all
            its tasks have ended (a session may un-drain), CLOSED, DELETED when the engine no
            longer knows it, EVENT for something that the engine recorded (``event``).
        session: the session now (for DELETED as last seen).
        old: as it was delivered before; None for OPENED.
        event: for EVENT: code 1001 (a bind failed) or 1002 (the retry limit), and its text.
        source: POLL, or REPLAY for the present state at a subscription.
        endpoint, epoch, sequence, initial, coalesced, observed_at: as of ``TaskEvent``.
        final_state_known: for DELETED: True if it was closed before it vanished.
        memo_holder: as of ``TaskEvent``.
    """

    kind: SessionEventKind
    session: SessionInfo
    old: SessionInfo | None = None
    event: Event | None = None
    source: EventSource = EventSource.POLL
    endpoint: str = ""
    epoch: int = 0
    sequence: int = 0
    initial: bool = False
    coalesced: int = 0
    final_state_known: bool = True
    observed_at: float = 0.0
    memo_holder: MemoHolder | None = field(default=None, repr=False, compare=False)

    @property
    def memo(self) -> dict[Any, Any]:  # Any: whatever handlers keep
        """A dictionary for handlers' own use, as of ``TaskEvent``: one of each session."""
        return _memo(self)

    @property
    def session_id(self) -> str:
        """Id of the session."""
        return self.session.id

    @property
    def application(self) -> str:
        """Name of the session's application."""
        return self.session.application

    @property
    def counts(self) -> TaskCounts:
        """The session's counters."""
        return self.session.counts

    @property
    def key(self) -> str:
        """A text that is the same whenever this state of this session is delivered again."""
        text = f"{self.session.id}@{_millis(self.session.creation_time)}/{self.kind.value}"
        if self.event is not None:
            made = self.event.creation_time
            return f"{text}/{self.event.code:d}@{_millis(made) if made else 0}"
        if self.kind in (SessionEventKind.PROGRESS, SessionEventKind.DRAINED):
            now = self.counts
            numbers = (now.pending, now.running, now.succeed, now.failed, now.cancelled)
            return f"{text}/{'-'.join(map(str, numbers))}"
        return text

    @property
    def lag(self) -> float:
        """Seconds since the observation, never negative; read in a callback: how late it is."""
        return max(0.0, monotonic() - self.observed_at)

    def to_dict(self) -> dict[str, Any]:  # Any: whatever JSON takes
        """Return the event as JSON takes it, without common data; ``schema`` says which form."""
        return {
            **_provenance(self, "session"),
            "session": self.session.id,
            "state": self.session.state.name.lower(),
            "counts": event_dicts.counts_in(self.counts),
            "event": None
            if self.event is None
            else {
                "code": int(self.event.code),
                "message": self.event.message,
                "creation_time": _text(self.event.creation_time),
            },
            "final_state_known": self.final_state_known,
            "creation_time": _text(self.session.creation_time),
            "completion_time": _text(self.session.completion_time),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> SessionEvent:  # Any: what JSON gives
        """Return the event that ``to_dict`` wrote, without what it leaves out.

        Raises:
            InvalidArgumentError: it is not such a dictionary.
        """
        form = event_dicts.check_form(given, "session", SCHEMA_VERSION)
        provenance = event_dicts.provenance_of(form)
        del provenance["application"]
        return cls(
            kind=event_dicts.kind_of(SessionEventKind, form, "kind"),
            session=event_dicts.session_of(form),
            event=event_dicts.recorded_of(form),
            source=event_dicts.kind_of(EventSource, form, "source"),
            **provenance,
        )


def _memo(event: TaskEvent | SessionEvent) -> dict[Any, Any]:  # Any: whatever handlers keep
    holder = event.memo_holder
    if holder is None:
        holder = make_once(event, "memo_holder", MemoHolder)
    return holder.memo


def _provenance(event: TaskEvent | SessionEvent, kind: str) -> dict[str, Any]:
    lag = event.lag
    return {
        "schema": SCHEMA_VERSION,
        "type": kind,
        "kind": event.kind.value,
        "key": event.key,
        "application": event.application,
        "source": event.source.value,
        "endpoint": event.endpoint,
        "epoch": event.epoch,
        "sequence": event.sequence,
        "initial": event.initial,
        "coalesced": event.coalesced,
        "observed_at": _text(datetime.now(timezone.utc) - timedelta(seconds=lag)),
        "lag": lag,
    }


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
