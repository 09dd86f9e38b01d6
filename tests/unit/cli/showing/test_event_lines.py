"""``flamepy watch`` for people: aligned, an id once, bursts folded and nothing lost in them."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flamepy.cli.showing.event_lines import PLAIN_LINES, Line, Lines, ranges


def task(number: int, state: str = "succeed", session: str = "s", **more: Any) -> dict[str, Any]:
    return {
        "type": "task",
        "kind": "updated",
        "session": session,
        "task": str(number),
        "state": state,
        "old_state": None,
        "error": None,
        "initial": False,
        "observed_at": "2026-01-02T10:00:00.125+00:00",
        **more,
    }


def session(kind: str = "opened", **more: Any) -> dict[str, Any]:
    counts = {"pending": 2, "running": 0}
    given = {"type": "session", "kind": kind, "counts": counts, "event": None, "application": "app"}
    return {**task(0), **given, **more}


def one(event: dict[str, Any]) -> Line:
    (line,) = Lines().add(event, 0.0)
    return line


def test_a_session_is_named_when_it_is_another_one() -> None:
    lines = Lines()
    shown = [
        str(line)
        for name in ("first", "first", "second")
        for line in lines.add(task(1, session=name), 0.0)
    ]
    assert ["first" in line for line in shown] == [True, False, False]
    assert "second" in shown[2]
    assert shown[0].index("task 1") == shown[1].index("task 1")


def test_what_was_so_before_has_a_mark() -> None:
    assert one(task(1, initial=True)).at.endswith(" =")
    assert one(task(1)).at.endswith("  ")


def test_a_failure_says_its_text_and_a_change_what_was_before() -> None:
    assert one(task(1, "failed", error="no\x1b[31m way")).more == "no\\x1b[31m way"
    assert one(task(1, old_state="running")).more == "from running"
    assert one(task(1, kind="deleted")).word == "deleted"


def test_a_session_says_its_application_and_its_counters() -> None:
    assert one(session()).more == "of app, 2 pending"
    assert one(session("progress")).more == "2 pending"
    event = {"message": "it did not start", "code": 1001}
    assert one(session("event", event=event)).more == "it did not start"


def test_a_burst_is_one_line_at_the_end_of_its_second() -> None:
    lines = Lines()
    events = [task(number) for number in range(1, 101)] + [task(7, "failed", error="boom")]
    shown = [line for event in events for line in lines.add(event, 5.0)]
    assert len(shown) == PLAIN_LINES
    assert lines.tick(5.5) == []
    done, failed = lines.tick(6.0)
    assert (done.who.strip(), done.word, done.more) == ("80 tasks", "succeed", "21-100")
    assert (failed.who.strip(), failed.word, failed.more) == ("task 7", "failed", "boom")
    assert lines.tick(7.0) == []


def test_without_folding_each_is_a_line() -> None:
    lines = Lines(fold=False)
    assert sum(len(lines.add(task(number), 0.0)) for number in range(100)) == 100


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.sampled_from(["running", "succeed"]), st.booleans()),
        max_size=120,
    )
)
def test_every_event_is_in_a_line(events: list[tuple[int, str, bool]]) -> None:
    lines, now, shown = Lines(), 0.0, list[Line]()
    for number, state, later in events:
        now += 0.7 if later else 0.0
        shown += lines.add(task(number, state), now)
    shown += lines.end()
    total = 0
    for line in shown:
        match = re.match(r"([\d,]+) tasks", line.who)
        total += int(match[1]) if match else 1
    assert total == len(events)


def test_ranges_are_short() -> None:
    assert ranges([3, 1, 2, 5]) == "1-3, 5"
    assert ranges(range(0, 100, 2)) == "0, 2, 4, 6, ..."
