"""What the model shows: frozen rows. Moments are seconds since the epoch, UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flamepy.types import TaskCounts

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list, filtered and sorted.

    Attributes:
        rows: those asked for.
        matched: how many there are that match.
        total: how many were looked at.
        offset: the place of the first row among those that match.
        left_out: what the list lacks, as a sentence; "" if nothing.
    """

    rows: Sequence[T]
    matched: int
    total: int
    offset: int = 0
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """How long something took recently; estimated to about a tenth, from counts by magnitude.

    Attributes:
        count: how many there were.
        p50, p90, p99, most: seconds; None without any.
    """

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole engine at one moment.

    Attributes:
        at: the moment.
        endpoint: the engine.
        connection: ``connected``, ``degraded``, ``connecting`` or ``disconnected``.
        away_for: seconds for which it has not answered; None while it does.
        away_reason: why, "" while it answers.
        age: seconds since the answer on which the counters are based; None before the first.
        synced: everything that was there at the start was read.
        counts: tasks by state: the engine's own counters, summed over its sessions.
        observed: tasks by state, of those that were read one by one.
        open_sessions, closed_sessions: how many of each.
        applications: how many have a session.
        rate: tasks that ended, a second, over the last minute.
        eta: seconds until all that waits will have ended at that rate; None if that says nothing.
        failed_recently: tasks that failed in the last ten minutes.
        attention: sessions with a reason to look at them.
        nodes, executors, executors_bound: machines and services; None before they were read.
        service_starts, service_crashes: seen since this process began to look. Starts are estimated
            from one look at the executors after another.
        resets, drifts, missed: what the engine lost or changed; see the signals of these names.
        polls, calls, call_failures: what looking has cost.
        restored: seconds of history that an earlier process left; 0 without.
    """

    at: float
    endpoint: str
    connection: str
    away_for: float | None
    away_reason: str
    age: float | None
    synced: bool
    counts: TaskCounts
    observed: TaskCounts
    open_sessions: int
    closed_sessions: int
    applications: int
    rate: float
    eta: float | None
    failed_recently: int
    attention: int
    nodes: int | None
    executors: int | None
    executors_bound: int | None
    service_starts: int
    service_crashes: int
    resets: int
    drifts: int
    missed: int
    polls: int
    calls: int
    call_failures: int
    restored: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationRow:
    """One application's sessions together; ``rate`` and ``eta`` as of ``Overview``."""

    name: str
    open_sessions: int
    closed_sessions: int
    counts: TaskCounts
    rate: float
    eta: float | None
    executors: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session.

    Attributes:
        state: ``open`` or ``closed``.
        counts: the engine's counters.
        created, ended: moments; ``ended`` is None while it is open.
        progress: the part of its tasks that has ended, 0 to 1; None without tasks.
        rate: tasks that ended, a second, over the last minute at most.
        eta: seconds until the others will have, at that rate; None where that says nothing.
        idle: seconds since its counters moved, as far as this process has seen.
        executors: that serve it.
        level: ``running``, ``waiting``, ``idle``, ``done``, or ``attention``.
        reason: why it is as it is, for people.
        priority, min_instances, max_instances: as it was created.
    """

    id: str
    application: str
    state: str
    counts: TaskCounts
    created: float
    ended: float | None
    progress: float | None
    rate: float
    eta: float | None
    idle: float
    executors: int
    level: str
    reason: str
    priority: int
    min_instances: int
    max_instances: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task, without payloads; ``took`` is from creation to end, by the engine's clock."""

    session: str
    id: str
    application: str
    state: str
    created: float
    ended: float | None
    took: float | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One observed state of a task.

    Attributes:
        state: the task's.
        at: when it was observed.
        source: which reply showed it.
        late: seconds since the engine recorded it, by two clocks, so estimated; None if unknown.
        initial: it was so before this process looked.
    """

    state: str
    at: float
    source: str
    late: float | None
    initial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures whose texts differ in numbers and ids alone.

    Attributes:
        text: what they have in common, cut at some hundred characters.
        example: the last one's own text, cut as well.
        count: how many.
        first, last: moments.
        applications: of the last ones.
        tasks: the last ones, as (session, task).
    """

    text: str
    example: str
    count: int
    first: float
    last: float
    applications: Sequence[str]
    tasks: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """The outbox of a sink.

    Attributes:
        waiting: events that wait to be sent.
        oldest_age: seconds of the oldest.
        sent, dropped: events that were sent by this process; that were dropped unsent.
        disabled: why nothing is sent; "" while it is.
    """

    waiting: int
    oldest_age: float
    sent: int
    dropped: int
    disabled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerRow:
    """One registered informer.

    Attributes:
        queued, oldest_age: events that wait, and seconds of the oldest.
        rate: events delivered a second, over the last ten.
        took: of its callbacks' calls in the last ten minutes.
        failures, retries, dead, missed, coalesced, slow: as of ``RegistrationStats``.
        stuck: callbacks over their time limit, now.
        stack: where the longest of these is; "" without one.
        last_error: the last error of a call that this process saw; "" without one.
        last_error_at: when that was.
        outbox: of a sink; None of other informers.
    """

    name: str
    state: str
    synced: bool
    queued: int
    oldest_age: float
    delivered: int
    rate: float
    took: Quantiles
    failures: int
    retries: int
    dead: int
    missed: int
    coalesced: int
    slow: int
    stuck: int
    running_for: float | None
    stack: str = ""
    last_error: str = ""
    last_error_at: float | None = None
    outbox: OutboxRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LagRow:
    """How late events are in the last ten minutes.

    Attributes:
        observed: from the engine's end of a task to our reading it; two clocks, so estimated.
        started: from there to the start of a callback.
        done: from there to its return.
        by_source: ``observed`` by which reply showed it.
    """

    observed: Quantiles
    started: Quantiles
    done: Quantiles
    by_source: Sequence[tuple[str, Quantiles]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One machine; memory in bytes."""

    name: str
    state: str
    cpu: int
    memory: int
    gpu: int
    executors: int
    bound: int
    arch: str
    os: str
    addresses: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorRow:
    """One executor; ``since`` is when this process saw it first in its state."""

    id: str
    state: str
    node: str
    session: str
    application: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRow:
    """One line of the live feed.

    Attributes:
        id: grows with each line.
        at: of its last event.
        kind: ``task``, ``session`` or ``notice``.
        what: the state, or what happened.
        task: the last one's id; "" for a session.
        count: events that the line stands for.
        text: more of it, cut at some hundred characters.
    """

    id: int
    at: float
    kind: str
    what: str
    application: str
    session: str
    task: str
    count: int
    text: str
