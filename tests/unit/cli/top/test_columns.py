"""Rows as texts of a terminal: short, of one line, without what another program could do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.cli.top import columns
from flamepy.types import TaskCounts
from flamepy.view import SessionRow


@given(st.text(max_size=200), st.integers(1, 60))
def test_no_text_is_longer_than_its_place_or_moves_the_cursor(text: str, width: int) -> None:
    shown = columns.cut(text, width)
    assert len(shown) <= width
    assert shown.isprintable()


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=50), st.integers(1, 40))
def test_a_chart_has_one_block_for_each_of_the_last_values(
    values: list[float | None], width: int
) -> None:
    shown = columns.sparkline(values, width)
    assert len(shown) == min(len(values), width)
    assert set(shown) <= set(columns.BLOCKS)
    if any(values[-width:]):
        assert columns.BLOCKS[-1] in shown


@pytest.mark.parametrize(
    ("part", "text"),
    [(None, "-"), (0.0, "░░░░   0%"), (0.5, "██░░  50%"), (1.0, "████ 100%")],
)
def test_progress(part: float | None, text: str) -> None:
    assert columns.bar(part, 4) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0123, "12ms"), (2.5, "2.5s"), (90.0, "90s"), (7200, "2h")]
)
def test_durations(value: float | None, text: str) -> None:
    assert columns.seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0/s"), (2.345, "2.3/s"), (1234.5, "1234/s")])
def test_rates(value: float, text: str) -> None:
    assert columns.rate(value) == text


def test_a_narrow_terminal_has_fewer_columns() -> None:
    wide = [one.title for one in columns.sessions(0.0, width=120)]
    narrow = [one.title for one in columns.sessions(0.0, width=80)]
    assert set(narrow) < set(wide)
    assert narrow[-1] == "WHY"


def test_in_80_columns_an_ordinary_reason_is_read() -> None:
    row = SessionRow(
        **{"id": "byte-service-W8vU9s", "application": "byte-service", "state": "open"},
        **{"counts": TaskCounts(10, 2, 97, 16, 0), "created": 0.0, "ended": None},
        **{"progress": 0.94, "rate": 1.4, "eta": 2.0, "idle": 0.0, "executors": 2},
        **{"level": "running", "reason": "the last 2 tasks running on 2 executors"},
        **{"priority": 0, "min_instances": 0, "max_instances": None},
    )
    shown = columns.sessions(0.0, width=80)
    assert shown[-1].text(row).startswith("the last 2 tasks running")
    widths = [max(len(one.text(row)), len(one.title)) + 2 for one in shown]
    assert sum(widths) + 2 <= 80, "the bar at the right takes two"
