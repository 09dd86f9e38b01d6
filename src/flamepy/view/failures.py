"""Failures grouped by text: what differs in numbers and ids alone is one group. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from flamepy.view.rows import FailureGroup, Page

TEXT_LENGTH = 400  # characters of a text that are shown
READ_LENGTH = 2_000  # characters of a text that are compared
_VARYING = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b|\d+(?:\.\d+)?"
)


def common_text(text: str) -> str:
    """Return what a failure's text has in common with others of its kind; numbers become ``#``."""
    return _VARYING.sub("#", text[:READ_LENGTH]).strip()[:TEXT_LENGTH]


@dataclass(slots=True)
class _Group:
    """The failures of one text."""

    first: float
    last: float = 0.0
    count: int = 0
    example: str = ""
    applications: OrderedDict[str, None] = field(default_factory=OrderedDict)
    tasks: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=20))


class Failures:
    """Groups of failures; of more than ``limit`` those that came last are kept.

    Args:
        limit: groups at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self.total = 0
        self.dropped = 0  # failures of groups that were dropped

    def add(self, at: float, text: str, application: str, task: tuple[str, str]) -> None:
        """Record that a task failed."""
        key = common_text(text) or "(no text)"
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(first=at)
        self._groups.move_to_end(key)
        group.last, group.count, group.example = at, group.count + 1, text[:TEXT_LENGTH]
        group.applications[application] = None
        group.applications.move_to_end(application)
        if len(group.applications) > 5:
            group.applications.popitem(last=False)
        group.tasks.append(task)
        self.total += 1
        if len(self._groups) > self._limit:
            _, oldest = self._groups.popitem(last=False)
            self.dropped += oldest.count

    def page(
        self, *, offset: int = 0, limit: int = 50, application: str = "", recent: bool = False
    ) -> Page[FailureGroup]:
        """Return groups: those with the most failures first, or with ``recent`` the latest ones."""
        found = [
            (text, group)
            for text, group in self._groups.items()
            if not application or application in group.applications
        ]
        found.sort(key=lambda one: -one[1].last if recent else -one[1].count)
        lost = f"{self.dropped} failures of older groups are not listed" if self.dropped else ""
        return Page(
            rows=[_row(text, group) for text, group in found[offset : offset + limit]],
            matched=len(found),
            total=len(self._groups),
            offset=offset,
            left_out=lost,
        )


def _row(text: str, group: _Group) -> FailureGroup:
    return FailureGroup(
        text=text,
        example=group.example,
        count=group.count,
        first=group.first,
        last=group.last,
        applications=tuple(reversed(group.applications)),
        tasks=tuple(reversed(group.tasks)),
    )
