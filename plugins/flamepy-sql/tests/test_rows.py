"""Rows are a function of the entry alone, and their order is that of the states."""

from __future__ import annotations

from itertools import permutations

from flamepy_sql.rows import (
    MAX_TEXT,
    event_id,
    event_row,
    merged,
    session_rows,
    storable,
    task_rows,
    version,
)
from flamepy_sql.tables import make_tables
from made import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEED,
    at,
    gone,
    history,
    overdue,
    session,
    task,
)

from flamepy.informers import EventKind, SessionEventKind
from flamepy.types import Event, TaskCounts


def test_each_order_of_a_tasks_states_ends_in_the_same_row() -> None:
    (wanted,) = task_rows(history())
    assert (wanted["state"], wanted["error"], wanted["application"]) == (
        "failed",
        "disk full",
        "render",
    )
    assert wanted["deleted_at"] == at(6)
    assert all(task_rows(order) == [wanted] for order in permutations(history()))


def test_a_batch_folds_as_single_rows_do() -> None:
    entries = history()
    one_by_one = task_rows(entries[:1])[0]
    for entry in entries[1:]:
        one_by_one = merged(one_by_one, task_rows([entry])[0])
    assert [one_by_one] == task_rows(entries)


def test_an_end_is_above_a_state_that_was_recorded_later() -> None:
    late = task(RUNNING, 100, old=PENDING)
    (row,) = task_rows([task(SUCCEED, 5, old=RUNNING), late])
    assert (row["state"], row["completed_at"]) == ("succeed", at(5))


def test_a_delete_of_a_running_task_does_not_undo_its_end() -> None:
    lost = task(RUNNING, 9, kind=EventKind.DELETED)
    (row,) = task_rows([task(SUCCEED, 5, old=RUNNING), lost])
    assert (row["state"], row["deleted_at"]) == ("succeed", at(9))


def test_of_two_states_at_the_same_time_the_later_in_the_batch_stays() -> None:
    (row,) = task_rows([task(PENDING, 1), task(RUNNING, 1, old=PENDING)])
    assert row["state"] == "running"


def test_the_rows_of_a_batch_are_in_the_order_of_their_ids() -> None:
    entries = [task(PENDING, 1, id=str(number)) for number in (3, 1, 2)]
    assert [row["task_id"] for row in task_rows(entries)] == ["1", "2", "3"]


def test_another_incarnation_is_another_row() -> None:
    assert len(task_rows([task(PENDING, 1), task(PENDING, 9, created=8)])) == 2


def test_a_task_that_runs_again_has_no_completion_yet() -> None:
    entry = task(SUCCEED, 5)
    (row,) = task_rows([entry])
    assert (row["completed_at"], row["duration"]) == (at(5), 5.0)
    (row,) = task_rows([task(RUNNING, 6, old=PENDING)])
    assert (row["completed_at"], row["duration"]) == (None, None)


def test_a_session_has_its_counters_and_its_end() -> None:
    opened = session(SessionEventKind.OPENED, 1)
    closed = session(SessionEventKind.CLOSED, 7, closed=True, counts=TaskCounts(succeed=3))
    (row,) = session_rows([closed, opened])
    assert (row["state"], row["succeed"], row["duration"]) == ("closed", 3, 7.0)


def test_events_that_may_come_again_differ_and_those_that_come_once_do_not() -> None:
    ids = [event_id(one) for one in history()]
    assert len(set(ids)) == 6
    again = [event_id(one) for one in history()]
    assert again == ids, "the same entry, sent again"
    for state in (SUCCEED, FAILED, CANCELLED):
        assert event_id(task(state, 5)) == event_id(task(state, 6)), "an end comes once"
    assert event_id(gone(6)) == event_id(gone(7))
    opened = [session(SessionEventKind.OPENED, when) for when in (1, 2)]
    assert event_id(opened[0]) == event_id(opened[1])
    moved = [session(SessionEventKind.PROGRESS, when) for when in (1, 2)]
    assert event_id(moved[0]) != event_id(moved[1])


def test_the_present_state_is_no_new_occurrence() -> None:
    first, second = (task(RUNNING, when, initial=True) for when in (1, 2))
    assert event_id(first) == event_id(second) == first.key


def test_every_kind_of_event_has_a_row_with_every_column() -> None:
    table = make_tables("events", "flame_", None).events
    assert table is not None
    recorded = session(SessionEventKind.EVENT, 1, event=Event(1001, "no node", at(1)))
    for entry in (*history(), overdue(7), session(SessionEventKind.OPENED, 1), recorded):
        assert set(event_row(entry)) == set(table.columns.keys())
    assert event_row(recorded)["error"] == "no node"
    assert event_row(overdue(7))["type"] == "overdue"


def test_a_text_that_a_database_does_not_take_is_changed() -> None:
    assert storable("a\0b\ud800") == "a\ufffdb?"
    assert storable(None) is None
    long = storable("é" * (MAX_TEXT + 1))
    assert long is not None
    assert (len(long), long[-4:]) == (MAX_TEXT, "é...")


def test_versions_fit_into_a_column_and_tell_microseconds_apart() -> None:
    assert version(True, at(10**9)) < 2**63
    assert version(False, at(0.000002)) - version(False, at(0.000001)) == 1
    assert version(True, at(-(10**9))) > version(False, at(10**9))
