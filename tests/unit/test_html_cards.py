"""What a notebook shows of an object is a small table, and never more than text."""

from __future__ import annotations

from datetime import datetime, timezone
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.html_cards import LONGEST, card
from flamepy.informers import Reactor
from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TAGS = {"div", "strong", "table", "tr", "th", "td"}


class Read(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_text_becomes_a_tag(title: str, value: str) -> None:
    assert Read(card(title, [(value, title), (title, value)])).tags <= TAGS


def test_a_long_text_is_cut_and_an_empty_one_left_out() -> None:
    shown = Read(
        card("t", [("long", "x" * 10_000), ("none", None), ("empty", ""), ("zero", 0)])
    ).text
    assert shown == "tlong" + "x" * (LONGEST - 1) + "…zero0"


def test_a_task_shows_its_state_and_its_error() -> None:
    events = [Event(code=3, message="<script>alert(1)</script>", creation_time=START)]
    failed = Task("7", "s1", TaskState.FAILED, START, input=b"12345", events=events)
    shown = Read(failed._repr_html_())
    assert "Task s1/7" in shown.text
    assert "failed" in shown.text
    assert "<script>alert(1)</script>" in shown.text
    assert "5 bytes" in shown.text
    assert shown.tags == TAGS


@pytest.mark.parametrize(
    ("counts", "text"),
    [(TaskCounts(), "tasksnone"), (TaskCounts(2, 1, 0, 3), "tasks2 pending, 1 running, 3 failed")],
)
def test_a_session_shows_its_counters(counts: TaskCounts, text: str) -> None:
    info = SessionInfo("s1", "app", SessionState.OPEN, START, counts)
    assert text in Read(info._repr_html_()).text


def test_a_reactor_shows_why_it_is_not_ready() -> None:
    shown = Read(Reactor(plugins=())._repr_html_()).text
    assert "Reactor: new" in shown
    assert "the reactor is new" in shown
