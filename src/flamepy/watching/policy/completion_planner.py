"""How to read the ends of many tasks that are awaited together: streams, probes or a list. Pure.

A session's counters say how many tasks have ended, not which. Tasks start in the order of their
numbers, so those that ended are likely the lowest awaited ones: a GetTask each finds them, and one
ListTask finds all but shows everything that the session ever had. ``CompletionPlanner``
decides for one session; ``gatherer`` carries out what it asks for, ``watch_streams`` opens the
streams.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flamepy.types import TaskCounts
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.waiters import WaiterChanges

FEW = 8  # streams for tasks that are awaited together, as soon as nothing is left to read
QUIET = 0.25  # seconds without an end after which the first of many get streams
SAFETY = (2.0, 60.0)  # seconds after which all tasks are read, whatever the counters say
REST = (0.002, 1.0)  # seconds between steps: the first, and after many that found nothing
FIRST_RATE = 1000.0  # ends a second, until it was seen: the first callers do not wait for that
HANDFUL = 16  # ends that are worth asking for the counters
FAST = 160.0  # ends a second from which on it pays to let more of them come
PAUSE = (0.1, 2.0)  # seconds for which it does so: at least, at most ...
SPARE = 50.0  # ... else this multiple of what a list takes
LOAD = 50.0  # ... at least this multiple of its duration


# Seconds of CPU on a machine of 2025, with gRPC 1.7x and 1.8x: one GetTask, one task of a list, and
# for either a byte. Only their proportions matter. They are not measured as they are made: among
# other calls a list takes its turn with all of them, and seems several times as dear.
GET, LISTED, BYTE = 110e-6, 30e-6, 1.5e-9


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
        size: bytes of one task's input and output, recently.
        debt: the number of ends that were counted and not delivered, awaited ones included.
        wanted: how many of them may be found.
        running, total: tasks that ran, and all of them, when the counters were last shown.
        busy: True while a step is carried out.
    """

    size: float = 0.0
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
    _grows: bool = False  # tasks were added since the look before

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
                create tasks one after another, and waiting for more ends would delay each.
        """
        shown = counts.terminal - self._terminal
        if now > self._asked_at > float("-inf"):
            self._rate += (max(0, shown) / (now - self._asked_at) - self._rate) * 0.3
        self._asked_at = now
        if changes.ended or self._moved_at == float("-inf"):
            self._moved_at = now
        if shown < 0:  # an engine that lost something: look at everything
            self.suspect()
        self._grows = changes.added > 0
        self._terminal, self.running, self.total = counts.terminal, counts.running, counts.total
        self.debt += shown - changes.ended
        self.wanted = min(self.debt, waiting)  # of the others the creation was not answered yet
        if self._due == float("inf"):
            self._due = now + self._safety_interval(waiting)
        if now >= self._due:
            return self._cheaper(waiting, GatherStep.ALL)
        if self.wanted > 0 and now >= self._not_before:
            more = changes.added > 0 or self.wanted < waiting
            if more and waiting > max(FEW, 2 * blocking) and self._pays_to_wait(waiting, now):
                return GatherStep.WAIT
            return self._cheaper(self.wanted, GatherStep.PROBE)
        self._since = None
        if now - self._moved_at >= QUIET:
            return GatherStep.SHARE
        return GatherStep.FIRST if self.wanted <= 0 else GatherStep.NOTHING

    def rest(self, waiting: int, now: float, *, blocking: int = 0) -> float:
        """Return the seconds until the counters are worth asking for.

        Args:
            waiting: awaited tasks without a stream.
            now: monotonic seconds.
            blocking: on how many of them callers block; then it is no large part of the waiters.
        """
        if self._rate <= 0.0:
            return float("inf")
        if self._since is not None:
            left = self._since + self._pause() - now
            if self._grows and not blocking:  # the last one was not created yet
                return left
            return min((waiting - self.wanted) / self._rate, left)
        return (min(HANDFUL, waiting / 4) if blocking else HANDFUL) / self._rate

    def _pays_to_wait(self, waiting: int, now: float) -> bool:
        """Return True for a while: ends come fast, and one list does for all of them."""
        could_list = self._cheaper(waiting, GatherStep.PROBE) is GatherStep.LIST
        if not could_list or self._rate < FAST:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since < self._pause()

    def _pause(self) -> float:
        return min(max(PAUSE[0], SPARE * self._list_cost()), PAUSE[1])

    def _list_cost(self) -> float:
        return self.total * (LISTED + self.size * BYTE)

    def _probe_cost(self, wanted: int) -> float:
        return wanted * (GET + self.size * BYTE)

    def _cheaper(self, wanted: int, probing: GatherStep) -> GatherStep:
        lists = self._list_cost() + GET < self._probe_cost(wanted)
        return GatherStep.LIST if lists else probing

    def read(self, size: int, tasks: int) -> None:
        """Record the bytes of the inputs and outputs of tasks that were read."""
        if tasks:
            self.size += (size / tasks - self.size) * 0.5

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
        cost = min(self._list_cost(), self._probe_cost(waiting))
        return max(retry_delay(self._passes, first=SAFETY[0], limit=SAFETY[1]), LOAD * cost)
