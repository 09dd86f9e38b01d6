"""What to ask the engine next about one session. Pure decisions over a ``SessionRecord``.

The engine has no watch on sessions; its counters say how many tasks are in each state. Task ids
are dense and tasks start in ascending order, so what changed is among the new ids and the lowest
unfinished ones: probing those costs as much as the change, listing costs as much as the session
(docs/architecture.md#cost). ``session_sync`` carries the decisions out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import islice

from flamepy.watching.state.records import SessionRecord

BATCH = 16
MISSES = 2


class SyncStep(enum.Enum):
    """How to bring a session up to date."""

    NOTHING = "nothing"
    PROBE = "probe"
    LIST = "list"


@dataclass(slots=True)
class Costs:
    """Seconds that one GetTask and one listed task take; measured as it goes."""

    get: float = 81e-6
    listed: float = 17e-6

    def learn_get(self, seconds: float) -> None:
        """Include the duration of one GetTask."""
        self.get += (min(seconds, 0.1) - self.get) * 0.05

    def learn_list(self, seconds: float, tasks: int) -> None:
        """Include the duration of one ListTask of ``tasks`` tasks."""
        if tasks >= BATCH:
            self.listed += (min(seconds / tasks, 0.1) - self.listed) * 0.2


def settled(record: SessionRecord) -> bool:
    """Return True if the known tasks account for the session's counters, or are ahead of them.

    The counters' sum is a lower bound: it lacks tasks that the engine is sending to an executor.
    """
    if record.info is None:
        return True
    known, engine = record.counts, record.info.counts
    if known.terminal < engine.terminal or known.total < engine.total:
        return False
    return known.terminal > engine.terminal or known.running == engine.running


def explained(record: SessionRecord, *, pushed: bool = False) -> bool:
    """Return True if nothing has to be read for the session's counters.

    Args:
        record: the session.
        pushed: a stream brings the changes of known tasks: only new ones have to be read.
    """
    if settled(record):
        return True
    return pushed and record.info is not None and record.counts.total >= record.info.counts.total


def decide(record: SessionRecord, costs: Costs, *, pushed: bool = False) -> SyncStep:
    """Return the cheapest way to learn what the counters say has changed.

    Args:
        record: the session.
        costs: of the calls.
        pushed: see ``explained``.
    """
    if record.info is None:
        return SyncStep.NOTHING
    total = record.info.counts.total
    if not record.synced:
        return SyncStep.LIST if total or record.tasks else SyncStep.NOTHING
    if explained(record, pushed=pushed):
        return SyncStep.NOTHING
    probing = probes_needed(record, pushed=pushed) * costs.get
    return SyncStep.PROBE if probing < costs.get + total * costs.listed else SyncStep.LIST


def probes_needed(record: SessionRecord, *, pushed: bool = False) -> int:
    """Return about how many GetTasks explain the counters."""
    if record.info is None:
        return 0
    known, engine = record.counts, record.info.counts
    new = max(0, engine.total - known.total)
    if pushed:
        return new + 1
    ended = max(0, engine.terminal - known.terminal)
    return new + ended + max(engine.running, known.running) + 1


class ProbePass:
    """One pass over a session: yields ids to ask, batch by batch, until nothing is left to learn.

    Ids come lowest unfinished first, then new ones from the highest known on, until two of those
    were not found. The pass stops (``gave_up``) when it has asked more than a list would cost.
    """

    def __init__(self, record: SessionRecord, *, limit: int, pushed: bool = False) -> None:
        self._record = record
        self._pushed = pushed
        self._asked: set[int] = set()
        self._misses = 0
        self._next_new = record.highest + 1
        self._left = max(limit, BATCH)
        self.over_limit = False

    def batch(self) -> list[int]:
        """Return the next ids to ask; empty when the pass is over."""
        record = self._record
        if record.info is None or explained(record, pushed=self._pushed):
            return []
        wanted = self._new() if self._pushed else self._old() + self._new()
        if len(wanted) > self._left:
            self.over_limit = True
            return []
        self._left -= len(wanted)
        self._asked.update(wanted)
        return wanted

    def answered(self, number: int, *, found: bool) -> None:
        """Record that a GetTask of ``number`` was answered, or returned not found."""
        if not found and number >= self._record.highest:
            self._misses += 1

    def _old(self) -> list[int]:
        record = self._record
        assert record.info is not None
        known, engine = record.counts, record.info.counts
        ended = engine.terminal - known.terminal
        if ended <= 0 and known.running == engine.running:
            return []
        wanted = max(engine.running, known.running) + max(0, ended)
        fresh = (number for number in record.unfinished() if number not in self._asked)
        return list(islice(fresh, min(max(wanted, 1), BATCH)))

    def _new(self) -> list[int]:
        record = self._record
        assert record.info is not None
        if self._misses >= MISSES:
            return []
        self._next_new = max(self._next_new, record.highest + 1)
        wanted = max(record.info.counts.total - record.counts.total, 1)
        first, self._next_new = self._next_new, self._next_new + min(wanted, BATCH)
        return list(range(first, self._next_new))


def retry_delay(attempt: int, *, first: float, limit: float) -> float:
    """Return ``first`` doubled with each attempt (0, 1, ...), at most ``limit`` seconds."""
    return float(min(limit, first * 2.0 ** min(attempt, 30)))
