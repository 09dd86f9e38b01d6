"""The lines of ``flamepy watch``: aligned, a session's id once, bursts folded. Pure.

``Lines`` takes events and the time and returns what to print now. In each second the first
``PLAIN_LINES`` events are a line each; of those that follow, the ones of one session that came to
the same state are one line at the end of the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flamepy.cli.showing.output import printable

PLAIN_LINES = 20  # a second
SECOND = 1.0
ID_WIDTH = 28  # columns, at most; a longer id moves the rest of its line
WHO_WIDTH = 9
WORD_WIDTH = 9
SHOWN_RANGES = 4
COLOURS = {
    "pending": "bright_black",
    "running": "cyan",
    "succeed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "deleted": "bright_black",
    "opened": "blue",
    "closed": "blue",
    "event": "red",
}

Event = dict[str, Any]  # Any: as of ``to_dict``


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        at: the time, and a mark if it was so before the watch began.
        session: its id, or blanks where it is the one of the line before.
        who: ``task 3``, ``12 tasks`` or ``session``, with blanks.
        word: the state, in its own colour.
        more: what else there is to say.
    """

    at: str
    session: str
    who: str
    word: str
    more: str

    @property
    def colour(self) -> str | None:
        """The colour of the word."""
        return COLOURS.get(self.word)

    def __str__(self) -> str:
        parts = [self.at, self.session, self.who, self.word.ljust(WORD_WIDTH), self.more]
        return " ".join(parts).rstrip()


@dataclass(slots=True)
class _Folded:
    """Events of one session that came to one state within a second."""

    first: Event
    tasks: list[int] = field(default_factory=list)
    last: Event = field(default_factory=dict)
    error: str | None = None


class Lines:
    """Makes lines of events.

    Args:
        fold: False makes a line of every event.
    """

    def __init__(self, *, fold: bool = True) -> None:
        self._fold = fold
        self._session = ""
        self._width = 0
        self._began = float("-inf")
        self._plain = 0
        self._folded: dict[tuple[str, str, str], _Folded] = {}

    def add(self, event: Event, now: float) -> list[Line]:
        """Return what is to be printed when an event comes at a time (monotonic seconds)."""
        lines = self.tick(now)
        if now - self._began >= SECOND:
            self._began, self._plain = now, 0
        self._plain += 1
        if not self._fold or self._plain <= PLAIN_LINES:
            return [*lines, self._line(event, *_said(event))]
        _, word, _ = _said(event)
        folded = self._folded.setdefault(
            (event["session"], event["type"], word), _Folded(first=event)
        )
        folded.last = event
        if event["type"] == "task":
            folded.tasks.append(int(event["task"]))
            folded.error = folded.error or event["error"]
        return lines

    def tick(self, now: float) -> list[Line]:
        """Return the folded lines if their second is over."""
        return self.end() if now - self._began >= SECOND else []

    def end(self) -> list[Line]:
        """Return the folded lines."""
        folded, self._folded = self._folded, {}
        return [self._folded_line(one) for one in folded.values()]

    def _folded_line(self, one: _Folded) -> Line:
        who, word, more = _said(one.last)
        if len(one.tasks) < 2:
            return self._line(one.last, who, word, more)
        more = ranges(one.tasks) + (f": {one.error}" if one.error else "")
        return self._line(one.last, f"{len(one.tasks):,} tasks", word, more)

    def _line(self, event: Event, who: str, word: str, more: str) -> Line:
        at = datetime.fromisoformat(event["observed_at"]).astimezone()
        mark = "=" if event["initial"] else " "
        name = printable(event["session"])
        self._width = max(self._width, min(len(name), ID_WIDTH))
        shown = "" if name == self._session else name
        self._session = name
        return Line(
            f"{at.strftime('%H:%M:%S.%f')[:-3]} {mark}",
            f"{shown:{self._width}}",
            printable(who).ljust(WHO_WIDTH),
            printable(word),
            printable(more),
        )


def _said(event: Event) -> tuple[str, str, str]:
    """Return whom an event is about, what became of it, and what else there is to say."""
    if event["type"] == "task":
        gone = event["kind"] == "deleted"
        before = event["old_state"]
        more = event["error"] or (f"from {before}" if before and not gone else "")
        return f"task {event['task']}", "deleted" if gone else event["state"], more
    counts = ", ".join(f"{number:,} {name}" for name, number in event["counts"].items() if number)
    word = event["kind"]
    more = event["event"]["message"] if event["event"] else counts
    if word == "opened":
        more = ", ".join(filter(None, [f"of {event['application']}", more]))
    return "session", word, more or ""


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ``1-98, 100``; of many ranges the first ones."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in found[:SHOWN_RANGES]]
    return ", ".join(shown) + (", ..." if len(found) > SHOWN_RANGES else "")
