"""How the rows of ``flamepy.view`` look in a terminal: titles, texts, alignment, colours. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar

from flamepy.cli.showing.output import age, printable
from flamepy.view import (
    ApplicationRow,
    ExecutorRow,
    FailureGroup,
    FeedRow,
    HandlerRow,
    SessionRow,
    TaskRow,
    Transition,
)

R = TypeVar("R")
NARROW = 100  # columns below which less is shown
NOT_NARROW = ("OK", "RATE", "ETA", "AGE")  # of sessions: the reason says more than these
BLOCKS = "▁▂▃▄▅▆▇█"
STYLES = {
    "running": "cyan",
    "succeed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "attention": "bold red",
    "waiting": "yellow",
    "connected": "green",
    "disconnected": "bold red",
}
"""The colour of a word; others are plain. Colour never says what the word does not."""


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a table.

    Attributes:
        title: its head.
        text: what it shows of a row.
        number: aligned to the right.
        sort: by what a query sorts it; "" if it cannot.
        style: the word whose colour it has.
    """

    title: str
    text: Callable[[R], str]
    number: bool = False
    sort: str = ""
    style: Callable[[R], str] | None = None


def cut(text: str, width: int) -> str:
    """Return a text of one line without control characters, cut at ``width``."""
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def count(value: int | None) -> str:
    """Return a number with separators."""
    return "-" if value is None else f"{value:,}"


def rate(value: float) -> str:
    """Return how many a second."""
    return f"{value:.0f}/s" if value >= 10 or value == 0 else f"{value:.1f}/s"


def seconds(value: float | None) -> str:
    """Return a duration, short ones exactly."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f}ms"
    return f"{value:.1f}s" if value < 10 else age(value)


def clock(moment: float) -> str:
    """Return a moment as the local time of day."""
    return datetime.fromtimestamp(moment, tz=timezone.utc).astimezone().strftime("%H:%M:%S")


def bar(part: float | None, width: int = 8) -> str:
    """Return progress as a bar of ``width`` blocks and a number."""
    if part is None:
        return "-"
    if not width:
        return f"{part:.0%}"
    full = min(width, int(part * width))
    return f"{'█' * full}{'░' * (width - full)} {part:4.0%}"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return numbers as blocks, the last ``width`` of them."""
    shown = [one or 0.0 for one in values[-width:]]
    most = max(shown, default=0.0)
    if most <= 0.0:
        return BLOCKS[0] * len(shown)
    return "".join(BLOCKS[min(7, int(8 * one / most))] for one in shown)


def sessions(now: float, *, width: int) -> tuple[Column[SessionRow], ...]:
    """Return the columns of sessions that fit ``width``; fewer where the terminal is narrow."""
    wide = width >= NARROW
    left = max(20, width - (92 if wide else 55))
    shown: tuple[Column[SessionRow], ...] = (
        Column("SESSION", lambda one: cut(one.id, 28 if wide else 17), sort="id"),
        Column("STATE", lambda one: one.level, style=lambda one: one.level, sort="state"),
        Column("DONE", lambda one: bar(one.progress, 8 if wide else 0), sort="progress"),
        Column("PEND", lambda one: count(one.counts.pending), True, "pending"),
        Column("RUN", lambda one: count(one.counts.running), True, "running"),
        Column("OK", lambda one: count(one.counts.succeed), True, "succeed"),
        Column(
            "FAIL",
            lambda one: count(one.counts.failed),
            True,
            "failed",
            lambda one: "failed" if one.counts.failed else "",
        ),
        Column("RATE", lambda one: rate(one.rate), True, "rate"),
        Column("ETA", lambda one: seconds(one.eta), True),
        Column("AGE", lambda one: age(now - one.created), True, "created"),
        Column("WHY", lambda one: cut(one.reason, left)),
    )
    return shown if wide else tuple(one for one in shown if one.title not in NOT_NARROW)


APPLICATIONS: tuple[Column[ApplicationRow], ...] = (
    Column("APPLICATION", lambda one: cut(one.name, 28)),
    Column("OPEN", lambda one: count(one.open_sessions), True),
    Column("PEND", lambda one: count(one.counts.pending), True),
    Column("RUN", lambda one: count(one.counts.running), True),
    Column("OK", lambda one: count(one.counts.succeed), True),
    Column(
        "FAIL",
        lambda one: count(one.counts.failed),
        True,
        style=lambda one: "failed" if one.counts.failed else "",
    ),
    Column("RATE", lambda one: rate(one.rate), True),
    Column("ETA", lambda one: seconds(one.eta), True),
    Column("EXECUTORS", lambda one: count(one.executors), True),
)


def tasks(now: float) -> tuple[Column[TaskRow], ...]:
    """Return the columns of tasks."""
    return (
        Column("SESSION", lambda one: cut(one.session, 28), sort="session"),
        Column("TASK", lambda one: one.id, True, "id"),
        Column("STATE", lambda one: one.state, style=lambda one: one.state, sort="state"),
        Column("TOOK", lambda one: seconds(one.took), True, "took"),
        Column("AGE", lambda one: age(now - one.created), True, "created"),
        Column("ERROR", lambda one: cut(one.error, 80), sort="error"),
    )


FAILURES: tuple[Column[FailureGroup], ...] = (
    Column("COUNT", lambda one: count(one.count), True, style=lambda one: "failed"),
    Column("LAST", lambda one: clock(one.last)),
    Column("APPLICATION", lambda one: cut(", ".join(one.applications), 24)),
    Column("TEXT", lambda one: cut(one.text, 80)),
)
HANDLERS: tuple[Column[HandlerRow], ...] = (
    Column("HANDLER", lambda one: cut(one.name, 24)),
    Column("STATE", lambda one: one.state, style=lambda one: one.state),
    Column("QUEUED", lambda one: count(one.queued), True),
    Column("OLDEST", lambda one: seconds(one.oldest_age), True),
    Column("RATE", lambda one: rate(one.rate), True),
    Column("P50", lambda one: seconds(one.took.p50), True),
    Column("P99", lambda one: seconds(one.took.p99), True),
    Column("RETRIES", lambda one: count(one.retries), True),
    Column("DEAD", lambda one: count(one.dead), True),
    Column("OUTBOX", lambda one: count(one.outbox.waiting) if one.outbox else "-", True),
    Column("STUCK", lambda one: count(one.stuck), True),
    Column("LAST ERROR", lambda one: cut(one.last_error, 60)),
)
EXECUTORS: tuple[Column[ExecutorRow], ...] = (
    Column("EXECUTOR", lambda one: cut(one.id, 24)),
    Column("STATE", lambda one: one.state),
    Column("NODE", lambda one: cut(one.node, 24)),
    Column("SESSION", lambda one: cut(one.session, 28) or "-"),
    Column("APPLICATION", lambda one: cut(one.application, 24) or "-"),
)
FEED: tuple[Column[FeedRow], ...] = (
    Column("TIME", lambda one: clock(one.at)),
    Column("WHAT", lambda one: cut(one.what, 16), style=lambda one: one.what),
    Column("SESSION", lambda one: cut(one.session, 28)),
    Column("TASK", lambda one: one.task, True),
    Column("TIMES", lambda one: count(one.count) if one.count > 1 else "", True),
    Column("TEXT", lambda one: cut(one.text, 60)),
)
TRANSITIONS: tuple[Column[Transition], ...] = (
    Column("TIME", lambda one: clock(one.at)),
    Column("STATE", lambda one: one.state, style=lambda one: one.state),
    Column("SEEN BY", lambda one: one.source),
    Column("LATE BY", lambda one: seconds(one.late), True),
    Column("", lambda one: "was so before" if one.initial else ""),
)

AnyColumns = Sequence[Column[Any]]  # Any: of whatever row the table has
