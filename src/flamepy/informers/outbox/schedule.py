"""``Schedule``: which entries of one outbox may be sent now. Pure.

Its owner serializes the calls, passes the time in (monotonic seconds) and loads entries from the
table: a window of each destination's, in the order of their ids. The rules:

- An entry is not sent while an earlier one of the same ordering waits or is being sent.
- After a batch of which everything has to be tried again, its destination waits as a whole, and the
  next batch to it is sent alone: a receiver that is down gets one batch at a time.
- An entry that failed alone waits alone, with those that must not overtake it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flamepy.informers.outbox.entry import StoredEntry

WINDOW = 1_000  # entries of a destination that are loaded at once, at least
FOREVER = float("inf")

Ordering = str | int  # of an entry without one its id


@dataclass(slots=True, eq=False)
class Item:
    """One entry of the window.

    Attributes:
        stored: the row; its ``event`` is "" once it waits after an attempt, and is read again.
        ordering: what it shares with those that must not overtake it.
        since: when it was stored, monotonic seconds.
        due: not before, monotonic seconds.
    """

    stored: StoredEntry
    ordering: Ordering
    since: float
    due: float


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Entries of one destination that are sent together."""

    destination: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """The entries that are to be loaded next: those of a destination after an id."""

    destination: str
    after: int
    limit: int


@dataclass(slots=True, eq=False)
class _Lane:
    """What waits for one destination."""

    queues: dict[Ordering, deque[Item]] = field(default_factory=dict)
    ready: dict[Ordering, None] = field(default_factory=dict)  # the heads that may be sent
    later: list[tuple[float, int, Ordering]] = field(default_factory=list)  # by time
    busy: set[Ordering] = field(default_factory=set)  # being sent
    batches: int = 0  # being sent
    failures: int = 0  # batches in a row
    until: float = 0.0
    loaded: int = 0  # the last id
    more: bool = True  # the table may have entries after it
    entries: int = 0

    def add(self, item: Item, now: float) -> None:
        queue = self.queues.setdefault(item.ordering, deque())
        queue.append(item)
        self.entries += 1
        if len(queue) == 1:
            self.place(item, now)

    def place(self, item: Item, now: float) -> None:
        """Have the head of an ordering be sent when it is due."""
        if item.due <= now:
            self.ready[item.ordering] = None
        else:
            heapq.heappush(self.later, (item.due, item.stored.id, item.ordering))

    def promote(self, now: float) -> None:
        while self.later and self.later[0][0] <= now:
            _, number, ordering = heapq.heappop(self.later)
            queue = self.queues.get(ordering)
            if queue and queue[0].stored.id == number and ordering not in self.busy:
                self.ready[ordering] = None

    def first(self) -> Item | None:
        for ordering in self.ready:
            return self.queues[ordering][0]
        return None

    def items(self, each: bool) -> Iterator[Item]:
        """Yield what may be sent: the head of each ordering, or with ``each`` all that follow."""
        for ordering in self.ready:
            if each:
                yield from self.queues[ordering]
            else:
                yield self.queues[ordering][0]


class Schedule:
    """The entries of one outbox that were loaded, by destination.

    Args:
        batch_size, batch_delay: as of ``OutboxOptions``.
        whole: a batch may have several entries of one ordering.
    """

    def __init__(self, *, batch_size: int, batch_delay: float, whole: bool) -> None:
        self._size = batch_size
        self._delay = batch_delay
        self._whole = whole
        self._lanes: dict[str, _Lane] = {}
        self.disabled: dict[str, str] = {}  # destinations, and why; "*" for all
        self.batches = 0  # being sent

    def clear(self) -> None:
        """Forget what was loaded; while nothing is being sent."""
        for lane in self._lanes.values():
            fresh = _Lane(failures=lane.failures, until=lane.until)
            lane.queues, lane.ready, lane.later = fresh.queues, fresh.ready, fresh.later
            lane.loaded, lane.more, lane.entries = fresh.loaded, fresh.more, fresh.entries

    def hasten(self) -> None:
        """End the waits of destinations."""
        for lane in self._lanes.values():
            lane.until = 0.0

    def announce(self, destination: str) -> None:
        """Record that the table has further entries of a destination."""
        self._lanes.setdefault(destination, _Lane()).more = True

    def loaded(self, load: Load, items: Iterable[Item], now: float) -> None:
        """Add what was loaded; fewer than ``load.limit`` mean that there are no more."""
        lane = self._lanes[load.destination]
        count = 0
        for item in items:
            lane.add(item, now)
            lane.loaded = item.stored.id
            count += 1
        lane.more = count >= load.limit

    def take(self, now: float, *, flushing: bool = False) -> Taken | Load | None:
        """Return what is to be sent now, or loaded first; None if nothing is.

        Args:
            now: monotonic seconds.
            flushing: batches are sent before they are full and old enough.
        """
        for destination, lane in list(self._lanes.items()):
            if not self._may_send(destination, lane, now):
                continue
            lane.promote(now)
            items = self._batch(lane)
            if len(items) < self._size and lane.more:
                limit = max(WINDOW, 2 * self._size)
                return Load(destination, lane.loaded, limit)
            if not items or now < self._sends_at(lane, items, flushing=flushing):
                continue
            self._lanes[destination] = self._lanes.pop(destination)  # the others come first
            return self._begin(destination, lane, items)
        return None

    def _may_send(self, destination: str, lane: _Lane, now: float) -> bool:
        if self.is_disabled(destination) or now < lane.until:
            return False
        return not (lane.failures and lane.batches)

    def is_disabled(self, destination: str) -> bool:
        """Whether nothing is sent to a destination."""
        return bool(self.disabled) and bool({"*", destination} & set(self.disabled))

    def _batch(self, lane: _Lane) -> list[Item]:
        items: list[Item] = []
        for item in lane.items(self._whole):
            items.append(item)
            if len(items) >= self._size:
                break
        return items

    def _sends_at(self, lane: _Lane, items: list[Item], *, flushing: bool) -> float:
        if flushing or len(items) >= self._size:
            return 0.0
        return min(one.since for one in items) + self._delay

    def _begin(self, destination: str, lane: _Lane, items: list[Item]) -> Taken:
        for item in items:
            lane.ready.pop(item.ordering, None)
            lane.busy.add(item.ordering)
        lane.batches += 1
        self.batches += 1
        if self._whole:
            items.sort(key=lambda one: one.stored.id)
        return Taken(destination, tuple(items))

    def ended(self, taken: Taken, gone: set[int], now: float, *, wait: float | None = None) -> None:
        """Record what became of a batch; each item that stays has its next ``due``.

        Args:
            taken: the batch.
            gone: ids that were sent, or given up.
            now: monotonic seconds.
            wait: seconds for which the destination waits, if all of it failed.
        """
        lane = self._lanes[taken.destination]
        lane.batches -= 1
        self.batches -= 1
        if wait is None:
            lane.failures = 0
        else:
            lane.failures += 1
            lane.until = max(lane.until, now + wait)
        for ordering in dict.fromkeys(one.ordering for one in taken.items):
            lane.busy.discard(ordering)
            left = deque(one for one in lane.queues[ordering] if one.stored.id not in gone)
            lane.entries -= len(lane.queues[ordering]) - len(left)
            if left:
                lane.queues[ordering] = left
                lane.place(left[0], now)
            else:
                del lane.queues[ordering]

    @property
    def destinations(self) -> list[str]:
        """The destinations that anything went to."""
        return list(self._lanes)

    @property
    def worst(self) -> int:
        """How many batches to one destination failed in a row, at most; from any thread."""
        return max((one.failures for one in list(self._lanes.values())), default=0)

    def failures(self, destination: str) -> int:
        """Return how many batches to a destination failed in a row."""
        lane = self._lanes.get(destination)
        return 0 if lane is None else lane.failures

    def sending(self) -> set[int]:
        """Return the ids of what is being sent, and of what must not overtake it."""
        return {
            one.stored.id
            for lane in self._lanes.values()
            for ordering in lane.busy
            for one in lane.queues[ordering]
        }

    def forget(self, ids: set[int], now: float) -> None:
        """Forget entries that were dropped, and are not being sent."""
        for lane in self._lanes.values():
            for ordering in [key for key in lane.queues if key not in lane.busy]:
                queue = lane.queues[ordering]
                left = deque(one for one in queue if one.stored.id not in ids)
                if len(left) == len(queue):
                    continue
                lane.entries -= len(queue) - len(left)
                lane.ready.pop(ordering, None)
                if left:
                    lane.queues[ordering] = left
                    lane.place(left[0], now)
                else:
                    del lane.queues[ordering]

    def next_due(self, now: float) -> float:
        """Return when ``take`` may have something next, monotonic seconds; inf if nothing waits."""
        return min((self._due(*one, now) for one in self._lanes.items()), default=FOREVER)

    def _due(self, destination: str, lane: _Lane, now: float) -> float:
        if self.is_disabled(destination) or (lane.failures and lane.batches):
            return FOREVER
        times = [lane.later[0][0]] if lane.later else []
        if lane.more:
            times.append(now)
        first = lane.first()
        if first is not None:
            times.append(first.since + self._delay)
        return max(lane.until, min(times, default=FOREVER))
