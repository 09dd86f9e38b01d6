"""What changed between two documents of one page, as small as it can be said. Pure.

A document is what JSON takes. A list of dictionaries that each have a ``key`` is one of rows. A
dictionary with ``step``, ``start`` and ``values`` is one of columns, which mostly move on by a
bucket. Changes are:

- ``{"v": value}``: another value;
- ``{"d": {name: change}, "x": [names that are gone]}``: of a dictionary;
- ``{"r": {key: row}, "o": [keys in order]}``: rows that differ; no ``o`` if the order is the same;
- ``{"c": {name: [values]}, "s": buckets that went}``: the end of columns.

``static/changes.js`` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]  # Any: what JSON takes
Change = dict[str, Any]
TAIL = 30  # buckets; a greater difference is another value


def change(old: Any, new: Any) -> Change | None:  # Any: parts of documents
    """Return what makes ``new`` of ``old``; None if they are equal."""
    if old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        moved = _moved(old, new) if "step" in old and "step" in new else None
        return moved if moved is not None else _dictionary(old, new)
    if _is_rows(old) and _is_rows(new):
        return _rows(old, new)
    return {"v": new}


def _dictionary(old: Document, new: Document) -> Change:
    changes: Change = {}
    for name, value in new.items():
        if name not in old:
            changes[name] = {"v": value}
        elif (found := change(old[name], value)) is not None:
            changes[name] = found
    made: Change = {"d": changes}
    gone = [name for name in old if name not in new]
    if gone:
        made["x"] = gone
    return made


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("key"), str) for one in value
    )


def _rows(old: list[Document], new: list[Document]) -> Change:
    before = {one["key"]: one for one in old}
    made: Change = {"r": {one["key"]: one for one in new if before.get(one["key"]) != one}}
    order = [one["key"] for one in new]
    if order != [one["key"] for one in old]:
        made["o"] = order
    return made


def _moved(old: Document, new: Document) -> Change | None:
    """Return the buckets at the end that differ, where columns moved on a little."""
    if old["step"] != new["step"] or set(old["values"]) != set(new["values"]):
        return None
    gone = round((new["start"] - old["start"]) / new["step"])
    length, differ = None, 0
    for name, values in new["values"].items():
        before = old["values"][name]
        if len(before) != len(values) or (length is not None and length != len(values)):
            return None
        length = len(values)
        differ = max(differ, _differing(before[gone:] if gone >= 0 else [], values))
    if gone < 0 or length is None or differ > min(TAIL, length):
        return None
    return {"c": _ends(new["values"], differ), "s": gone}


def _differing(before: list[float | None], now: list[float | None]) -> int:
    """Return how many values at the end are not those that were there."""
    for place, (one, other) in enumerate(zip(before, now, strict=False)):
        if one != other:
            return len(now) - place
    return len(now) - min(len(before), len(now))


def _ends(values: Mapping[str, list[float | None]], count: int) -> Document:
    return {name: (one[-count:] if count else []) for name, one in values.items()}
