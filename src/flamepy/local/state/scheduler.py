"""Which session gets an executor, and which idle executor goes. Pure.

The engine's ``priority`` policy (docs/protocol.md#scheduling): demand is pending plus running tasks
within [min_instances, max_instances]; executors are handed out by priority, then by age; a session
below the highest priority that has pending tasks gets none. Where all executors are taken and some
idle, the longest idle one of a session that has more than it is handed makes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What the decision needs to know of one open session that may still get executors."""

    session_id: str
    priority: int
    order: int
    pending: int
    running: int
    min_instances: int
    max_instances: int | None
    executors: int  # binding and bound
    held_back: bool = False  # a bind failed a moment ago

    @property
    def kept(self) -> int:
        """How many executors the session keeps without tasks."""
        least, most = self.min_instances, self.max_instances
        return least if most is None else min(least, most)

    @property
    def wanted(self) -> int:
        """How many executors the session could use."""
        wanted = max(self.pending + self.running, self.min_instances)
        return wanted if self.max_instances is None else min(wanted, self.max_instances)


@dataclass(frozen=True, slots=True)
class Idle:
    """A bound executor without a task, oldest first in the list."""

    executor_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Sessions to start an executor for (once per entry), and executors to release.

    Attributes:
        start, release: ids of sessions, and of executors.
        starved: sessions whose pending tasks get no executor before another session is closed,
            because the ``min_instances`` of sessions that go first keep them all.
    """

    start: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    starved: tuple[str, ...] = ()


def decide(demands: Sequence[Demand], idle: Sequence[Idle], *, alive: int, limit: int) -> Decision:
    """Return what to start and what to release.

    Args:
        demands: sessions with demand; others need not be named.
        idle: bound executors that wait for a task, longest first.
        alive: executors in all, those that are ending included.
        limit: executors allowed in all.
    """
    top = max((one.priority for one in demands if one.pending), default=0)
    ranked = sorted(demands, key=lambda one: (-one.priority, one.order))
    budget = limit
    free = limit - alive
    start: list[str] = []
    starved: list[str] = []
    spare: dict[str, int] = {}
    short, unkept = 0, limit
    for one in ranked:
        granted = min(one.wanted, budget) if one.priority >= top else 0
        budget -= granted
        spare[one.session_id] = one.executors - granted
        missing = 0 if one.held_back else max(0, granted - one.executors)
        now = min(missing, max(free, 0))
        start += [one.session_id] * now
        free -= now
        short += missing - now
        if unkept <= 0 and one.pending and not one.executors and one.priority >= top:
            starved.append(one.session_id)
        unkept -= one.kept
    return Decision(tuple(start), _make_room(spare, idle, short), tuple(starved))


def _make_room(spare: dict[str, int], idle: Sequence[Idle], short: int) -> tuple[str, ...]:
    release: list[str] = []
    for one in idle:
        if len(release) >= short:
            break
        left = spare.get(one.session_id, 1)
        if left > 0:
            release.append(one.executor_id)
            if one.session_id in spare:
                spare[one.session_id] = left - 1
    return tuple(release)
