"""A change applied to the old document is the new one, whatever they are."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flamepy.dashboard.changes import change


def applied(old: Any, made: Any) -> Any:
    """Do what static/changes.js does."""
    if made is None:
        return old
    if "v" in made:
        return made["v"]
    if "c" in made:
        values = {}
        for name, end in made["c"].items():
            before = old["values"][name]
            kept = before[made["s"] :]
            values[name] = [*kept[: len(before) - len(end)], *end]
        start = old["start"] + made["s"] * old["step"]
        return {"step": old["step"], "start": start, "values": values}
    if "r" in made:
        known = {one["key"]: one for one in old}
        order = made.get("o", [one["key"] for one in old])
        return [made["r"].get(key) or known[key] for key in order]
    new = {**old, **{name: applied(old.get(name), one) for name, one in made["d"].items()}}
    for name in made.get("x", []):
        del new[name]
    return new


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "a", "b"]))
ROWS = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from("abcdef"), "n": st.integers(0, 2)}),
    max_size=6,
    unique_by=lambda one: one["key"],
)
VALUES = st.recursive(
    st.one_of(SCALARS, ROWS, st.lists(st.integers(0, 3), max_size=3)),
    lambda inner: st.dictionaries(st.sampled_from("wxyz"), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from("wxyz"), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_any_two_documents(old: Any, new: Any) -> None:
    made = change(old, new)
    assert applied(old, json.loads(json.dumps(made))) == new
    assert (made is None) == (old == new)


CELLS = st.one_of(st.none(), st.integers(0, 2))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=3, max_size=50), st.data())
def test_columns_that_move_on_send_their_end_alone(cells: Any, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(cells)))
    gone = data.draw(st.integers(0, len(cells) - width))
    edited = list(cells)
    edited[-1] = (7, 7)

    def columns(rows: Any, start: int) -> Any:
        part = rows[start : start + width]
        values = {"a": [one for one, _ in part], "b": [one for _, one in part]}
        return {"step": 10.0, "start": 10.0 * start, "values": values}

    old, new = columns(cells, 0), columns(edited, gone)
    made = change(old, new)
    assert applied(old, made) == new


def test_a_second_later_a_chart_costs_a_few_numbers() -> None:
    old = {"step": 1.0, "start": 5.0, "values": {"a": list(range(600))}}
    new = {"step": 1.0, "start": 7.0, "values": {"a": [*range(2, 600), 8, 9]}}
    made = change(old, new)
    assert made == {"c": {"a": [8, 9]}, "s": 2}
    assert len(json.dumps(made)) < 100


def test_one_row_of_many_is_sent_alone() -> None:
    old = [{"key": str(number), "n": 0} for number in range(50)]
    new = [*old[:10], {"key": "10", "n": 1}, *old[11:]]
    assert change(old, new) == {"r": {"10": {"key": "10", "n": 1}}}
