"""The report counts what happened, shows any text as text, and stays one small file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flamepy.recording.page import render
from flamepy.recording.report import Report, ReportBuilder, percentiles
from flamepy.runtime.clocks import monotonic
from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "\x1b[31mred\x00\u202eright to left",
    "x" * 1_000_000,
]


def task(
    number: int, state: TaskState, *, at: float, session: str = "s", error: str | None = None
) -> TaskEvent:
    events = (Event(3, error, NOW),) if error is not None else ()
    one = Task(str(number), session, state, NOW, events=events, payloads_loaded=False)
    return TaskEvent(
        kind=EventKind.ADDED if state == TaskState.PENDING else EventKind.UPDATED,
        task=one,
        application="app",
        observed_at=monotonic() - 1000 + at,
        session_creation_time=NOW,
    )


def session(name: str, counts: TaskCounts, *, text: str | None = None) -> SessionEvent:
    info = SessionInfo(name, "app", SessionState.OPEN, NOW, counts)
    event = None if text is None else Event(1001, text, NOW)
    kind = SessionEventKind.EVENT if text else SessionEventKind.PROGRESS
    return SessionEvent(kind=kind, session=info, event=event, observed_at=monotonic())


def build(*events: TaskEvent | SessionEvent) -> Report:
    builder = ReportBuilder()
    for event in events:
        builder.add(event)
    return builder.build("title", {"engine": "http://here:8080"})


def life(number: int, *, at: float, waits: float, runs: float) -> Iterator[TaskEvent]:
    yield task(number, TaskState.PENDING, at=at)
    yield task(number, TaskState.RUNNING, at=at + waits)
    yield task(number, TaskState.SUCCEED, at=at + waits + runs)


def test_a_task_has_its_observed_times() -> None:
    report = build(*life(1, at=0, waits=2, runs=5), *life(2, at=1, waits=1, runs=1))
    assert report.states == {"succeed": 2}
    assert [one.task for one in report.slowest] == ["1", "2"]
    assert report.slowest[0].waited == pytest.approx(2, abs=0.1)
    assert report.slowest[0].ran == pytest.approx(5, abs=0.1)
    assert report.durations["running"].number == 2
    assert report.durations["running"].most == pytest.approx(5, abs=0.1)
    assert sum(sum(one.values()) for one in report.ends) == 2
    assert max(report.running) == 2


def test_a_task_that_was_put_back_counts_from_its_last_start() -> None:
    first = list(life(1, at=0, waits=1, runs=8))
    back = task(1, TaskState.PENDING, at=3)
    back = TaskEvent(
        kind=EventKind.UPDATED,
        task=back.task,
        old=first[1].task,
        observed_at=back.observed_at,
        session_creation_time=NOW,
    )
    again = task(1, TaskState.RUNNING, at=7)
    report = build(*first[:2], back, again, first[2])
    assert report.requeued == 1
    assert report.slowest[0].ran == pytest.approx(2, abs=0.1)


def test_failures_are_grouped_and_cut() -> None:
    events = [task(number, TaskState.FAILED, at=number, error="boom") for number in range(3)]
    report = build(*events, task(9, TaskState.FAILED, at=9, error="x" * 5000))
    assert [(one.number, len(one.text)) for one in report.failures] == [(3, 4), (1, 400)]
    assert report.failures[0].example == "s/0"


def test_a_session_that_an_engine_lists_is_reported_without_events() -> None:
    builder = ReportBuilder()
    later = NOW + timedelta(seconds=9)
    info = SessionInfo("s", "app", SessionState.OPEN, NOW, TaskCounts(succeed=1, failed=1))
    done = Task("1", "s", TaskState.SUCCEED, NOW, completion_time=later, events=())
    failed = Task("2", "s", TaskState.FAILED, NOW, completion_time=later, events=(Event(3, "no"),))
    builder.add_listed(info, [done, failed])
    report = builder.build("t", {})
    assert report.states == {"succeed": 1, "failed": 1}
    assert report.durations["from creation to end"].p50 == 9
    assert [one.text for one in report.failures] == ["no"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_a_histogram_has_every_value(values: list[float]) -> None:
    values.sort()
    found = percentiles(values)
    assert sum(number for _, _, number in found.histogram) == found.number == len(values)
    assert found.p50 <= found.p90 <= found.p99 <= found.most == values[-1]


class Page(HTMLParser):
    """Collects elements, their attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> Report:
    events: list[TaskEvent | SessionEvent] = []
    for number, text in enumerate(HOSTILE):
        name = f"s{number}{text[:300]}"
        events.append(session(name, TaskCounts(failed=1), text=text))
        events.append(task(number, TaskState.FAILED, at=number, session=name, error=text))
    return build(*events)


def test_whatever_a_task_says_is_text() -> None:
    page = Page(render(hostile()))
    assert not {"script", "img", "iframe", "link", "object", "a"} & set(page.elements)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not {"src", "href", "srcset"} & {name for name, _ in page.attributes}
    assert "<script>alert(1)</script>" in page.text
    assert "\\x1b[31mred\\x00\\u202eright" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page.text)


def test_no_request_is_made_and_no_script_runs() -> None:
    html = render(hostile())
    assert "default-src 'none'; style-src 'unsafe-inline'" in html
    assert "url(" not in html
    assert "@import" not in html


def test_a_page_stays_small_and_says_what_it_leaves_out() -> None:
    builder = ReportBuilder()
    for number in range(20_000):
        name = f"session {number % 1000} " + "y" * 400
        error = f"text {number} " + "z" * 1000
        builder.add(task(number, TaskState.FAILED, at=number % 900, session=name, error=error))
    for number in range(1000):
        name = f"session {number} " + "y" * 400
        builder.add(session(name, TaskCounts(failed=20), text="w" * 5000))
    html = render(builder.build("t", {}))
    assert len(html.encode()) < 2 << 20
    assert "19,950 more texts are not shown" in html
    assert "800 more sessions, with fewer tasks, are not shown" in html
    assert "940 more sessions are not shown" in html


def test_nothing_is_a_page_that_says_so() -> None:
    page = Page(render(build()))
    assert "No task was observed." in page.text


def test_informers_and_outages_are_shown() -> None:
    builder = ReportBuilder()
    for event in life(1, at=0, waits=1, runs=1):
        builder.add(event)
    handlers = [{"name": "Billing", "state": "quarantined: <b>", "delivered": 7}]
    page = Page(render(builder.build("t", {}, handlers=handlers, outages=[(0.0, 1.0)])))
    assert "Billing" in page.text
    assert "quarantined: <b>" in page.text
    assert "the engine was away" in page.text
