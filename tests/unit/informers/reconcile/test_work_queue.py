"""``WorkQueue``: each key once, none twice at a time, none lost, in order, with back-off."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flamepy.errors import InvalidArgumentError
from flamepy.informers.reconcile.work_queue import Backoff, WorkQueue


def queue(*, interval: float = 0.0, backoff: Backoff | None = None) -> WorkQueue[str]:
    return WorkQueue(
        backoff or Backoff(initial=1, maximum=8, jitter=0), interval=interval, random=lambda: 0.0
    )


class TestKeys:
    def test_come_in_the_order_in_which_they_were_added_each_once(self) -> None:
        keys = queue()
        for key in "abab":
            keys.add(key, 0.0)
        assert (keys.depth, keys.take(0.0), keys.take(0.0), keys.take(0.0)) == (2, "a", "b", None)

    def test_one_that_runs_is_not_taken_again_until_its_run_ended(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        assert keys.take(0.0) == "a"
        keys.add("a", 0.0)
        assert keys.take(0.0) is None
        assert keys.next_due(0.0) is None
        keys.succeeded("a", 0.0)
        assert keys.take(0.0) == "a"

    def test_one_that_ended_well_is_forgotten(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        keys.succeeded("a", 0.0)
        assert (keys.depth, keys.running, keys.next_due(0.0), keys._keys) == (0, 0, None, {})

    def test_one_that_is_due_later_comes_then_or_with_an_event_before(self) -> None:
        keys = queue()
        keys.add_at("a", 5.0, 0.0)
        keys.add_at("b", 6.0, 0.0)
        assert (keys.take(4.9), keys.next_due(4.9)) == (None, 5.0)
        keys.add("b", 4.9)
        assert (keys.take(4.9), keys.take(5.0), keys.take(9.0)) == ("b", "a", None)

    def test_of_two_times_the_earlier_holds(self) -> None:
        keys = queue()
        keys.add_at("a", 5.0, 0.0)
        keys.add_at("a", 9.0, 0.0)
        keys.add_at("a", 3.0, 0.0)
        assert (keys.take(2.9), keys.take(3.0)) == (None, "a")
        keys.succeeded("a", 3.0)
        assert (keys.next_due(3.0), keys.take(99.0)) == (None, None)

    def test_a_time_that_was_given_while_the_key_ran_holds_after_the_run(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        keys.add_at("a", 5.0, 0.0)
        assert keys.take(6.0) is None
        keys.succeeded("a", 1.0)
        assert (keys.take(4.0), keys.take(5.0)) == (None, "a")

    def test_a_run_may_ask_for_another_one_and_an_event_is_sooner(self) -> None:
        keys = queue()
        for key in "ab":
            keys.add(key, 0.0)
            keys.take(0.0)
        keys.add("b", 0.0)
        keys.succeeded("a", 0.0, again_at=7.0)
        keys.succeeded("b", 0.0, again_at=7.0)
        assert (keys.take(0.0), keys.take(6.9), keys.take(7.0)) == ("b", None, "a")


class TestFailures:
    def test_each_in_a_row_makes_the_wait_longer_up_to_a_limit(self) -> None:
        keys, now, waits = queue(), 0.0, []
        keys.add("a", now)
        for _ in range(6):
            assert keys.take(now) == "a"
            waits.append(keys.failed("a", now))
            now += waits[-1]
        assert waits == [1, 2, 4, 8, 8, 8]
        assert keys.failures("a") == 6

    def test_a_run_that_ends_well_makes_the_next_wait_short_again(self) -> None:
        keys = queue()
        for end in (keys.failed, keys.failed, keys.succeeded, keys.failed):
            keys.add("a", 100.0)
            keys.take(100.0) or keys.take(200.0)
            last = end("a", 100.0)
        assert last == 1

    def test_an_event_does_not_shorten_the_wait(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        keys.add("a", 0.0)
        keys.failed("a", 0.0)
        keys.add("a", 0.5)
        keys.add_at("a", 0.6, 0.5)
        assert (keys.take(0.9), keys.next_due(0.9), keys.take(1.0)) == (None, 1.0, "a")

    def test_a_run_may_say_how_long_to_wait(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        assert keys.failed("a", 0.0, delay=30.0) == 30.0
        assert (keys.take(29.0), keys.take(30.0)) == (None, "a")

    def test_one_that_failed_for_good_waits_for_its_next_event(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        keys.dropped("a", 0.0)
        assert keys.next_due(99.0) is None
        keys.add("a", 99.0)
        assert keys.take(99.0) == "a"

    def test_one_key_that_fails_delays_no_other(self) -> None:
        keys = queue()
        keys.add("a", 0.0)
        keys.take(0.0)
        keys.failed("a", 0.0)
        keys.add("b", 0.0)
        assert keys.take(0.0) == "b"


def test_runs_start_an_interval_apart() -> None:
    keys = queue(interval=0.5)
    for key in "ab":
        keys.add(key, 0.0)
    assert (keys.take(0.0), keys.take(0.4), keys.next_due(0.4), keys.take(0.5)) == (
        "a",
        None,
        0.5,
        "b",
    )


def test_a_stop_keeps_what_is_due_and_forgets_what_is_due_later() -> None:
    keys = queue()
    keys.add("a", 0.0)
    keys.add_at("b", 5.0, 0.0)
    keys.drop_later(0.0)
    assert (keys.take(9.0), keys.take(9.0)) == ("a", None)


def test_a_stop_forgets_what_waits_for_the_rate() -> None:
    keys = queue(interval=5.0)
    for key in "abc":
        keys.add(key, 0.0)
    assert keys.take(0.0) == "a"
    keys.add("a", 0.0)
    keys.drop_later(1.0)
    assert (keys.depth, keys.take(9.0)) == (1, None)
    keys.succeeded("a", 2.0)
    assert (keys.depth, keys.take(9.0)) == (1, "a")


def test_what_waits_can_be_dropped_while_a_key_runs() -> None:
    keys = queue()
    for key in "abc":
        keys.add(key, 0.0)
    assert keys.take(0.0) == "a"
    keys.add("a", 0.0)
    assert keys.clear() == 3
    assert keys.take(0.0) is None
    keys.succeeded("a", 0.0)
    assert (keys.take(9.0), keys.depth, keys.running) == (None, 0, 0)


def test_the_oldest_is_counted_from_when_it_was_due() -> None:
    keys = queue()
    assert keys.oldest(9.0) == 0.0
    keys.add_at("a", 5.0, 0.0)
    assert keys.oldest(4.0) == 0.0
    assert keys.oldest(7.0) == 2.0
    assert keys.next_due(7.0) == 7.0
    assert keys.oldest(7.0) == 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": 0},
        {"initial": 5, "maximum": 1},
        {"factor": 0.5},
        {"jitter": -1},
        {"jitter": True},
        {"factor": "2"},
        {"maximum": float("nan")},
    ],
)
def test_a_backoff_of_wrong_values_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match="backoff"):
        Backoff(**wrong)  # type: ignore[arg-type]  # that is the test


def test_jitter_adds_a_share_of_the_wait() -> None:
    assert Backoff(initial=2, maximum=9, jitter=0.5).wait(1, 0.5) == 2.5


class Sequences(RuleBasedStateMachine):
    """Any sequence of calls, beside a model that notes for each key what it is owed."""

    keys = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.queue = queue()
        self.now = 0.0
        self.owed: set[str] = set()  # were added since their last start
        self.running: set[str] = set()
        self.held: dict[str, float] = {}  # failed: not before
        self.later: dict[str, float] = {}

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key, self.now)
        self.owed.add(key)

    @rule(key=keys, delay=st.floats(0, 10))
    def add_at(self, key: str, delay: float) -> None:
        self.queue.add_at(key, self.now + delay, self.now)
        self.later[key] = min(self.later.get(key, 1e9), self.now + delay)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take(self.now)
        due = {
            one
            for one in self.owed | {k for k, at in self.later.items() if at <= self.now}
            if one not in self.running and self.held.get(one, 0.0) <= self.now
        } | {one for one, at in self.held.items() if at <= self.now and one not in self.running}
        if key is None:
            assert not due
            return
        assert key in due
        self.running.add(key)
        self.owed.discard(key)
        self.later.pop(key, None)
        self.held.pop(key, None)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.booleans())
    def end(self, data: st.DataObject, failed: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        if failed:
            self.held[key] = self.now + self.queue.failed(key, self.now)
            self.owed.discard(key)
            self.later.pop(key, None)
        else:
            self.queue.succeeded(key, self.now)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert self.queue.running == len(self.running)
        assert self.queue.depth == len(self.owed | set(self.held) | set(self.later))
        waiting = (self.owed | set(self.held) | set(self.later)) - self.running
        assert (self.queue.next_due(self.now) is None) == (not waiting)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
