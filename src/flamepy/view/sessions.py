"""Sessions and applications as the model keeps them, by the counters that polls show. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flamepy.informers.queries.applications import ApplicationTotals, Totals
from flamepy.types import SessionInfo, SessionState, TaskCounts
from flamepy.view.reasons import Reason, Situation, reason_of
from flamepy.view.recent import Rate, eta
from flamepy.view.rows import ApplicationRow, Page, SessionRow
from flamepy.view.session_query import SessionQuery, part_of
from flamepy.watching.state.events import SessionEvent, SessionEventKind

Grown = tuple[int, int, int, int]  # created, succeeded, failed, cancelled


@dataclass(slots=True)
class KeptSession:
    """One session.

    Attributes:
        info: as last shown.
        epoch: which incarnation of its id.
        moved_at: when its counters moved last, or when it was seen first.
        most: the greatest number of tasks that its counters added up to; a task on its way to an
            executor is in none of them for a moment.
        failures: tasks that were seen to fail.
        overdue: names of rules that it broke, by the key of the breach.
    """

    info: SessionInfo
    epoch: int
    moved_at: float
    most: int
    ended: Rate = field(default_factory=Rate)
    failures: int = 0
    overdue: dict[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it takes tasks."""
        return self.info.state is SessionState.OPEN


class Sessions:
    """The sessions that the engine has, with sums by application and over all."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, KeptSession] = OrderedDict()  # what moved last is last
        self._totals = Totals()
        self._applications: dict[str, ApplicationTotals] = {}
        self._rates: dict[str, Rate] = {}
        self._ended: dict[str, int] = {}  # tasks seen to end, by application; never less
        self.failures: dict[str, int] = {}
        self.counts = TaskCounts()
        self.open = self.closed = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[KeptSession]:
        return iter(self._known.values())

    def get(self, session_id: str) -> KeptSession | None:
        """Return one; None if it is not known."""
        return self._known.get(session_id)

    def application_of(self, session_id: str) -> str:
        """Return the name of a session's application; "" if the session is not known."""
        known = self._known.get(session_id)
        return "" if known is None else known.info.application

    # ------------------------------------------------------------------ events

    def observe(self, event: SessionEvent, at: float) -> Grown | None:
        """Record an event; return how many tasks it shows as new and as ended, if any."""
        self.version += 1
        self._sum(event)
        info = event.session
        if event.kind is SessionEventKind.DELETED:
            self._known.pop(info.id, None)
            self._forget_application(info.application)
            return None
        known = self._known.get(info.id)
        fresh = known is None or known.epoch != event.epoch
        if known is None or fresh:
            known = KeptSession(info, event.epoch, _first_moved(info, event, at), 0)
            self._known[info.id] = known
            if event.initial:
                known.most = info.counts.total
                self._count(known, at, 0)
                return None
        old = TaskCounts() if fresh else known.info.counts
        return self._move(known, info, old, at, news=not fresh)

    def _move(
        self, known: KeptSession, info: SessionInfo, old: TaskCounts, at: float, *, news: bool
    ) -> Grown | None:
        now = info.counts
        known.info = info
        if now == old:
            return None
        if news:
            known.moved_at = at
        self._known.move_to_end(info.id)
        created = max(0, now.total - known.most)
        known.most = max(known.most, now.total)
        ended = (now.succeed - old.succeed, now.failed - old.failed, now.cancelled - old.cancelled)
        succeeded, failed, cancelled = (max(0, one) for one in ended)
        self._count(known, at, succeeded + failed + cancelled)
        return created, succeeded, failed, cancelled

    def _count(self, known: KeptSession, at: float, ended: int) -> None:
        known.ended.observe(at, known.info.counts.terminal)
        name = known.info.application
        self._ended[name] = self._ended.get(name, 0) + ended
        self._rates.setdefault(name, Rate()).observe(at, self._ended[name])

    def _sum(self, event: SessionEvent) -> None:
        changed = self._totals.observe(event)
        if changed is None:
            return
        before, after = changed
        name = after.name
        if after.sessions:
            self._applications[name] = after
        else:
            self._applications.pop(name, None)
        self.open += after.open_sessions - before.open_sessions
        self.closed += after.closed_sessions - before.closed_sessions
        total, old, new = self.counts, before.counts, after.counts
        self.counts = TaskCounts(
            pending=total.pending + new.pending - old.pending,
            running=total.running + new.running - old.running,
            succeed=total.succeed + new.succeed - old.succeed,
            failed=total.failed + new.failed - old.failed,
            cancelled=total.cancelled + new.cancelled - old.cancelled,
        )

    def _forget_application(self, name: str) -> None:
        if name not in self._applications:
            for kept in (self._rates, self._ended, self.failures):
                kept.pop(name, None)

    def failed(self, session_id: str, application: str) -> None:
        """Count a task that was seen to fail."""
        known = self._known.get(session_id)
        if known is not None:
            known.failures += 1
            self.failures[application] = self.failures.get(application, 0) + 1

    # ------------------------------------------------------------------ queries

    def page(
        self, query: SessionQuery, row: Callable[[KeptSession], SessionRow]
    ) -> Page[SessionRow]:
        """Return a part of the sessions; ``row`` makes what is shown of one."""
        found = [one for one in self if _matches(one, query, row)]
        part = part_of(
            found,
            _KEYS[query.sort.removeprefix("-")],
            descending=query.sort.startswith("-"),
            offset=query.offset,
            limit=query.limit,
        )
        rows = [row(one) for one in part]
        return Page(rows=rows, matched=len(found), total=len(self), offset=query.offset)

    def application_rows(self, now: float, serving: dict[str, int]) -> list[ApplicationRow]:
        """Return the applications that have a session, by name.

        Args:
            now: the moment.
            serving: how many executors serve each session.
        """
        executors: dict[str, int] = {}
        for session_id, count in serving.items():
            name = self.application_of(session_id)
            executors[name] = executors.get(name, 0) + count
        rows = []
        for name, totals in sorted(self._applications.items()):
            rate = self._rates[name].per_second(now) if name in self._rates else 0.0
            rows.append(
                ApplicationRow(
                    name=name,
                    open_sessions=totals.open_sessions,
                    closed_sessions=totals.closed_sessions,
                    counts=totals.counts,
                    rate=rate,
                    eta=eta(totals.pending + totals.running, rate),
                    executors=executors.get(name, 0),
                    failures=self.failures.get(name, 0),
                )
            )
        return rows

    @property
    def applications(self) -> int:
        """How many applications have a session."""
        return len(self._applications)

    @property
    def ended(self) -> int:
        """Tasks that were seen to end, of applications that have a session."""
        return sum(self._ended.values())


def session_row(
    known: KeptSession, now: float, executors: int | None, free: int | None
) -> SessionRow:
    """Return what is shown of a session; ``executors`` and ``free`` as of ``Situation``."""
    info, counts = known.info, known.info.counts
    ended = None if info.completion_time is None else info.completion_time.timestamp()
    why = reason(known, now, executors, free)
    rate = known.ended.per_second(now)
    return SessionRow(
        id=info.id,
        application=info.application,
        state=info.state.name.lower(),
        counts=counts,
        created=info.creation_time.timestamp(),
        ended=ended,
        progress=_progress(known),
        rate=rate,
        eta=eta(counts.pending + counts.running, rate),
        idle=max(0.0, now - known.moved_at),
        executors=executors or 0,
        level=why.level.value,
        reason=why.text,
        priority=info.priority,
        min_instances=info.min_instances,
        max_instances=info.max_instances,
    )


def reason(known: KeptSession, now: float, executors: int | None, free: int | None) -> Reason:
    """Return why a session is as it is."""
    info = known.info
    ended = now if info.completion_time is None else info.completion_time.timestamp()
    situation = Situation(
        idle=max(0.0, now - known.moved_at),
        closed_for=max(0.0, now - ended),
        executors=executors,
        free=free,
        overdue=next(reversed(known.overdue.values()), ""),
    )
    return reason_of(info, situation)


def _first_moved(info: SessionInfo, event: SessionEvent, at: float) -> float:
    """Return since when a session that is seen for the first time has been as it is, at most."""
    if not event.initial:
        return at
    if info.completion_time is not None:
        return min(at, info.completion_time.timestamp())
    return min(at, info.creation_time.timestamp()) if not info.counts.total else at


def _progress(known: KeptSession) -> float | None:
    counts = known.info.counts
    return counts.terminal / counts.total if counts.total else None


def _matches(
    known: KeptSession, query: SessionQuery, row: Callable[[KeptSession], SessionRow]
) -> bool:
    info, text = known.info, query.text.lower()
    if query.application and info.application != query.application:
        return False
    if text and text not in info.id.lower() and text not in info.application.lower():
        return False
    if query.state in ("open", "closed"):
        return info.state.name.lower() == query.state
    return not query.state or row(known).level == query.state


Key = Callable[[KeptSession], Any]  # Any: what can be compared

_KEYS: dict[str, Key] = {
    "id": lambda one: one.info.id,
    "application": lambda one: (one.info.application, one.info.id),
    "state": lambda one: (int(one.info.state), one.info.creation_time, one.info.id),
    "created": lambda one: (one.info.creation_time, one.info.id),
    "total": lambda one: (one.info.counts.total, one.info.id),
    "pending": lambda one: (one.info.counts.pending, one.info.id),
    "running": lambda one: (one.info.counts.running, one.info.id),
    "succeed": lambda one: (one.info.counts.succeed, one.info.id),
    "failed": lambda one: (one.info.counts.failed, one.info.id),
    "cancelled": lambda one: (one.info.counts.cancelled, one.info.id),
    "progress": lambda one: (_progress(one) or 0.0, one.info.id),
    "rate": lambda one: (one.ended.per_second(one.moved_at), one.info.id),
    "idle": lambda one: (-one.moved_at, one.info.id),
    "executors": lambda one: (one.info.counts.running, one.info.id),
}
