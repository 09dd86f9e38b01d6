"""``RuleBook``: which rules are armed for which task or session, and which are broken. Pure.

Its owner gives it every event in the informer's scope, in order, and the time; it says when to ask
for what is overdue. A rule is broken once for each task or session, until it holds again; so it is
over restarts, for what a checkpoint remembers of it.

Durations are of monotonic time. What existed before it was first seen - an event that is flagged
``initial``, or the first after a restart - has its age from the engine's creation time and the
wall clock: the one place where the two are compared, and only for where a duration starts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from flamepy.informers.expect import Expected, Rule
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.types import SessionInfo, SessionState, Task, TaskState
from flamepy.watching.state.events import (
    EventKind,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

COMPACT_AT = 1_000  # outdated entries of the heap, at least, before it is made anew


@dataclass(slots=True, eq=False)
class _Armed:
    """One rule for one task or session."""

    since: float
    due: float
    event: TaskEvent | SessionEvent
    mark: int = 0  # what has to change for the time to begin again
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """The time: monotonic seconds, and seconds since the epoch."""

    monotonic: float
    wall: float


_Key = tuple[int, str, str]  # number of the rule, session id, task id or ""


class RuleBook:
    """The rules of one informer.

    Args:
        rules: the rules.
        remembered: stored keys of what was reported by an earlier process.
        forget: called with the stored key of a rule that holds again. That one was broken is for
            the owner to store, once it was delivered.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        remembered: Iterable[str] = (),
        forget: Callable[[str], None] = lambda key: None,
    ) -> None:
        self._rules = tuple(rules)
        self._remembered = set(remembered)
        self._forget = forget
        self._armed: dict[_Key, _Armed] = {}
        self._of_session: dict[str, set[_Key]] = {}
        self._sessions: dict[str, SessionInfo] = {}
        self._heap: list[tuple[float, int, _Key]] = []
        self._entries = 0

    @property
    def armed(self) -> int:
        """How many rules are armed."""
        return len(self._armed)

    def observe(self, event: TaskEvent | SessionEvent, now: Now) -> None:
        """Arm and clear rules by an event."""
        if isinstance(event, TaskEvent):
            self._task(event, now)
        else:
            self._session(event, now)

    def next_due(self) -> float | None:
        """Return the monotonic second at which ``overdue`` may have something; None for never."""
        while self._heap and not self._valid(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def overdue(self, now: Now) -> Iterator[OverdueEvent]:
        """Yield what is overdue by now, the longest overdue first, each once."""
        while (due := self.next_due()) is not None and due <= now.monotonic:
            _, _, key = heapq.heappop(self._heap)
            armed = self._armed[key]
            armed.reported = True
            rule = self._rules[key[0]]
            stored = _stored(rule, armed.event)
            if stored in self._remembered:
                continue
            self._remembered.add(stored)
            yield self._event(rule, armed, stored, now)

    def _event(self, rule: Rule, armed: _Armed, stored: str, now: Now) -> OverdueEvent:
        event = armed.event
        session_id = event.session_id
        return OverdueEvent(
            rule=rule,
            application=event.application,
            session_id=session_id,
            task=event.task if isinstance(event, TaskEvent) else None,
            session=self._sessions.get(session_id, event.session),
            age=now.monotonic - armed.since,
            key=stored,
        )

    # ------------------------------------------------------------------ tasks

    def _task(self, event: TaskEvent, now: Now) -> None:
        task, gone = event.task, event.kind is EventKind.DELETED
        for number, rule in enumerate(self._rules):
            if not rule.expected.of_tasks:
                continue
            key = number, task.session_id, task.id
            if gone or not _waits(rule.expected, task.state):
                self._clear(key, event)
                continue
            armed = self._armed.get(key)
            if armed is not None:
                armed.event = event
            elif self._concerns(rule, event.application, task):
                since = now.monotonic - _age(rule.expected, event, now)
                self._arm(key, rule, event, since)

    def _concerns(self, rule: Rule, application: str, item: Task | SessionInfo) -> bool:
        if rule.application not in (None, application):
            return False
        return rule.where is None or bool(rule.where(item))

    # ------------------------------------------------------------------ sessions

    def _session(self, event: SessionEvent, now: Now) -> None:
        session = event.session
        if event.kind is SessionEventKind.DELETED:
            self._sessions.pop(session.id, None)
            for key in list(self._of_session.get(session.id, ())):
                self._clear(key, event)
            return
        self._sessions[session.id] = session
        for number, rule in enumerate(self._rules):
            if rule.expected.of_tasks:
                continue
            key = number, session.id, ""
            if not _is_expected(rule.expected, session):
                self._clear(key, event)
                continue
            mark = _mark(rule.expected, session)
            armed = self._armed.get(key)
            if armed is not None and armed.mark == mark:
                armed.event = event
            elif armed is not None or self._concerns(rule, event.application, session):
                first = armed is None and event.initial and rule.expected is not Expected.PROGRESS
                age = _since_creation(session.creation_time, now) if first else 0.0
                if armed is not None:
                    self._clear(key, event)
                self._arm(key, rule, event, now.monotonic - age, mark)

    # ------------------------------------------------------------------ arming

    def _arm(
        self, key: _Key, rule: Rule, event: TaskEvent | SessionEvent, since: float, mark: int = 0
    ) -> None:
        armed = self._armed[key] = _Armed(since, since + rule.within, event, mark)
        self._of_session.setdefault(key[1], set()).add(key)
        self._entries += 1
        heapq.heappush(self._heap, (armed.due, self._entries, key))
        if len(self._heap) > 2 * len(self._armed) + COMPACT_AT:
            self._heap = [one for one in self._heap if self._valid(one)]
            heapq.heapify(self._heap)

    def _clear(self, key: _Key, event: TaskEvent | SessionEvent) -> None:
        armed = self._armed.pop(key, None)
        if armed is not None:
            keys = self._of_session[key[1]]
            keys.discard(key)
            if not keys:
                del self._of_session[key[1]]
            event = armed.event
        stored = _stored(self._rules[key[0]], event)
        if stored in self._remembered:
            self._remembered.discard(stored)
            self._forget(stored)

    def _valid(self, entry: tuple[float, int, _Key]) -> bool:
        armed = self._armed.get(entry[2])
        return armed is not None and armed.due == entry[0] and not armed.reported


def _waits(expected: Expected, state: TaskState) -> bool:
    if expected is Expected.START:
        return state == TaskState.PENDING
    if expected is Expected.RUN:
        return state == TaskState.RUNNING
    return not state.is_terminal


def _is_expected(expected: Expected, session: SessionInfo) -> bool:
    if expected is Expected.TASKS:
        return session.state is SessionState.OPEN
    return session.counts.pending + session.counts.running > 0


def _mark(expected: Expected, session: SessionInfo) -> int:
    if expected is Expected.PROGRESS:
        return session.counts.terminal
    return session.counts.total if expected is Expected.TASKS else 0


def _age(expected: Expected, event: TaskEvent, now: Now) -> float:
    """Return for how many seconds a task has been in what a rule waits to end."""
    if event.is_requeue and expected is Expected.START:
        return 0.0
    if expected is Expected.RUN:
        started = [
            one.creation_time for one in event.task.events if one.code == int(TaskState.RUNNING)
        ]
        moment = started[-1] if started and event.initial else None
        return 0.0 if moment is None else _since_creation(moment, now)
    return _since_creation(event.task.creation_time, now) if event.initial else 0.0


def _since_creation(moment: datetime, now: Now) -> float:
    return max(0.0, now.wall - moment.timestamp())


def _stored(rule: Rule, event: TaskEvent | SessionEvent) -> str:
    if isinstance(event, TaskEvent):
        subject, made = f"{event.session_id}/{event.task.id}", event.task.creation_time
    else:
        subject, made = event.session_id, event.session.creation_time
    return f"{subject}@{int(made.timestamp() * 1000)}/overdue:{rule.name}"
