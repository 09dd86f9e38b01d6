"""From the events of one task to its spans, each edge with the source of its time. Pure.

An edge is the engine's (a time that it stored), observed (when this process saw the state), or
inferred (nothing showed it: the nearest moment that is known). Times are nanoseconds since the
epoch. Edges stay between the task's creation and its end, so that spans never overlap their parent:
the clocks of the engine and of this process may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from flamepy.types import Task, TaskState
from flamepy_opentelemetry import names
from flamepy_opentelemetry.identity import EPOCH

Source = Literal["engine", "observed", "inferred"]
SECOND = 1_000_000_000  # nanoseconds
MICROSECOND = 1_000


@dataclass(frozen=True, slots=True)
class Edge:
    """A moment, and where it comes from."""

    at: int
    source: Source


@dataclass(frozen=True, slots=True)
class Piece:
    """One span of a task.

    Attributes:
        name: of the span.
        identity: what its id is computed from: the name, with a number for what was repeated.
        requeued: the engine put the task back into its queue at the end of it.
    """

    name: str
    identity: str
    start: Edge
    end: Edge
    requeued: bool = False

    @property
    def inferred(self) -> bool:
        """True if one of its edges was not shown by anything."""
        return "inferred" in (self.start.source, self.end.source)


def nanoseconds(moment: datetime) -> int:
    """Return a time as nanoseconds since the epoch."""
    passed = moment - EPOCH
    whole = passed.days * 86400 + passed.seconds
    return whole * SECOND + passed.microseconds * MICROSECOND


def refined(moment: datetime, candidates: Iterable[Edge]) -> Edge:
    """Return the engine's time; for one of whole seconds a candidate within that second.

    An engine on sqlite or fs stores whole seconds, so a task of 0.3 s would begin where it ends.
    """
    at = nanoseconds(moment)
    if moment.microsecond == 0:
        for one in candidates:
            if at <= one.at < at + SECOND:
                return one
    return Edge(at, "engine")


class Timeline:
    """What is known of one task that has not ended; kept in ``event.memo``, of one process."""

    __slots__ = ("_first", "_pending_until", "_queued", "_repeats", "_running")

    def __init__(self) -> None:
        self._first: int | None = None  # when it was first seen, if that was near its creation
        self._queued: Edge | None = None  # since when it waits, for another attempt than the first
        self._pending_until: int | None = None  # when it was last seen waiting
        self._running: Edge | None = None
        self._repeats = 0

    def saw(self, state: TaskState, at: int, *, inferred: bool, live: bool) -> list[Piece]:
        """Record an unfinished state; return the spans of an attempt that the engine gave up.

        Args:
            state: pending or running; others change nothing.
            at: when it was observed.
            inferred: it was not observed, but must have been.
            live: the task was new, not there before this process looked.
        """
        if live and self._first is None:
            self._first = at
        if state is TaskState.RUNNING:
            boundary = self._pending_until if inferred else None
            self._running = Edge(boundary or at, "inferred" if inferred else "observed")
            return []
        if state is not TaskState.PENDING:
            return []
        self._pending_until = at
        if self._running is None:
            return []
        self._repeats += 1
        again = Edge(at, "inferred" if inferred else "observed")
        running, queued = self._running, self._queued
        self._queued, self._running = again, None
        number = self._repeats
        start = queued or Edge(self._first or running.at, "observed")
        return [
            Piece(names.QUEUED, f"{names.QUEUED}#{number}", start, running),
            Piece(names.RUNNING, f"{names.RUNNING}#{number}", running, again, requeued=True),
        ]

    def ended(self, task: Task, at: int) -> list[Piece]:
        """Return the spans of a task that ended: the whole first, then its last attempt.

        Args:
            task: in its terminal state, or as it was last known when the engine lost it.
            at: when that was observed.
        """
        seen = Edge(at, "observed")
        first = [] if self._first is None else [Edge(self._first, "observed")]
        start = refined(task.creation_time, [*_recorded(task, {TaskState.PENDING}), *first])
        if task.state.is_terminal and task.completion_time is not None:
            end = refined(task.completion_time, [*_recorded(task, {task.state}), seen])
        else:
            end = seen
        end = replace(end, at=max(end.at, start.at))
        whole = Piece(names.TASK, names.TASK, start, end)
        queued = _within(self._queued or start, start, end)
        running = next(iter(_recorded(task, {TaskState.RUNNING}, last=True)), self._running)
        if running is None and task.state in (TaskState.SUCCEED, TaskState.FAILED):
            running = Edge(self._pending_until or queued.at, "inferred")
        if running is None:
            return [whole, Piece(names.QUEUED, names.QUEUED, queued, end)]
        running = _within(running, queued, end)
        return [
            whole,
            Piece(names.QUEUED, names.QUEUED, queued, running),
            Piece(names.RUNNING, names.RUNNING, running, end),
        ]


def _within(edge: Edge, first: Edge, last: Edge) -> Edge:
    return replace(edge, at=min(max(edge.at, first.at), last.at))


def _recorded(task: Task, states: set[TaskState], *, last: bool = False) -> Iterator[Edge]:
    """Yield the engine's own record of a state, where the task came with its events."""
    found = [
        nanoseconds(one.creation_time)
        for one in task.events
        if one.creation_time is not None and one.code in states
    ]
    if found:
        yield Edge(found[-1] if last else found[0], "engine")
