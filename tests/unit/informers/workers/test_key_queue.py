"""Which event begins next: one of each key at a time, in order, and a wait holds its key alone."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flamepy.informers.workers.key_queue import FAIR, KeyQueue, Place, Slot

KEYS = ["a", "b", "c"]


def taken(queue: KeyQueue[Any], now: float = 0.0, waiting: int = 0) -> list[Any]:
    """Begin all that can."""
    entries = []
    while (slot := queue.take(now, waiting)) is not None:
        entries.append(slot.entry)
    return entries


class Machine(RuleBasedStateMachine):
    """A queue beside a model that has every entry in the order of its addition."""

    @initialize()
    def begin(self) -> None:
        self.queue: KeyQueue[int] = KeyQueue()
        self.now = 0.0
        self.waiting: dict[str, list[tuple[int, bool]]] = {key: [] for key in KEYS}
        self.running: dict[str, Slot[int]] = {}
        self.parked: dict[str, tuple[float, int]] = {}
        self.barriers: dict[int, set[int]] = {}  # what each waits for
        self.begun: dict[str, list[int]] = {key: [] for key in KEYS}
        self.added: dict[str, list[int]] = {key: [] for key in KEYS}
        self.number = 0

    @rule(key=st.sampled_from(KEYS), initial=st.booleans())
    def add(self, key: str, initial: bool) -> None:
        self.number += 1
        self.queue.add(self.number, key, initial=initial)
        self.added[key].append(self.number)
        line = self.waiting[key]
        if initial and all(first for _, first in line):
            line.append((self.number, True))
        else:  # what waits before a live one goes with it
            self.waiting[key] = [(number, False) for number, _ in line] + [(self.number, False)]

    @rule()
    def add_barrier(self) -> None:
        self.number += 1
        self.queue.add(self.number, Place.BARRIER)
        self.barriers[self.number] = self._unfinished()

    def _unfinished(self) -> set[int]:
        waiting = {number for line in self.waiting.values() for number, _ in line}
        running = {slot.entry for slot in self.running.values()}
        return waiting | running | {number for _, number in self.parked.values()}

    @rule()
    def take(self) -> None:
        slot = self.queue.take(self.now)
        due = [key for key, (until, _) in self.parked.items() if until <= self.now]
        ready = [number for number, left in self.barriers.items() if not left]
        free = [
            key
            for key, line in self.waiting.items()
            if line and key not in self.running and key not in self.parked
        ]
        if slot is None:
            assert [*due, *ready, *free] == [], "nothing that could run waits"
            return
        if slot.entry in self.barriers:
            assert not self.barriers.pop(slot.entry)
            self.queue.done(slot)
            return
        key = str(slot.key)
        assert key not in self.running, "one of a key at a time"
        if key in self.parked:
            until, number = self.parked.pop(key)
            assert (number, until <= self.now) == (slot.entry, True)
        else:
            number, initial = self.waiting[key].pop(0)
            assert number == slot.entry, "in order"
            assert not due, "what is due goes first"
            self.begun[key].append(number)
            if initial and self.queue._turn % FAIR:
                others = [line for one, line in self.waiting.items() if one in free and one != key]
                assert all(line[0][1] for line in others), "live ones go first"
        self.running[key] = slot

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if not self.running:
            return
        slot = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        if data.draw(st.booleans()):
            until = self.now + data.draw(st.integers(0, 3))
            self.queue.park(slot, until)
            self.parked[str(slot.key)] = (until, slot.entry)
            return
        self.queue.done(slot)
        for left in self.barriers.values():
            left.discard(slot.entry)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert len(self.queue) == len(self._unfinished()) + len(self.barriers)
        assert self.queue.running == len(self.running)
        for key, begun in self.begun.items():
            assert begun == self.added[key][: len(begun)]
        due = self.queue.next_due()
        assert due == min((until for until, _ in self.parked.values()), default=None)


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestModel = Machine.TestCase


class TestOrder:
    def test_a_key_that_waits_for_a_time_holds_up_no_other(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        for entry in ("a1", "a2", "b1"):
            queue.add(entry, entry[0])
        first = queue.take(0)
        assert first is not None
        queue.park(first, 5.0)
        assert taken(queue, 4.9) == ["b1"]
        assert taken(queue, 5.0) == ["a1"]
        queue.done(first)
        assert taken(queue, 5.0) == ["a2"]

    def test_entries_without_a_key_begin_at_their_turn(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        for entry, key in [("a1", "a"), ("x", Place.FREE), ("a2", "a"), ("y", Place.FREE)]:
            queue.add(entry, key)
        assert taken(queue) == ["a1", "x", "y"]

    def test_a_group_keeps_its_key_until_none_of_it_is_unfinished(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        first = queue.add("1", "a", group="task")
        assert queue.add("2", "b", group="task").key == "a"
        assert taken(queue) == ["1"]
        queue.done(first)
        second = queue.take(0)
        assert second is not None
        queue.done(second)
        assert queue.add("3", "b", group="task").key == "b"


class TestPlaces:
    def test_nothing_begins_beside_a_wall(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        before = queue.add("before", "a")
        wall = queue.add("wall", Place.WALL)
        queue.add("after", "b")
        queue.add("first", "c", initial=True)
        assert taken(queue) == ["before"]
        queue.done(before)
        assert taken(queue) == ["wall"]
        queue.done(wall)
        assert taken(queue) == ["after", "first"]

    def test_what_waits_for_room_lets_others_go_first(self) -> None:
        queue: KeyQueue[str] = KeyQueue(4)
        queue.add("room", Place.ROOM)
        queue.add("a", "a")
        assert taken(queue, waiting=4) == ["a"]
        assert len(queue) == 1, "it waits for others, nobody waits for it"
        assert taken(queue, waiting=3) == ["room"]

    def test_a_barrier_does_not_hold_up_what_comes_after_it(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        first = queue.add("first", "a")
        queue.add("barrier", Place.BARRIER)
        queue.add("second", "b")
        assert taken(queue) == ["first", "second"]
        queue.park(first, 5.0)
        assert taken(queue) == [], "what is to be tried again has not ended"
        assert taken(queue, 5.0) == ["first"]
        queue.done(first)
        assert taken(queue) == ["barrier"]

    def test_one_that_is_tried_again_stays_what_it_was(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        queue.add("free", Place.FREE)
        queue.add("barrier", Place.BARRIER)
        free = queue.take(0)
        assert free is not None
        queue.park(free, 1.0)
        assert taken(queue, 0.5) == []
        assert taken(queue, 1.0) == ["free"]
        queue.done(free)
        barrier = queue.take(1.0)
        assert barrier is not None
        queue.park(barrier, 2.0)
        assert taken(queue, 2.0) == ["barrier"]
        queue.done(barrier)
        assert not queue


class TestLanes:
    def test_a_live_one_goes_before_initial_ones_of_other_keys(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        for entry in ("a1", "b1", "c1"):
            queue.add(entry, entry[0], initial=True)
        queue.add("d2", "d")
        queue.add("b2", "b")
        order = []
        while (slot := queue.take(0)) is not None:
            order.append(slot.entry)
            queue.done(slot)
        assert order == ["d2", "b1", "b2", "a1", "c1"]

    def test_live_ones_that_never_end_do_not_keep_initial_ones_for_ever(self) -> None:
        queue: KeyQueue[str] = KeyQueue()
        queue.add("initial", "i", initial=True)
        begun = []
        for number in range(FAIR):
            queue.add(f"live {number}", number)
            slot = queue.take(0)
            assert slot is not None
            begun.append(slot.entry)
            queue.done(slot)
        assert begun[-1] == "initial"
