"""Quantiles are right to a tenth, rates to what was observed, and both forget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.view.recent import Durations, Rate, eta


@given(st.lists(st.floats(1e-4, 1e5), min_size=1, max_size=300))
def test_a_quantile_is_near_the_true_one(values: list[float]) -> None:
    durations = Durations()
    for value in values:
        durations.add(1_000.0, value)
    found = durations.quantiles(1_000.0)
    ordered = sorted(values)
    for part, seen in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        true = ordered[max(0, -int(-part * len(values) // 1) - 1)]
        assert seen is not None
        assert true / 1.21 <= seen <= true * 1.21
    assert (found.count, found.most) == (len(values), max(values))


def test_ten_minutes_later_nothing_is_left() -> None:
    durations = Durations()
    durations.add(0.0, 1.0)
    durations.add(300.0, 2.0)
    assert durations.quantiles(301.0).count == 2
    assert durations.quantiles(620.0).count == 1
    assert durations.quantiles(2_000.0).count == 0
    assert durations.quantiles(2_000.0).p50 is None


def test_a_rate_is_of_the_last_minute() -> None:
    rate = Rate()
    for second in range(200):
        rate.observe(float(second), second * 3.0)
    assert rate.per_second(199.0) == pytest.approx(3.0, rel=0.1)
    assert rate.per_second(199.0 + 300) == 0.0


def test_a_counter_that_shrank_begins_anew() -> None:
    rate = Rate()
    rate.observe(0.0, 100.0)
    rate.observe(10.0, 0.0)
    rate.observe(20.0, 10.0)
    assert rate.per_second(20.0) == pytest.approx(1.0)
    assert Rate().per_second(1.0) == 0.0


def test_an_eta_without_a_rate_says_nothing() -> None:
    assert eta(10, 0.0) is None
    assert eta(0, 5.0) is None
    assert eta(10, 5.0) == 2.0
