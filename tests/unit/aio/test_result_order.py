"""Results in order, or as they come; each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy.aio.result_order import AsCompleted, InOrder, Result


@given(st.permutations(range(30)))
def test_each_is_handed_on_in_its_turn_and_no_later(arrivals: list[int]) -> None:
    order, told = InOrder(), []
    for place in arrivals:
        told += [one.place for one in order.add(Result(place))]
        arrived = set(arrivals[: arrivals.index(place) + 1])
        ahead = next(one for one in range(31) if one not in arrived)
        assert told == list(range(ahead))


@given(st.permutations(range(10)))
def test_without_order_each_is_handed_on_as_it_comes(arrivals: list[int]) -> None:
    order = AsCompleted()
    assert [one.place for place in arrivals for one in order.add(Result(place))] == arrivals
