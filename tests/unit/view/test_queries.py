"""Pages of sessions and tasks: every column sorts, filters hold, a wrong word names the right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import START, made_session, made_task

from flamepy.errors import InvalidArgumentError
from flamepy.types import SessionState, TaskCounts, TaskState
from flamepy.view import ClusterView, SessionQuery, TaskQuery, plain
from flamepy.view.session_query import SORTS as SESSION_SORTS
from flamepy.view.session_query import part_of
from flamepy.view.task_query import SORTS as TASK_SORTS
from flamepy.view.task_query import number_of
from flamepy.watching.state.events import SessionEvent, SessionEventKind

NOW = START.timestamp() + 100


def view_of(*sessions: tuple[str, int, str]) -> ClusterView:
    view = ClusterView()
    for number, (name, pending, application) in enumerate(sessions):
        info = made_session(name, TaskCounts(pending), born=number, application=application)
        view.observe(SessionEvent(kind=SessionEventKind.OPENED, session=info), NOW)
    return view


VIEW = view_of(("b", 1, "x"), ("a", 3, "y"), ("c", 2, "x"))


def ids(**query: object) -> list[str]:
    return [one.id for one in VIEW.sessions(SessionQuery(**query), NOW).rows]  # type: ignore[arg-type]


def test_sessions_are_sorted_filtered_and_paged() -> None:
    assert ids() == ["c", "a", "b"]
    assert ids(sort="id") == ["a", "b", "c"]
    assert ids(sort="-pending") == ["a", "c", "b"]
    assert ids(application="x", sort="created") == ["b", "c"]
    assert ids(text="Y") == ["a"]
    assert ids(state="open", limit=1, offset=1) == ["a"]
    assert ids(state="closed") == []
    page = VIEW.sessions(SessionQuery(application="x", limit=1), NOW)
    assert (page.matched, page.total) == (2, 3)


@pytest.mark.parametrize("sort", SESSION_SORTS)
def test_each_column_of_sessions_sorts_both_ways(sort: str) -> None:
    assert ids(sort=sort) == list(reversed(ids(sort=f"-{sort}")))


TASKS = [
    made_task(1, TaskState.PENDING),
    replace(made_task(2, TaskState.SUCCEED), completion_time=START + timedelta(seconds=9)),
    replace(
        made_task(3, TaskState.FAILED, text="disk full"),
        completion_time=START + timedelta(seconds=4),
    ),
    made_task(4, TaskState.RUNNING, session="s2"),
]


def numbers(**query: object) -> list[str]:
    page = TaskQuery(**query).page(TASKS, lambda _: "app")  # type: ignore[arg-type]
    return [one.id for one in page.rows]


def test_tasks_are_sorted_filtered_and_paged() -> None:
    assert numbers(sort="-id") == ["4", "3", "2", "1"]
    assert numbers(states=("failed", "succeed"), sort="-took") == ["2", "3"]
    assert numbers(session="s2") == ["4"]
    assert numbers(text="DISK") == ["3"]
    assert numbers(text="2", sort="id") == ["2", "4"]
    assert numbers(sort="id", offset=1, limit=2) == ["2", "3"]


@pytest.mark.parametrize("sort", TASK_SORTS)
def test_each_column_of_tasks_sorts(sort: str) -> None:
    assert sorted(numbers(sort=sort)) == sorted(numbers(sort=f"-{sort}")) == ["1", "2", "3", "4"]


def test_a_row_of_a_task() -> None:
    (row,) = TaskQuery(states=("failed",)).page(TASKS, lambda name: f"app of {name}").rows
    assert (row.application, row.error, row.took) == ("app of s1", "disk full", 4.0)
    assert plain(row)["created"] == START.timestamp()


@pytest.mark.parametrize(
    ("query", "arguments", "text"),
    [
        (SessionQuery, {"sort": "size"}, r"sort must be one of id, application.*got 'size'"),
        (SessionQuery, {"state": "open "}, r"state must be one of open, closed"),
        (SessionQuery, {"limit": 10_000}, r"limit must be 0 to 1000, got 10000"),
        (TaskQuery, {"states": ("lost",)}, r"state must be one of pending"),
        (TaskQuery, {"sort": "-age"}, r"sort must be one of id"),
        (TaskQuery, {"offset": -1}, r"offset must be a whole number >= 0, got -1"),
    ],
)
def test_a_wrong_word_names_the_right_ones(
    query: type, arguments: dict[str, object], text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        query(**arguments)


@pytest.mark.parametrize("text", ["", "x", "1.5", "²", "-1"])
def test_a_tasks_id_is_a_number(text: str) -> None:
    assert number_of("17") == 17
    with pytest.raises(InvalidArgumentError, match="a task's id is a number"):
        number_of(text)


@given(
    st.lists(st.integers(0, 30), max_size=60), st.integers(0, 50), st.integers(0, 20), st.booleans()
)
def test_a_part_of_a_list_is_that_of_the_sorted_list(
    values: list[int], offset: int, limit: int, descending: bool
) -> None:
    keyed = list(enumerate(values))
    found = part_of(
        keyed, lambda one: (one[1], one[0]), descending=descending, offset=offset, limit=limit
    )
    whole = sorted(keyed, key=lambda one: (one[1], one[0]), reverse=descending)
    assert found == whole[offset : offset + limit]


def test_plain_values() -> None:
    given_values = {"state": SessionState.OPEN, "nan": float("inf"), "when": START, "n": (1, None)}
    assert plain(given_values) == {
        "state": "open",
        "nan": None,
        "when": START.timestamp(),
        "n": [1, None],
    }
