"""``ClusterView``: all that is shown of an engine, kept current by its events. Pure.

Each event costs the same, however many sessions and tasks there are: totals are added to and taken
from, and nothing is looked through but what is asked for. Its owner gives it every event, the
moments, and what the events do not have: machines, informers, the state of the connection (``live``
does). It has no lock: one thread owns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.types import Executor, Node, SessionInfo, Task, TaskCounts, TaskState
from flamepy.view.failures import Failures
from flamepy.view.handlers import Described, Handlers
from flamepy.view.machines import Machines
from flamepy.view.reasons import BIND_FAILED, Level
from flamepy.view.recent import Durations, Rate, eta
from flamepy.view.rows import (
    ApplicationRow,
    ExecutorRow,
    FailureGroup,
    FeedRow,
    HandlerRow,
    LagRow,
    NodeRow,
    Overview,
    Page,
    Quantiles,
    SessionRow,
    TaskRow,
    Transition,
)
from flamepy.view.series import Columns, Series
from flamepy.view.session_query import SessionQuery
from flamepy.view.sessions import KeptSession, Sessions, reason, session_row
from flamepy.view.task_query import TaskQuery, took
from flamepy.view.task_states import Tally
from flamepy.view.timelines import Feed, Timelines
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

COUNT_EVERY = 2.0  # seconds
RECENT = 60  # buckets of ten seconds: ten minutes
_OVERDUE_KEPT = 100_000  # breaches of rules that may hold again


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLimits:
    """How much the model keeps of what has no bound of its own.

    Attributes:
        failure_groups: texts of failures.
        timelines: tasks whose observed transitions are kept.
        feed: lines of the live feed.
    """

    failure_groups: int = 500
    timelines: int = 20_000
    feed: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How the reactor stands with the engine; attributes as of ``Overview``."""

    endpoint: str = ""
    state: str = "connecting"
    away_for: float | None = None
    away_reason: str = ""
    age: float | None = None
    synced: bool = False
    polls: int = 0
    calls: int = 0
    call_failures: int = 0
    drifts: int = 0
    missed: int = 0


class ClusterView:
    """The model of one engine. Moments are seconds since the epoch.

    Args:
        limits: how much it keeps.
    """

    def __init__(self, limits: ViewLimits | None = None) -> None:
        limits = limits or ViewLimits()
        self.version = 0
        self.sessions_known = Sessions()
        self.series = Series()
        self.machines = Machines()
        self.connection = Connection()
        self._tally = Tally()
        self._failures = Failures(limits.failure_groups)
        self._timelines = Timelines(limits.timelines)
        self._feed = Feed(limits.feed)
        self._handlers = Handlers()
        self._rate = Rate()
        self._ended = 0
        self._crashes = self._resets = 0
        self._took = Durations()
        self._observed, self._started, self._done = Durations(), Durations(), Durations()
        self._by_source: dict[str, Durations] = {}
        self._breaches: dict[str, str] = {}  # the session of each key
        self._attention = (-1.0, 0)  # when it was counted, and how many

    # ------------------------------------------------------------------ events

    def observe(self, event: TaskEvent | SessionEvent, at: float) -> None:
        """Record an event that was observed at a moment."""
        self.version += 1
        if isinstance(event, TaskEvent):
            self._task_event(event, at)
        else:
            self._session_event(event, at)

    def _session_event(self, event: SessionEvent, at: float) -> None:
        grown = self.sessions_known.observe(event, at)
        if event.kind is SessionEventKind.DELETED:
            self._tally.drop(event.session_id, event.epoch)
            if not event.final_state_known:
                self._resets += 1
        if event.event is not None and event.event.code == BIND_FAILED and not event.initial:
            self._crashes += 1
        if not event.initial:
            self._feed.session_event(event, at)
        if grown is not None:
            self._grow(grown, at)

    def _grow(self, grown: Sequence[int], at: float) -> None:
        for name, amount in zip(
            ("created", "succeeded", "failed", "cancelled"), grown, strict=True
        ):
            if amount:
                self.series.add(at, name, amount)
        self._ended += sum(grown[1:])
        self._rate.observe(at, self._ended)

    def _task_event(self, event: TaskEvent, at: float) -> None:
        before = self._tally.observe(event)
        task = event.task
        late = self._lateness(event, at)
        self._timelines.add(event, at, late)
        if event.initial and task.state is not TaskState.FAILED:
            return
        if event.kind is EventKind.DELETED:
            return  # a session's deletes would drown all else; its own line says it
        if task.state is TaskState.FAILED and before is not TaskState.FAILED:
            self._failed(event, at)
        if event.initial:
            return
        self._feed.task_event(event, at)
        if before is not task.state and task.state is TaskState.RUNNING:
            self.series.add(at, "started")
        seconds = took(task)
        if seconds is not None and before is not task.state:
            self._took.add(at, seconds)
        if late is not None and before is not task.state:
            self._observed.add(at, late)
            self._by_source.setdefault(event.source.value, Durations()).add(at, late)

    def _failed(self, event: TaskEvent, at: float) -> None:
        task = event.task
        moment = task.completion_time.timestamp() if task.completion_time else at
        name = event.application
        self._failures.add(min(at, moment), task.error or "", name, (task.session_id, task.id))
        self.sessions_known.failed(task.session_id, name)

    def _lateness(self, event: TaskEvent, at: float) -> float | None:
        task = event.task
        if event.source is EventSource.REPLAY or event.initial:
            return None
        if task.completion_time is not None and task.state.is_terminal:
            return max(0.0, at - task.completion_time.timestamp())
        if event.kind is EventKind.ADDED and task.state is TaskState.PENDING:
            return max(0.0, at - task.creation_time.timestamp())
        return None

    def overdue(self, event: OverdueEvent) -> None:
        """Record that a rule was broken."""
        known = self.sessions_known.get(event.session_id)
        if known is None or len(self._breaches) >= _OVERDUE_KEPT:
            return
        task = f"task {event.task.id}: " if event.task is not None else ""
        known.overdue[event.key] = f"{task}{event.rule.name}"
        self._breaches[event.key] = event.session_id
        self.version += 1

    def on_time(self, key: str) -> None:
        """Record that a rule that was broken holds again."""
        known = self.sessions_known.get(self._breaches.pop(key, ""))
        if known is not None:
            known.overdue.pop(key, None)
            self.version += 1

    # ------------------------------------------------------------------ what events do not have

    def observe_machines(
        self, nodes: Sequence[Node], executors: Sequence[Executor], at: float
    ) -> None:
        """Record a look at nodes and executors."""
        self.machines.observe(nodes, executors, at)
        self.version += 1

    def observe_handlers(self, described: Iterable[tuple[Described, str]], at: float) -> None:
        """Record how each informer is: what ``describe`` returned, and a stuck one's stack."""
        self._handlers.observe(described, at)

    def call_ended(self, name: str, at: float, seconds: float, late: float) -> None:
        """Count a call of an informer's callback.

        Args:
            name: the informer's.
            at: when it returned.
            seconds: how long it ran.
            late: seconds from the observation to its start.
        """
        self._handlers.call(name, at, seconds)
        self._started.add(at, late)
        self._done.add(at, seconds)

    def handler_failed(self, name: str, at: float, text: str) -> None:
        """Record what a call of a callback failed with."""
        self._handlers.error(name, at, text)

    def notice(self, at: float, what: str, text: str, session: str = "") -> None:
        """Add a line to the feed that is no change of a task or a session."""
        self._feed.notice(at, what, text, session)
        self.version += 1

    def tick(self, connection: Connection, at: float) -> None:
        """Record how the connection is, and that the engine was seen, if it was."""
        self.connection = connection
        if connection.away_for is None and connection.age is not None:
            counts = self.sessions_known.counts
            self.series.seen(at, (counts.pending, counts.running))

    # ------------------------------------------------------------------ queries

    @property
    def counts(self) -> TaskCounts:
        """Tasks by state: the engine's counters, summed over its sessions."""
        return self.sessions_known.counts

    @property
    def observed(self) -> TaskCounts:
        """Tasks by state, of those that were read one by one."""
        return self._tally.counts

    def overview(self, now: float) -> Overview:
        """Return the whole at one moment."""
        known, link, machines = self.sessions_known, self.connection, self.machines
        counts, rate = known.counts, self._rate.per_second(now)
        restored = self.series.restored_from
        return Overview(
            at=now,
            endpoint=link.endpoint,
            connection=link.state,
            away_for=link.away_for,
            away_reason=link.away_reason,
            age=link.age,
            synced=link.synced,
            counts=counts,
            observed=self._tally.counts,
            open_sessions=known.open,
            closed_sessions=known.closed,
            applications=known.applications,
            rate=rate,
            eta=eta(counts.pending + counts.running, rate),
            failed_recently=int(self.series.rings[1].total(now, "failed", RECENT)),
            attention=self.attention(now),
            nodes=len(machines.nodes) if machines.known else None,
            executors=len(machines.executors) if machines.known else None,
            executors_bound=machines.bound if machines.known else None,
            service_starts=machines.starts,
            service_crashes=self._crashes,
            resets=self._resets,
            drifts=link.drifts,
            missed=link.missed,
            polls=link.polls,
            calls=link.calls,
            call_failures=link.call_failures,
            restored=0.0 if restored is None else max(0.0, now - restored),
        )

    def attention(self, now: float) -> int:
        """Return how many sessions have a reason to look at them.

        Time alone makes some of them, so the open sessions are looked at, once in two seconds.
        """
        at, count = self._attention
        if not 0.0 <= now - at < COUNT_EVERY or at < 0.0:
            known = (one for one in self.sessions_known if one.is_open)
            count = sum(self._reason(one, now) is Level.ATTENTION for one in known)
            self._attention = now, count
        return count

    def _reason(self, known: KeptSession, now: float) -> Level:
        return reason(known, now, *self._executors(known.info.id)).level

    def _executors(self, session_id: str) -> tuple[int | None, int | None]:
        machines = self.machines
        if not machines.known:
            return None, None
        free = len(machines.executors) - machines.bound
        return machines.serving.get(session_id, 0), free

    def application_rows(self, now: float) -> list[ApplicationRow]:
        """Return the applications that have a session, by name."""
        return self.sessions_known.application_rows(now, self.machines.serving)

    def sessions(self, query: SessionQuery, now: float) -> Page[SessionRow]:
        """Return a part of the sessions."""
        return self.sessions_known.page(query, lambda one: self._row(one, now))

    def session(self, session_id: str, now: float) -> SessionRow | None:
        """Return one session; None if it is not known."""
        known = self.sessions_known.get(session_id)
        return None if known is None else self._row(known, now)

    def session_info(self, session_id: str) -> SessionInfo | None:
        """Return one session as the engine last showed it; None if it is not known."""
        known = self.sessions_known.get(session_id)
        return None if known is None else known.info

    def _row(self, known: KeptSession, now: float) -> SessionRow:
        return session_row(known, now, *self._executors(known.info.id))

    def tasks(self, query: TaskQuery, tasks: Iterable[Task]) -> Page[TaskRow]:
        """Return a part of the tasks given, which a lister has."""
        return query.page(tasks, self.sessions_known.application_of)

    def timeline(self, session_id: str, task_id: str) -> list[Transition]:
        """Return the observed transitions of a task, oldest first; empty if dropped."""
        return self._timelines.of(session_id, task_id)

    def failures(
        self, *, offset: int = 0, limit: int = 50, application: str = "", recent: bool = False
    ) -> Page[FailureGroup]:
        """Return groups of failures; the most frequent first, or with ``recent`` the latest."""
        return self._failures.page(
            offset=offset, limit=limit, application=application, recent=recent
        )

    def columns(self, now: float, span: float) -> Columns:
        """Return the last ``span`` seconds in buckets."""
        return self.series.columns(now, span)

    def durations(self, now: float) -> Quantiles:
        """Return how long tasks took from creation to end, in the last ten minutes."""
        return self._took.quantiles(now)

    def handlers(self, now: float) -> list[HandlerRow]:
        """Return the informers of this process, by name."""
        return self._handlers.rows(now)

    def lag(self, now: float) -> LagRow:
        """Return how late events are."""
        return LagRow(
            observed=self._observed.quantiles(now),
            started=self._started.quantiles(now),
            done=self._done.quantiles(now),
            by_source=[(name, one.quantiles(now)) for name, one in sorted(self._by_source.items())],
        )

    def feed(self, limit: int = 100) -> list[FeedRow]:
        """Return the latest lines of the live feed, newest first."""
        return self._feed.latest(limit)

    def nodes(self) -> list[NodeRow]:
        """Return the machines by name."""
        return self.machines.node_rows()

    def executors(self) -> list[ExecutorRow]:
        """Return the executors by node and id."""
        return self.machines.executor_rows(self.sessions_known.application_of)
