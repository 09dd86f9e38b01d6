"""Buckets have what was counted in them, unknown where nothing was seen, and survive a restart."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.view.series import Ring, Series


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), max_size=80))
def test_a_ring_is_a_dictionary_that_forgets(added: list[tuple[float, int]]) -> None:
    ring, plain, newest = Ring(1.0, 10), Counter[int](), -100
    for at, amount in added:
        ring.add(at, "created", amount)
        newest = max(newest, int(at))
        if int(at) > newest - 10:
            plain[int(at)] += amount
    found = ring.columns(newest + 0.5)
    expected = [plain[one] if plain[one] else None for one in range(newest - 9, newest + 1)]
    if added:
        assert found.values["created"] == expected
    assert found.step == 1.0


def test_the_narrowest_ring_that_reaches_back_is_taken() -> None:
    series = Series()
    series.add(1_000_000.0, "failed")
    for span, step in ((60, 1.0), (600, 1.0), (3_600, 10.0), (86_400, 300.0), (10**9, 300.0)):
        columns = series.columns(1_000_000.0, span)
        assert columns.step == step
        assert columns.values["failed"][-1] == 1.0
    assert len(series.columns(1_000_000.0, 60).values["failed"]) == 60


def test_it_continues_in_a_later_process() -> None:
    series = Series()
    series.add(5_000.0, "created", 3)
    series.seen(5_000.0, (7, 2))
    later = Series()
    later.restore(json.loads(json.dumps(series.to_dict(5_001.0))))
    assert later.restored_from == 5_001.0
    later.add(5_060.0, "created", 1)
    values = later.columns(5_060.0, 120).values
    assert [one for one in values["created"] if one] == [3.0, 1.0]
    assert [one for one in values["pending"] if one] == [7.0]


@pytest.mark.parametrize(
    "change",
    [{"format": 9}, {"rings": []}, {"rings": [{}, {}, {}]}, {"at": "yesterday"}],
)
def test_what_is_no_history_changes_nothing(change: dict[str, object]) -> None:
    series, other = Series(), Series()
    other.add(10.0, "created")
    with pytest.raises((ValueError, KeyError, TypeError)):
        series.restore({**other.to_dict(11.0), **change})
    assert series.columns(10.0, 10).values["created"][-1] is None
    assert series.restored_from is None
