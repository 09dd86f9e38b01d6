"""Token buckets: the rate holds, first come, first served, debts are paid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.watching.policy.rate_limits import (
    LONGEST,
    LONGEST_DEBT,
    SHORTEST,
    Bucket,
    Deadline,
    Limits,
    Pace,
)


@given(
    st.floats(0.1, 1000),
    st.floats(0.01, 2),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=100),
)
def test_the_rate_holds_and_none_overtakes(rate: float, burst: float, pauses) -> None:
    bucket = Bucket(rate, burst=burst)
    now, starts = 0.0, []
    for pause in pauses:
        now += pause
        starts.append(now + bucket.take(1.0, now))
    assert starts == pytest.approx(sorted(starts), abs=1e-6), "one went before its turn"
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            allowed = rate * (starts[last] - starts[first] + burst) + 1 + 1e-6
            assert last - first <= allowed, "faster than the rate"


def test_what_is_not_used_is_not_saved_up_beyond_the_burst() -> None:
    bucket = Bucket(10.0, burst=0.5)
    assert bucket.take(5.0, 0.0) == 0.0
    assert bucket.take(5.0, 3600.0) == 0.0
    assert bucket.take(1.0, 3600.0) == pytest.approx(0.1)


def test_a_debt_is_learned_after_the_fact_and_ends() -> None:
    limits = Limits(1000.0, 2000.0)
    limits.received(11_000, 0.0, lists=True)
    assert limits.call(0.0, lists=True) == pytest.approx(10.0)
    assert limits.call(0.0, lists=False) == 0.0, "single tasks do not pay for lists"
    limits.received(1e12, 10.0, lists=True)
    assert limits.call(10.0, lists=True) == pytest.approx(LONGEST_DEBT)
    assert limits.call(10.0 + LONGEST_DEBT, lists=True) == pytest.approx(0.0)


def test_another_rate_holds_from_now_on() -> None:
    limits = Limits(1.0, 1e9)
    assert limits.call(0.0, lists=False) == pytest.approx(0.9)
    limits.resize(100.0, 1e9)
    assert limits.call(0.0, lists=False) == pytest.approx(0.019)


class TestPace:
    def test_polls_take_a_fiftieth_of_the_time(self) -> None:
        pace = Pace()
        for _ in range(3):
            rest = pace.rest(0.012)
        assert rest == pytest.approx(0.6)

    def test_one_poll_that_waited_for_the_engine_makes_no_long_rest(self) -> None:
        pace = Pace()
        pace.rest(0.01)
        assert pace.rest(20.0) < 3.0
        assert pace.rest(0.01) == pytest.approx(0.5)

    def test_an_engine_that_stays_slow_is_polled_less(self) -> None:
        pace = Pace()
        pace.rest(0.01)
        pace.rest(1.0)
        assert pace.rest(1.0) == pytest.approx(50.0)
        pace.rest(10.0)
        assert pace.rest(10.0) == 60.0


class TestDeadline:
    def test_what_is_given_is_kept_to(self) -> None:
        deadline = Deadline()
        deadline.configure(0.5, 60.0)
        deadline.silent()
        deadline.answered(10.0)
        assert deadline.seconds == 0.5

    def test_it_is_well_above_what_polls_take(self) -> None:
        deadline = Deadline()
        assert deadline.seconds == SHORTEST
        deadline.answered(0.8)
        assert deadline.seconds == pytest.approx(16.0)
        deadline.answered(5.0)
        assert deadline.seconds == LONGEST
        for _ in range(100):
            deadline.answered(0.01)
        assert deadline.seconds == SHORTEST

    def test_rare_polls_wait_longer(self) -> None:
        deadline = Deadline()
        deadline.configure(None, 3.0)
        assert deadline.seconds == 15.0

    def test_a_slow_engine_is_given_more_time_after_each_silence_until_it_answers(self) -> None:
        deadline = Deadline()
        given = []
        for _ in range(2000):
            given.append(deadline.seconds)
            deadline.silent()
        assert given[:4] == [5.0, 10.0, 20.0, 30.0]
        assert max(given) == LONGEST
        deadline.answered(0.1)
        assert deadline.seconds == SHORTEST
