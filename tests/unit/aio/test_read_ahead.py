"""How far inputs are read ahead: as the caller says, else as fast tasks and their bytes allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.aio.read_ahead import (
    AUTO,
    FAST,
    FIRST,
    LEAST,
    MEMORY,
    MOST,
    OVERHEAD,
    SLOW,
    ReadAhead,
    check_window,
)
from flamepy.errors import InvalidArgumentError


def taken(ahead: ReadAhead, count: int, start: float, seconds: float, size: int = 100) -> float:
    """Take so many results in so many seconds; return when the last one was taken."""
    for number in range(1, count + 1):
        ahead.read(b"x" * size)
        ahead.taken(b"y" * size, start + seconds * number / count)
    return start + seconds


@given(st.integers(1, 10_000), st.lists(st.tuples(st.integers(0, 9_000), st.floats(0, 60))))
def test_a_number_of_the_callers_own_stays(window: int, results: list[tuple[int, float]]) -> None:
    ahead = ReadAhead(window, 0.0)
    for size, now in results:
        ahead.read(b"x" * size)
        ahead.taken(b"x" * size, now)
        assert ahead.limit == window


def test_it_doubles_while_tasks_end_fast_and_shrinks_where_they_do_not() -> None:
    ahead, now = ReadAhead(AUTO, 0.0), 0.0
    assert ahead.limit == FIRST
    for times in (2, 4, 8):
        now = taken(ahead, ahead.limit, now, 0.9 * FAST)
        assert ahead.limit == times * FIRST
    now = taken(ahead, ahead.limit, now, (FAST + SLOW) / 2)
    assert ahead.limit == 8 * FIRST, "as it is"
    for _ in range(6):
        now = taken(ahead, ahead.limit, now, 2 * SLOW)
    assert ahead.limit == FIRST // 2
    for _ in range(12):
        now = taken(ahead, ahead.limit, now, FAST / 2, size=0)
    assert ahead.limit == min(MOST, MEMORY // OVERHEAD)


@given(st.integers(0, 4 << 20), st.integers(0, 64 << 20))
def test_the_bytes_of_inputs_and_outputs_bound_it(given_size: int, made: int) -> None:
    ahead, now = ReadAhead(AUTO, 0.0), 0.0
    payload, output = bytes(given_size), bytes(made)
    for _ in range(200):
        ahead.read(payload)
        ahead.taken(output, now)
    assert LEAST <= ahead.limit <= FIRST
    assert ahead.limit == LEAST or ahead.limit * (given_size + made) <= 1.01 * MEMORY


@pytest.mark.parametrize("window", [0, -1, 1.5, "8", True, None])
def test_other_windows_are_refused(window: object) -> None:
    with pytest.raises(InvalidArgumentError, match="window must be a whole number of tasks, 1 or"):
        check_window(window)


def test_windows() -> None:
    assert [check_window(one) for one in (AUTO, 1, 10_000)] == [AUTO, 1, 10_000]
