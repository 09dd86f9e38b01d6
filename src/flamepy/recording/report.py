"""What a report says: totals, throughput, durations, failures, the slowest, sessions. Pure.

``ReportBuilder`` takes events, or the tasks of a session as an engine lists them, in any number;
what it keeps of a task is small. What is cut off counts what is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from flamepy.runtime.clocks import monotonic, wall
from flamepy.types import SessionInfo, Task, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

BUCKETS = 120
LEAST_BUCKET = 0.1  # seconds
ROWS = 60  # of the timeline
SESSIONS = 200
FAILURES = 50
SLOWEST = 25
TEXT = 400  # characters
STATES = ("succeed", "failed", "cancelled")


@dataclass(slots=True)
class TaskLine:
    """What is kept of one task; times are seconds since the epoch."""

    session: str
    task: str
    application: str
    seen: float
    created: float
    started: float | None = None
    ended: float | None = None
    state: str = "pending"
    error: str | None = None
    requeued: int = 0

    @property
    def waited(self) -> float | None:
        """Seconds until it ran, as observed."""
        return None if self.started is None else max(0.0, self.started - self.seen)

    @property
    def ran(self) -> float | None:
        """Seconds that it ran, as observed."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    @property
    def took(self) -> float | None:
        """Seconds from its creation to its end."""
        return None if self.ended is None else max(0.0, self.ended - min(self.seen, self.created))


@dataclass(slots=True)
class SessionLine:
    """What is kept of one session."""

    id: str
    application: str
    begun: float
    last: float
    state: str = "open"
    counts: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of seconds: how many there are, their median, 90, 99 and 100 percent, and a histogram."""

    number: int
    p50: float
    p90: float
    p99: float
    most: float
    histogram: tuple[tuple[float, float, int], ...]  # from, to, how many


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Tasks that failed with one text."""

    text: str
    number: int
    first: float
    last: float
    example: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows. Times are seconds since the epoch."""

    title: str
    about: Mapping[str, str]
    begin: float
    end: float
    events: int
    states: Mapping[str, int]
    requeued: int
    sessions: Sequence[SessionLine]
    more_sessions: int
    bucket: float  # seconds of one
    ends: Sequence[Mapping[str, int]]
    running: Sequence[int]
    durations: Mapping[str, Percentiles]
    failures: Sequence[FailureGroup]
    more_failures: int
    slowest: Sequence[TaskLine]
    timeline: Sequence[TaskLine | SessionLine]
    more_timeline: int
    handlers: Sequence[Mapping[str, Any]] = ()  # Any: as ``flamepy handlers`` has them
    outages: Sequence[tuple[float, float]] = ()

    @property
    def tasks(self) -> int:
        """All tasks."""
        return sum(self.states.values())


class ReportBuilder:
    """Collects what a report needs."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str, float], TaskLine] = {}
        self._sessions: dict[tuple[str, float], SessionLine] = {}
        self._events = 0
        self._begin = float("inf")
        self._end = float("-inf")

    def add(self, event: TaskEvent | SessionEvent) -> None:
        """Take one event."""
        at = wall() - max(0.0, monotonic() - event.observed_at)
        self._events += 1
        if not event.initial:
            self._begin, self._end = min(self._begin, at), max(self._end, at)
        if isinstance(event, TaskEvent):
            self._task(event, at)
        else:
            self._session(event.session, at, event)

    def _task(self, event: TaskEvent, at: float) -> None:
        if event.kind is EventKind.DELETED:
            return  # how it ended is known, or never will be
        task = event.task
        line = self._line(task, event.application, at)
        state = task.state
        if event.is_requeue:
            line.requeued += 1
            line.started = None
        if state == TaskState.RUNNING and not event.initial:
            line.started = at
        if state.is_terminal and line.ended is None:
            line.ended = _seconds(task.completion_time) or at
            if not event.initial and line.started is not None:
                line.ended = at
        line.state = state.name.lower()
        line.error = task.error or line.error

    def _line(self, task: Task, application: str, at: float) -> TaskLine:
        created = task.creation_time.timestamp()
        key = (task.session_id, task.id, created)
        line = self._tasks.get(key)
        if line is None:
            line = self._tasks[key] = TaskLine(task.session_id, task.id, application, at, created)
        return line

    def _session(self, info: SessionInfo, at: float, event: SessionEvent | None) -> None:
        created = info.creation_time.timestamp()
        line = self._sessions.get((info.id, created))
        if line is None:
            line = SessionLine(info.id, info.application, created, at)
            self._sessions[info.id, created] = line
        line.last = max(line.last, at)
        line.state = info.state.name.lower()
        if event is not None and event.kind is SessionEventKind.DELETED:
            line.state = "deleted"
        if event is not None and event.event is not None:
            line.events.append(str(event.event.message or event.event.code)[:TEXT])
        now = info.counts
        line.counts = {name: getattr(now, name) for name in ("pending", "running", *STATES)}

    def add_listed(self, info: SessionInfo, tasks: Iterable[Task]) -> None:
        """Take a session and its tasks as an engine lists them: times are the engine's."""
        now = wall()
        self._session(info, _seconds(info.completion_time) or now, None)
        self._begin = min(self._begin, info.creation_time.timestamp())
        for task in tasks:
            self._events += 1
            created = task.creation_time.timestamp()
            line = self._line(task, info.application, created)
            line.started = _started(task)
            line.state, line.error = task.state.name.lower(), task.error
            if task.state.is_terminal:
                line.ended = _seconds(task.completion_time) or now
            self._end = max(self._end, line.ended or line.started or created)

    # ------------------------------------------------------------------ the report

    def build(
        self,
        title: str,
        about: Mapping[str, str],
        *,
        handlers: Sequence[Mapping[str, Any]] = (),
        outages: Sequence[tuple[float, float]] = (),
    ) -> Report:
        """Return the report of what was taken.

        Args:
            title: of the page.
            about: where it comes from, by label.
            handlers: as ``flamepy handlers`` has them.
            outages: when the engine was away.
        """
        now = wall()
        begin = self._begin if self._begin != float("inf") else now
        end = max(self._end, begin)
        tasks = list(self._tasks.values())
        bucket = max((end - begin) / BUCKETS, LEAST_BUCKET)
        failures = _groups(tasks)
        timeline = self._timeline([one for one in tasks if (one.ended or end) >= begin])
        sessions = sorted(self._sessions.values(), key=lambda one: -sum(one.counts.values()))
        return Report(
            title=title,
            about=about,
            begin=begin,
            end=end,
            events=self._events,
            states=Counter(one.state for one in tasks),
            requeued=sum(one.requeued for one in tasks),
            sessions=sessions[:SESSIONS],
            more_sessions=max(0, len(sessions) - SESSIONS),
            bucket=bucket,
            ends=_ends(tasks, begin, end, bucket),
            running=_running(tasks, begin, end, bucket),
            durations=_durations(tasks),
            failures=failures[:FAILURES],
            more_failures=max(0, len(failures) - FAILURES),
            slowest=_slowest(tasks),
            timeline=timeline[:ROWS],
            more_timeline=max(0, len(timeline) - ROWS),
            handlers=handlers,
            outages=outages,
        )

    def _timeline(self, tasks: list[TaskLine]) -> list[TaskLine | SessionLine]:
        """Return the rows: sessions, or of one session its tasks, the longest ones."""
        if len(self._sessions) > 1 or not tasks:
            rows = list(self._sessions.values())
            return [*sorted(rows, key=lambda one: (one.begun, one.id))]
        longest = sorted(tasks, key=lambda one: -(one.took or 0.0))
        shown = sorted(longest[:ROWS], key=lambda one: (one.seen, int(one.task)))
        return [*shown, *longest[ROWS:]]


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _started(task: Task) -> float | None:
    """Return when a task began to run, by its events."""
    times = [one.creation_time for one in task.events if one.code == TaskState.RUNNING]
    return _seconds(times[-1]) if times else None


def _groups(tasks: Iterable[TaskLine]) -> list[FailureGroup]:
    found: dict[str, list[TaskLine]] = {}
    for one in tasks:
        if one.state == "failed":
            found.setdefault((one.error or "(no text)")[:TEXT], []).append(one)
    groups = []
    for text, failed in found.items():
        times = [one.ended or one.seen for one in failed]
        example = f"{failed[0].session}/{failed[0].task}"
        groups.append(FailureGroup(text, len(failed), min(times), max(times), example))
    return sorted(groups, key=lambda one: (-one.number, one.text))


def _ends(
    tasks: Iterable[TaskLine], begin: float, end: float, bucket: float
) -> list[Mapping[str, int]]:
    buckets = [Counter[str]() for _ in range(_number(begin, end, bucket))]
    for one in tasks:
        if one.ended is not None and begin <= one.ended <= end:
            buckets[min(int((one.ended - begin) / bucket), len(buckets) - 1)][one.state] += 1
    return list(buckets)


def _running(tasks: Iterable[TaskLine], begin: float, end: float, bucket: float) -> list[int]:
    """Return how many tasks ran at the middle of each bucket."""
    steps = Counter[int]()
    number = _number(begin, end, bucket)
    for one in tasks:
        if one.started is not None:
            first = max(0, round((one.started - begin) / bucket))
            last = number if one.ended is None else round((one.ended - begin) / bucket)
            steps[min(first, number)] += 1
            steps[min(max(last, first), number)] -= 1
    level, levels = 0, []
    for index in range(number):
        level += steps[index]
        levels.append(level)
    return levels


def _number(begin: float, end: float, bucket: float) -> int:
    return max(1, min(BUCKETS, int((end - begin) / bucket) + 1))


def _durations(tasks: Sequence[TaskLine]) -> dict[str, Percentiles]:
    kinds = {
        "until it ran": [one.waited for one in tasks],
        "running": [one.ran for one in tasks],
        "from creation to end": [one.took for one in tasks],
    }
    found = {}
    for name, values in kinds.items():
        known = sorted(one for one in values if one is not None)
        if known:
            found[name] = percentiles(known)
    return found


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return the percentiles of sorted seconds, with a histogram in steps of two."""
    number = len(values)

    def at(share: float) -> float:
        return values[min(number - 1, int(share * number))]

    bars: list[tuple[float, float, int]] = []
    low, index = 0.0, 0
    high = 0.001
    while index < number:
        count = 0
        while index < number and values[index] < high:
            index += 1
            count += 1
        if count or bars:
            bars.append((low, high, count))
        low, high = high, high * 2
    return Percentiles(number, at(0.5), at(0.9), at(0.99), values[-1], tuple(bars))


def _slowest(tasks: Iterable[TaskLine]) -> list[TaskLine]:
    timed = [one for one in tasks if one.took is not None]
    return sorted(timed, key=lambda one: -(one.ran if one.ran is not None else one.took or 0.0))[
        :SLOWEST
    ]


def moment(seconds: float) -> datetime:
    """Return a time of a report in UTC."""
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
