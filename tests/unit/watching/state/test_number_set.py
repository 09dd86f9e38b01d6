"""Numbers of a list, a byte for each, wherever they lie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy.watching.state.number_set import PAGE, NumberSet

NUMBERS = st.one_of(st.integers(0, 3 * PAGE), st.integers(0, 10**18))


@given(st.lists(NUMBERS), st.lists(NUMBERS))
def test_it_has_what_was_added(added: list[int], others: list[int]) -> None:
    numbers = NumberSet()
    for number in added:
        numbers.add(number)
    assert numbers.count == len(set(added))
    assert all(number in numbers for number in added)
    assert [one in numbers for one in others] == [one in set(added) for one in others]
    assert -1 not in numbers
    assert "1" not in numbers
