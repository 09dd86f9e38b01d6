"""The rate limit: a burst, then one message after each share of the period, over restarts too."""

from __future__ import annotations

import pytest
from flamepy_notify.rate_limit import RateLimit

from flamepy.errors import InvalidArgumentError

START = 1_800_000_000.0


def burst(limit: RateLimit, now: float) -> int:
    """Take what there is; return how much it was."""
    for count in range(1000):
        if limit.wait(now) > 0:
            return count
        limit.take(now)
    raise AssertionError("there is no limit")


def test_so_many_at_once_and_then_one_after_each_share() -> None:
    limit = RateLimit("3/hour")
    assert burst(limit, START) == 3
    assert limit.wait(START) == pytest.approx(1200)
    assert limit.wait(START + 1199) == pytest.approx(1)
    assert burst(limit, START + 1200) == 1
    assert burst(limit, START + 100_000) == 3


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limit = RateLimit("2/minute")
    burst(limit, START)
    assert limit.wait(START - 1000) > 0
    assert burst(limit, START - 1000 + 60) == 2


def test_a_restart_gives_no_new_burst() -> None:
    limit = RateLimit("2/day")
    burst(limit, START)
    other = RateLimit("2/day")
    other.load(limit.dump())
    assert other.wait(START + 1) > 0
    for state in (None, [], ["x", 1], [1.0], "x"):
        fresh = RateLimit("2/day")
        fresh.load(state)
        assert burst(fresh, START) == 2


@pytest.mark.parametrize(
    "text", ["", "20", "0/hour", "20/week", "-1/hour", "1.5/hour", "20/hours x"]
)
def test_another_form_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="as in '20/hour'"):
        RateLimit(text)
