"""``KeyQueue``: which of the waiting entries begins next, one of each key at a time. Pure.

Entries begin in the order in which they were added, but for three rules: one whose key is taken
waits for it and holds up no other key; one that is to be tried again at a time keeps its key and
nothing else; live entries go before initial ones of other keys. ``worker_pool`` and ``worker`` act
by it; time comes in as an argument.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

E = TypeVar("E")
FAIR = 8  # one in this number of entries that begin is an initial one, if any waits


class Place(enum.Enum):
    """When an entry without a key begins."""

    FREE = "at its turn, beside any other"
    WALL = "at its turn, when nothing runs; nothing begins before it has ended"
    BARRIER = "when everything that was added before it has ended"
    ROOM = "when at most half of the limit waits"


Key = Hashable  # or a Place


@dataclass(slots=True, eq=False)
class Slot(Generic[E]):
    """An entry of a queue, from ``add`` until ``done``."""

    entry: E
    key: Key
    number: int  # in the order of ``add``
    barriers: int  # how many were added before it
    group: Hashable = None
    initial: bool = False
    awaited: bool = True  # a barrier waits for it


@dataclass(slots=True)
class _Group:
    """Entries that keep the key of the first of them, while any is unfinished."""

    key: Key
    size: int = 0


class KeyQueue(Generic[E]):
    """The entries of one informer that wait or run. Not thread-safe.

    Args:
        limit: of what waits; see ``Place.ROOM``.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._live: deque[Slot[E]] = deque()
        self._live_of: dict[Key, int] = {}  # how many of each key wait in ``_live``
        self._initial: deque[Slot[E]] = deque()
        self._initial_of: dict[Key, list[Slot[E]]] = {}  # those that wait in ``_initial``
        self._lines: dict[Key, deque[Slot[E]]] = {}  # by each key that is taken: what waits for it
        self._released: list[tuple[int, Key]] = []  # keys whose line may go on, a heap
        self._late: list[tuple[int, Key]] = []  # those whose line has initial entries alone
        self._late_numbers: dict[Key, int] = {}  # what of ``_late`` still holds
        self._parked: list[tuple[float, int, Slot[E]]] = []  # by their time, a heap
        self._barriers: deque[Slot[E]] = deque()  # reached, and not ready
        self._for_room: deque[Slot[E]] = deque()
        self._groups: dict[Hashable, _Group] = {}
        self._open: dict[int, int] = {}  # unfinished entries by the barriers before them
        self._added = self._barriers_added = 0
        self._running = 0
        self._walled = False
        self._size = 0
        self._turn = 0

    def __len__(self) -> int:
        """Return how many entries have not ended, without those that wait for room."""
        return self._size - len(self._for_room)

    def __bool__(self) -> bool:
        return self._size > 0

    @property
    def running(self) -> int:
        """How many entries run."""
        return self._running

    def add(self, entry: E, key: Key, *, group: Hashable = None, initial: bool = False) -> Slot[E]:
        """Add an entry.

        Args:
            entry: what waits.
            key: of which one entry runs at a time, or a ``Place``.
            group: as long as an entry of the group is unfinished, later ones have its key.
            initial: it lets live entries of other keys go first.
        """
        if group is not None:
            known = self._groups.setdefault(group, _Group(key))
            known.size += 1
            key = known.key
        slot = self._slot(entry, key, group, initial)
        if key is Place.BARRIER:
            self._barriers_added += 1
        if initial and key not in self._live_of:
            self._initial.append(slot)
            self._initial_of.setdefault(key, []).append(slot)
            return slot
        for earlier in self._initial_of.pop(key, ()) if self._initial_of else ():
            self._add_live(earlier)  # which ``_initial`` leaves out then
        self._add_live(slot)
        return slot

    def _add_live(self, slot: Slot[E]) -> None:
        slot.initial = False
        self._live.append(slot)
        self._live_of[slot.key] = self._live_of.get(slot.key, 0) + 1

    def _take_live(self) -> None:
        slot = self._live.popleft()
        left = self._live_of.pop(slot.key) - 1
        if left:
            self._live_of[slot.key] = left

    def begin(self, entry: E, key: Key) -> Slot[E]:
        """Add an entry that runs already; its key must be free."""
        slot = self._slot(entry, key, None, False)
        self._running += 1
        if isinstance(key, Place):
            slot.key = slot
        self._lines[slot.key] = deque()
        return slot

    def _slot(self, entry: E, key: Key, group: Hashable, initial: bool) -> Slot[E]:
        self._added += 1
        self._size += 1
        slot = Slot(entry, key, self._added, self._barriers_added, group, initial)
        slot.awaited = key is not Place.BARRIER and key is not Place.ROOM
        if slot.awaited:
            self._open[slot.barriers] = self._open.get(slot.barriers, 0) + 1
        return slot

    # ------------------------------------------------------------------ taking

    def take(self, now: float, waiting: int = 0) -> Slot[E] | None:
        """Return the entry that begins next; None if none can now.

        Args:
            now: seconds, of the clock of ``park``.
            waiting: what counts towards the limit now, entries that wait for room included.
        """
        if self._walled:
            return None
        slot = self._next(now, waiting)
        if slot is not None:
            self._running += 1
        return slot

    def _next(self, now: float, waiting: int) -> Slot[E] | None:
        if self._parked and self._parked[0][0] <= now:
            return heappop(self._parked)[2]
        if self._barriers and not self._unfinished_before(self._barriers[0]):
            return self._barriers.popleft()
        if self._for_room and self._has_room(waiting):
            return self._for_room.popleft()
        self._turn += 1
        walled = bool(self._live) and self._live[0].key is Place.WALL
        if walled or not (self._initial or self._late):
            return self._of_live(waiting)
        if self._turn % FAIR == 0:
            return self._of_initial() or self._of_live(waiting)
        return self._of_live(waiting) or self._of_initial()

    def _of_live(self, waiting: int) -> Slot[E] | None:
        while self._live:
            slot = self._live[0]
            if self._released and self._released[0][0] < slot.number:
                break
            key = slot.key
            if isinstance(key, Place):
                if key is Place.WALL and self._running:
                    return None
                self._take_live()
                if self._admits(slot, waiting):
                    return slot
                continue
            self._take_live()
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = deque()
                return slot
            self._promote(key, line)
            line.append(slot)
        return self._of_released()

    def _promote(self, key: Key, line: deque[Slot[E]]) -> None:
        """Let the initial entries of a line go as live ones: one of these waits after them."""
        for slot in reversed(line):
            if not slot.initial:
                break
            slot.initial = False
        if self._late_numbers.pop(key, None) is not None:
            heappush(self._released, (line[0].number, key))

    def _admits(self, slot: Slot[E], waiting: int) -> bool:
        """Return whether an entry without a key, whose turn it is, begins now."""
        if slot.key is Place.BARRIER and self._unfinished_before(slot):
            self._barriers.append(slot)
            return False
        if slot.key is Place.ROOM:
            self._for_room.append(slot)
            if not self._has_room(waiting):
                return False
            self._for_room.pop()
        self._walled = slot.key is Place.WALL
        return True

    def _has_room(self, waiting: int) -> bool:
        return 2 * (waiting - len(self._for_room)) <= self._limit

    def _of_released(self) -> Slot[E] | None:
        if not self._released:
            return None
        _, key = heappop(self._released)
        return self._lines[key].popleft()

    def _of_initial(self) -> Slot[E] | None:
        while self._late:
            number, key = heappop(self._late)
            if self._late_numbers.get(key) == number:
                del self._late_numbers[key]
                return self._lines[key].popleft()
        while self._initial:
            slot = self._initial.popleft()
            if not slot.initial:
                continue  # it is a live one now
            key = slot.key
            same = self._initial_of[key]
            del same[0]
            if not same:
                del self._initial_of[key]
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = deque()
                return slot
            line.append(slot)
        return None

    def _unfinished_before(self, barrier: Slot[E]) -> bool:
        return any(before <= barrier.barriers for before in self._open)

    # ------------------------------------------------------------------ ending

    def done(self, slot: Slot[E]) -> None:
        """Record that a running entry has ended."""
        self._running -= 1
        self._size -= 1
        if slot.key is Place.WALL:
            self._walled = False
        if slot.awaited:
            self._open[slot.barriers] -= 1
            if not self._open[slot.barriers]:
                del self._open[slot.barriers]
        if not isinstance(slot.key, Place):
            self._release(slot.key)
        if slot.group is not None:
            group = self._groups[slot.group]
            group.size -= 1
            if not group.size:
                del self._groups[slot.group]

    def _release(self, key: Key) -> None:
        line = self._lines[key]
        if line and line[0].initial:
            self._late_numbers[key] = line[0].number
            heappush(self._late, (line[0].number, key))
        elif line:
            heappush(self._released, (line[0].number, key))
        else:
            del self._lines[key]

    def park(self, slot: Slot[E], until: float) -> None:
        """Have a running entry wait until a time; its key waits with it, no other key does."""
        self._running -= 1
        if isinstance(slot.key, Place):
            self._walled = False
            slot.key = slot
            self._lines[slot.key] = deque()
        heappush(self._parked, (until, slot.number, slot))

    def next_due(self) -> float | None:
        """Return when an entry that waits for a time may begin; None if none does."""
        return self._parked[0][0] if self._parked else None

    def parked(self) -> list[E]:
        """Return the entries that wait for a time."""
        return [slot.entry for _, _, slot in self._parked]

    @property
    def has_ready(self) -> bool:
        """Whether more may begin now, or can be looked at; True too often rather than not."""
        waits = self._live or self._initial or self._released or self._late or self._for_room
        return bool(waits)
