"""A breaker opens after failures in a row, lets one through in time, and closes when that works."""

from __future__ import annotations

import pytest

from flamepy.informers.outcomes.breaker import Breaker, BreakerState


def failing(count: int = 3, now: float = 0.0) -> Breaker:
    breaker = Breaker(3, 10.0)
    for _ in range(count):
        breaker.failed(now)
    return breaker


def test_it_opens_at_the_limit_and_says_so_once() -> None:
    breaker = Breaker(3, 10.0)
    assert [breaker.failed(0.0) for _ in range(5)] == [False, False, True, False, False]
    assert (breaker.state, breaker.admits(9.9)) == (BreakerState.OPEN, False)


def test_a_success_in_between_counts_from_the_start() -> None:
    breaker = failing(2)
    assert not breaker.succeeded()
    assert not breaker.failed(0.0)
    assert breaker.admits(0.0)


def test_one_is_let_through_when_it_is_time_and_its_success_closes() -> None:
    breaker = failing()
    assert (breaker.admits(10.0), breaker.admits(10.0)) == (True, False)
    assert breaker.succeeded()
    assert (breaker.admits(10.0), breaker.admits(10.0)) == (True, True)


def test_a_probe_that_fails_opens_it_again_without_another_report() -> None:
    breaker = failing()
    assert breaker.admits(10.0)
    assert not breaker.failed(11.0)
    assert (breaker.admits(20.9), breaker.admits(21.0)) == (False, True)


@pytest.mark.parametrize("count", [1, 100])
def test_without_a_limit_it_stays_closed(count: int) -> None:
    breaker = Breaker(None, 10.0)
    assert not any(breaker.failed(0.0) for _ in range(count))
    assert breaker.admits(0.0)
