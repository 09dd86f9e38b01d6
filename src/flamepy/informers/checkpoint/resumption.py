"""Decide what an informer receives after a restart of its process: what changed meanwhile. Pure.

``Past`` is the stored past of one informer; ``Resumption`` compares it with the first
observation of each task and session, and with the present state once everything was seen.
``delivered`` calls it on the informer's thread; ``tables`` reads and writes the past.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from flamepy.types import SessionInfo, SessionState, Task, TaskCounts, TaskState
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)
from flamepy.watching.state.missed import MissedEnds, Reason
from flamepy.watching.state.subscriptions import Scope

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

SessionKey = tuple[str, int]  # session id, its creation time
Number = tuple[str, int]  # session id, task number


def micros(moment: datetime | None) -> int:
    """Return a time as whole microseconds since the epoch; 0 where it is not known."""
    return 0 if moment is None else (moment - _EPOCH) // _MICROSECOND


def session_key(event: TaskEvent) -> SessionKey:
    """Return which session a task's event belongs to."""
    return event.task.session_id, micros(event.session_creation_time)


class Ranges:
    """A set of task numbers; ids are dense, so a few ranges hold many."""

    def __init__(self, text: str = "") -> None:
        pairs = [part.partition("-") for part in text.split(",") if part]
        self._starts = [int(first) for first, _, _ in pairs]
        self._ends = [int(last or first) for first, _, last in pairs]

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def __str__(self) -> str:
        pairs = zip(self._starts, self._ends, strict=True)
        return ",".join(str(one) if one == last else f"{one}-{last}" for one, last in pairs)

    def __len__(self) -> int:
        pairs = zip(self._starts, self._ends, strict=True)
        return sum(last - first + 1 for first, last in pairs)

    def add(self, number: int) -> None:
        """Add a number."""
        if number in self:
            return
        at = bisect_right(self._starts, number)
        before = at > 0 and self._ends[at - 1] == number - 1
        after = at < len(self._starts) and self._starts[at] == number + 1
        if before and after:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif before:
            self._ends[at - 1] = number
        elif after:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number)


class DeliveredTask(NamedTuple):
    """The last delivered state of a task, with its creation time."""

    created: int
    state: TaskState

    def task(self, session_id: str, number: int) -> Task:
        """Return the task with the fields that are stored."""
        created = _EPOCH + timedelta(microseconds=self.created)
        return Task(str(number), session_id, self.state, created, payloads_loaded=False)


@dataclass(frozen=True, slots=True)
class DeliveredSession:
    """The last delivered state of a session, for informers of sessions."""

    counts: TaskCounts = field(default_factory=TaskCounts)
    closed: bool = False
    drained: TaskCounts | None = None
    events: tuple[tuple[int, int], ...] = ()  # code and time of each that the engine recorded

    def after(self, event: SessionEvent) -> DeliveredSession:
        """Return what to store once an event was delivered."""
        kind, counts = event.kind, event.session.counts
        if kind is SessionEventKind.EVENT:
            return replace(self, events=(*self.events, _recorded(event)))
        if kind is SessionEventKind.DRAINED:
            return replace(self, counts=counts, drained=counts)
        if kind is SessionEventKind.CLOSED:
            return replace(self, counts=counts, closed=True)
        return replace(self, counts=counts)


class Shown(NamedTuple):
    """The counters that a session showed last, and whether it was closed then."""

    counts: TaskCounts
    closed: bool


def _recorded(event: SessionEvent) -> tuple[int, int]:
    return (event.event.code, micros(event.event.creation_time)) if event.event else (0, 0)


@dataclass(slots=True, eq=False)
class PastSession:
    """One session of a ``Past``.

    Attributes:
        tasks: the last delivered state of each, without those in ``retired``.
        retired: numbers of tasks that had ended and are no longer kept one by one.
        delivered: the last delivered state of the session itself; None if nothing was delivered.
        shown: its counters when it was last looked at; None once what was missed is counted.
    """

    application: str = ""
    tasks: dict[int, DeliveredTask] = field(default_factory=dict)
    retired: Ranges = field(default_factory=Ranges)
    delivered: DeliveredSession | None = None
    shown: Shown | None = None

    def missed(self, key: SessionKey) -> MissedEnds | None:
        """Return the undelivered ends of a session that is gone; None if there are no such ends.

        How the tasks ended is known only for those whose delivered state is stored.
        """
        if self.shown is None:
            return None
        counts, closed = self.shown
        states = Counter(one.state for one in self.tasks.values())
        left = TaskCounts(
            succeed=max(0, counts.succeed - states[TaskState.SUCCEED]),
            failed=max(0, counts.failed - states[TaskState.FAILED]),
            cancelled=max(0, counts.cancelled - states[TaskState.CANCELLED]),
        )
        ended = sum(states[one] for one in states if one.is_terminal) + len(self.retired)
        total = max(0, (counts.total if closed else counts.terminal) - ended)
        if not total:
            return None
        if self.retired or left.terminal > total:
            left = TaskCounts()
        state = SessionState.CLOSED if closed else SessionState.OPEN
        created = _EPOCH + timedelta(microseconds=key[1])
        session = SessionInfo(key[0], self.application, state, created, counts)
        unknown = total - left.terminal
        return MissedEnds(session=session, counts=left, unknown=unknown, reason=Reason.AWAY)

    def info(self, key: SessionKey) -> SessionInfo:
        """Return the session with the fields that are stored."""
        delivered = self.delivered or DeliveredSession()
        state = SessionState.CLOSED if delivered.closed else SessionState.OPEN
        created = _EPOCH + timedelta(microseconds=key[1])
        return SessionInfo(key[0], self.application, state, created, delivered.counts)


@dataclass(slots=True, eq=False)
class Past:
    """What was delivered to an informer before its process began.

    Attributes:
        complete: True once its whole scope was delivered: unknown tasks are new then.
        missed: ends that could not be delivered, of all its processes.
        overdue: the stored keys of rules that were reported as broken.
        paused: why the informer is paused; None if it is not.
    """

    complete: bool = False
    sessions: dict[SessionKey, PastSession] = field(default_factory=dict)
    missed: int = 0
    overdue: set[str] = field(default_factory=set)
    paused: str | None = None

    def unfinished(self) -> frozenset[Number]:
        """Return the tasks that had not ended."""
        return frozenset(
            (session_id, number)
            for (session_id, _), session in self.sessions.items()
            for number, delivered in session.tasks.items()
            if not delivered.state.is_terminal
        )


@dataclass(frozen=True, slots=True)
class Presence:
    """What the store has when an informer is synced.

    Attributes:
        sessions: the creation time of each in the scope, by its id.
        ended: how tasks ended that the store no longer keeps, of those that were asked for.
    """

    sessions: dict[str, int] = field(default_factory=dict)
    ended: dict[Number, TaskState] = field(default_factory=dict)


class Step(NamedTuple):
    """An event to store, and whether to deliver it before."""

    event: TaskEvent | SessionEvent
    tell: bool


class Resumption:
    """Compares events with the stored past of one informer; used on the informer's thread.

    Args:
        past: what is stored; consumed.
        replay: of the registration: which part of the present state it receives at first.
        scope: of the registration; what is remembered of other sessions is forgotten.
        endpoint: for the events that are made here.
    """

    def __init__(self, past: Past, replay: str, scope: Scope, endpoint: str = "") -> None:
        self._complete = past.complete
        self._sessions = past.sessions
        self._replay = replay
        self._scope = scope
        self.endpoint = endpoint
        self._ids: dict[str, set[int]] = {}
        for session_id, born in past.sessions:
            self._ids.setdefault(session_id, set()).add(born)
        self._final: set[tuple[SessionKey, int]] = set()  # ended, whatever the engine shows now

    # ------------------------------------------------------------------ tasks

    def task(self, event: TaskEvent) -> list[Step]:
        """Return what to deliver for a task's event: nothing, itself, or what it means now."""
        key, number = session_key(event), int(event.task.id)
        if event.kind is not EventKind.ADDED:
            if not self._final or (key, number) not in self._final:
                self._forget(key, number, event)
                return [Step(event, True)]
            if event.kind is EventKind.UPDATED:
                return []
            self._final.discard((key, number))
            return [Step(event, True)]
        steps = self._earlier(key)
        session = self._sessions.get(key)
        if session is not None and number in session.retired:
            if not event.task.state.is_terminal:
                self._final.add((key, number))
            return steps
        delivered = session.tasks.pop(number, None) if session is not None else None
        if delivered is None or session is None:
            return [*steps, self._new(event)]
        if delivered.created != micros(event.task.creation_time):
            gone = self._deleted(key, session, number, delivered)
            return [*steps, Step(gone, True), self._new(event)]
        if delivered.state == event.task.state:
            return steps
        if delivered.state.is_terminal:
            self._final.add((key, number))
            return steps
        old = delivered.task(key[0], number)
        changed = replace(event, kind=EventKind.UPDATED, old=old, initial=False)
        return [*steps, Step(changed, True)]

    def _forget(self, key: SessionKey, number: int, event: TaskEvent) -> None:
        session = self._sessions.get(key) if event.kind is EventKind.DELETED else None
        if session is not None:
            session.tasks.pop(number, None)

    def _new(self, event: TaskEvent | SessionEvent) -> Step:
        if self._complete:
            return Step(replace(event, initial=False) if event.initial else event, True)
        if not event.initial or self._replay == "all":
            return Step(event, True)
        if isinstance(event, SessionEvent):
            return Step(event, self._replay != "none")
        return Step(event, self._replay == "active" and not event.task.state.is_terminal)

    def _earlier(self, key: SessionKey) -> list[Step]:
        """Return the deletes of what was in an earlier session of the same id."""
        if key[0] not in self._ids:
            return []
        others = [(key[0], born) for born in self._ids[key[0]] if born != key[1]]
        return [Step(event, True) for other in others for event in self._all_gone(other)]

    def _all_gone(self, key: SessionKey) -> Iterator[TaskEvent]:
        session = self._sessions[key]
        while session.tasks:
            number = next(iter(session.tasks))
            yield self._deleted(key, session, number, session.tasks.pop(number))

    def _deleted(
        self, key: SessionKey, session: PastSession, number: int, delivered: DeliveredTask
    ) -> TaskEvent:
        task = delivered.task(key[0], number)
        return TaskEvent(
            kind=EventKind.DELETED,
            task=task,
            old=task,
            application=session.application,
            source=EventSource.REPLAY,
            endpoint=self.endpoint,
            final_state_known=delivered.state.is_terminal,
            session_creation_time=_EPOCH + timedelta(microseconds=key[1]),
        )

    # ------------------------------------------------------------------ sessions

    def session(self, event: SessionEvent) -> list[Step]:
        """Return what to deliver for a session's event: nothing, itself, or what it means now."""
        key = event.session.id, micros(event.session.creation_time)
        past = self._sessions.get(key)
        delivered = past.delivered if past is not None else None
        if event.kind is SessionEventKind.OPENED:
            return self._opened(key, event, past)
        if past is None or delivered is None:
            return [self._new(event)]
        if event.kind is SessionEventKind.DELETED:
            past.delivered = None
        elif event.kind is SessionEventKind.CLOSED:
            if delivered.closed:
                return []
        elif event.kind is SessionEventKind.DRAINED:
            if delivered.drained == event.session.counts:
                return []
        elif event.kind is SessionEventKind.EVENT and _recorded(event) in delivered.events:
            left = list(delivered.events)
            left.remove(_recorded(event))
            past.delivered = replace(delivered, events=tuple(left))
            return []
        return [Step(replace(event, initial=False), True)]

    def _opened(self, key: SessionKey, event: SessionEvent, past: PastSession | None) -> list[Step]:
        steps = [
            Step(self._session_gone((key[0], born)), True)
            for born in self._ids.get(key[0], ())
            if born != key[1] and self._sessions[key[0], born].delivered is not None
        ]
        if past is None or past.delivered is None:
            return [*steps, self._new(event)]
        if past.delivered.counts == event.session.counts:
            return steps
        kind, old = SessionEventKind.PROGRESS, past.info(key)
        return [*steps, Step(replace(event, kind=kind, old=old, initial=False), True)]

    def _session_gone(self, key: SessionKey) -> SessionEvent:
        past = self._sessions[key]
        info, past.delivered = past.info(key), None
        return SessionEvent(
            kind=SessionEventKind.DELETED,
            session=info,
            old=info,
            source=EventSource.REPLAY,
            endpoint=self.endpoint,
            final_state_known=info.state == SessionState.CLOSED,
        )

    # ------------------------------------------------------------------ after the whole state

    def missed(self, present: Presence) -> list[tuple[SessionKey, MissedEnds]]:
        """Return the ends that an earlier process saw and that can no longer be delivered; once."""
        found = []
        for key, session in self._sessions.items():
            covered = self._scope.covers(key[0], session.application)
            if covered and present.sessions.get(key[0]) != key[1]:
                missed, session.shown = session.missed(key), None
                if missed is not None:
                    found.append((key, missed))
        return found

    def counted(self, key: SessionKey) -> None:
        """Record that the missed ends of a session are counted: ``missed`` returns them no more."""
        session = self._sessions.get(key)
        if session is not None:
            session.shown = None

    def missing(self, present: Presence) -> Iterator[TaskEvent | SessionEvent]:
        """Yield the events of stored tasks and sessions that were not seen again."""
        for key, session in self._sessions.items():
            if not self._scope.covers(key[0], session.application):
                continue
            if present.sessions.get(key[0]) != key[1]:
                yield from self._all_gone(key)
                if session.delivered is not None:
                    yield self._session_gone(key)
                continue
            open_ones = [one for one in session.tasks if not session.tasks[one].state.is_terminal]
            for number in open_ones:
                delivered = session.tasks.pop(number)
                yield self._unseen(key, session, number, delivered, present)

    def _unseen(
        self,
        key: SessionKey,
        session: PastSession,
        number: int,
        delivered: DeliveredTask,
        present: Presence,
    ) -> TaskEvent:
        gone = self._deleted(key, session, number, delivered)
        state = present.ended.get((key[0], number))
        if state is None:
            return gone
        task = replace(gone.task, state=state)
        return replace(gone, kind=EventKind.UPDATED, task=task, final_state_known=True)

    def finish(self, present: Presence) -> list[SessionKey]:
        """Drop the past except final states; return the sessions that are gone."""
        gone = [
            key
            for key, session in self._sessions.items()
            if present.sessions.get(key[0]) != key[1]
            or not self._scope.covers(key[0], session.application)
        ]
        for key in gone:
            del self._sessions[key]
            self._ids[key[0]].discard(key[1])
        for session in self._sessions.values():
            session.tasks.clear()
        return gone
