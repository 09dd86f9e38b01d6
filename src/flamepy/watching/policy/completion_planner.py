"""How to read the ends of many tasks that are awaited together: streams, probes or a list. Pure.

A session's counters say how many tasks have ended, not which. Tasks start in the order of their
numbers, so those that ended are likely the lowest awaited ones: a GetTask each finds them, and one
ListTask finds all but shows everything that the session ever had. ``CompletionPlanner``
decides for one session; ``gatherer`` carries out what it asks for, ``watch_streams`` opens the
streams.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from flamepy.types import TaskCounts
from flamepy.watching.policy.sync_planner import Costs, retry_delay
from flamepy.watching.state.waiters import WaiterChanges

FEW = 8  # streams for tasks that are awaited together, as soon as nothing is left to read
QUIET = 0.25  # seconds without an end after which the first of many get streams
SAFETY = (2.0, 60.0)  # seconds after which all tasks are read, whatever the counters say
REST = (0.002, 1.0)  # seconds between steps: the first, and after many that found nothing
FIRST_RATE = 1000.0  # ends a second, until it was seen: the first callers do not wait for that
HANDFUL = 16  # ends that are worth asking for the counters
PAUSE = (
    0.1,
    0.5,
)  # seconds for which a growing number of waiters is left alone, at least and at most ...
SPARE = 40.0  # ... else this multiple of the step's duration
LOAD = 50.0  # ... at least this multiple of its duration


def shared(budget: int) -> int:
    """Return how many streams of a budget go to tasks that are awaited together."""
    return budget - (budget + 3) // 4


class GatherStep(enum.Enum):
    """What to do about a session now."""

    NOTHING = "nothing"
    WAIT = "wait for more"
    FIRST = "give the first few streams"
    SHARE = "share streams"
    PROBE = "probe"
    LIST = "list"
    ALL = "probe all"


@dataclass(slots=True)
class CompletionPlanner:
    """The account of one session in which many tasks are awaited.

    Attributes:
        costs: what calls take here; seconds of the whole connection's time, not of one caller.
        debt: the number of ends that were counted and not delivered, awaited ones included.
        wanted: how many of them may be found.
        running, total: tasks that ran, and all of them, when the counters were last shown.
        busy: True while a step is carried out.
    """

    costs: Costs = field(default_factory=lambda: Costs(get=120e-6, listed=35e-6))
    debt: int = 0
    wanted: int = 0
    running: int = 0
    total: int = 0
    busy: bool = False
    _terminal: int = 0
    _moved_at: float = float("-inf")
    _due: float = float("inf")
    _passes: int = 0
    _misses: int = 0
    _not_before: float = float("-inf")
    _asked_at: float = float("-inf")
    _rate: float = FIRST_RATE  # ends a second, recently
    _since: float | None = None  # when what is wanted could have been asked for first

    def decide(
        self,
        counts: TaskCounts,
        changes: WaiterChanges,
        waiting: int,
        now: float,
        *,
        blocking: int = 0,
    ) -> GatherStep:
        """Record the counters; return what to do.

        Args:
            counts: as just shown.
            changes: what happened since the last call.
            waiting: awaited tasks without a stream.
            now: monotonic seconds.
            blocking: the number of them that callers block on. If that is half or more, callers
                create tasks one after another, and waiting for more tasks would delay each.
        """
        shown = counts.terminal - self._terminal
        if now > self._asked_at > float("-inf"):
            self._rate += (max(0, shown) / (now - self._asked_at) - self._rate) * 0.3
        self._asked_at = now
        if changes.ended or self._moved_at == float("-inf"):
            self._moved_at = now
        if shown < 0:  # an engine that lost something: look at everything
            self.suspect()
        self._terminal, self.running, self.total = counts.terminal, counts.running, counts.total
        self.debt += shown - changes.ended
        self.wanted = min(self.debt, waiting)  # of the others the creation was not answered yet
        if self._due == float("inf"):
            self._due = now + self._safety_interval(waiting)
        if now >= self._due:
            return self._cheaper(waiting, counts.total, GatherStep.ALL)
        if self.wanted > 0 and now >= self._not_before:
            step = self._cheaper(self.wanted, counts.total, GatherStep.PROBE)
            grows = changes.added > 0 and waiting > max(FEW, 2 * blocking)
            return GatherStep.WAIT if grows and self._waits_for_more(step, now) else step
        self._since = None
        if now - self._moved_at >= QUIET:
            return GatherStep.SHARE
        return GatherStep.FIRST if self.wanted <= 0 else GatherStep.NOTHING

    def rest(self, waiting: int, *, blocking: int = 0) -> float:
        """Return the seconds in which a handful of tasks ends.

        Args:
            waiting: awaited tasks without a stream.
            blocking: on how many of them callers block; then it is no large part of the waiters.
        """
        wanted = min(HANDFUL, waiting / 4) if blocking else HANDFUL
        return wanted / self._rate if self._rate > 0.0 else float("inf")

    def _waits_for_more(self, step: GatherStep, now: float) -> bool:
        """Return True while it pays to wait: more come, and one step does for all of them."""
        if self._since is None:
            self._since = now
        cost = (
            self.total * self.costs.listed
            if step is GatherStep.LIST
            else self.wanted * self.costs.get
        )
        return now - self._since < min(max(PAUSE[0], SPARE * cost), PAUSE[1])

    def _cheaper(self, wanted: int, total: int, probing: GatherStep) -> GatherStep:
        costs = self.costs
        if total * costs.listed + costs.get < wanted * costs.get:
            return GatherStep.LIST
        return probing

    def suspect(self) -> None:
        """Read all tasks with the next step: an outage may hide any change."""
        self._due, self._passes = float("-inf"), 0

    def asked(self, step: GatherStep, *, found: int, waiting: int, took: float, now: float) -> None:
        """Record that a step was carried out.

        Args:
            step: which one.
            found: how many ends it found.
            waiting: awaited tasks without a stream that are left.
            took: seconds.
            now: monotonic seconds.
        """
        all_of_them = step is not GatherStep.PROBE
        if found < self.wanted:
            self.debt -= self.wanted - found  # these are not awaited here
        self._since = None
        self._misses = 0 if found else self._misses + 1
        self._not_before = now + retry_delay(self._misses, first=REST[0], limit=REST[1])
        self._passes = 0 if found else self._passes + all_of_them
        if found or all_of_them:
            self._due = now + max(
                self._safety_interval(waiting), LOAD * took if all_of_them else 0.0
            )

    def _safety_interval(self, waiting: int) -> float:
        """Return the seconds until all are asked, so that it takes a small part of the time."""
        costs = self.costs
        cost = min(self.total * costs.listed, waiting * costs.get)
        return max(retry_delay(self._passes, first=SAFETY[0], limit=SAFETY[1]), LOAD * cost)
