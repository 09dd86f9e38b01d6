"""``flamepy watch --summary``: the totals are those of the sessions, also of those that went."""

from __future__ import annotations

from datetime import datetime, timezone

from flamepy.cli.showing.summary import Totals
from flamepy.types import SessionInfo, SessionState, TaskCounts
from flamepy.watching.state.events import SessionEvent, SessionEventKind

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def event(
    name: str, counts: TaskCounts, kind: SessionEventKind = SessionEventKind.PROGRESS
) -> SessionEvent:
    state = SessionState.CLOSED if kind is SessionEventKind.CLOSED else SessionState.OPEN
    return SessionEvent(kind=kind, session=SessionInfo(name, "app", state, NOW, counts))


def test_the_newest_counters_of_each_session_are_added_up() -> None:
    totals = Totals()
    totals.add([event("a", TaskCounts(pending=5)), event("b", TaskCounts(1, 1, 1, 1, 1))])
    first = totals.summary(10.0)
    assert (first.sessions, first.open_sessions) == (2, 2)
    assert first.tasks == TaskCounts(6, 1, 1, 1, 1)
    assert (first.ended, first.rate) == (0, 0.0), "what was so before is no rate"
    totals.add([event("a", TaskCounts(succeed=4, failed=1), SessionEventKind.CLOSED)])
    second = totals.summary(12.0)
    assert (second.open_sessions, second.tasks.succeed) == (1, 5)
    assert (second.ended, second.seconds, second.rate) == (5, 2.0, 2.5)


def test_a_session_that_goes_takes_no_ends_back() -> None:
    totals = Totals()
    totals.add([event("a", TaskCounts(succeed=4))])
    totals.summary(1.0)
    totals.add([event("a", TaskCounts(succeed=4), SessionEventKind.DELETED)])
    gone = totals.summary(2.0)
    assert (gone.sessions, gone.tasks.total, gone.ended) == (0, 0, 0)


def test_it_is_a_record_and_a_line() -> None:
    totals = Totals()
    totals.add([event("a", TaskCounts(1, 2, 3, 4, 5))])
    summary = totals.summary(1.0)
    assert summary.to_dict()["tasks"] == {
        "pending": 1,
        "running": 2,
        "succeed": 3,
        "failed": 4,
        "cancelled": 5,
    }
    line = " ".join(text for text, _ in summary.cells())
    assert line.split()[:4] == ["1", "open", "1", "pending"]
    assert len(line) <= 80 - len("10:00:00 ")
