"""A rule is broken once for each task or session, in time, and armed anew when it holds again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.informers import expect
from flamepy.informers.expect import Rule
from flamepy.informers.rules.rule_book import Now, RuleBook
from flamepy.types import SessionInfo, SessionState, Task, TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PENDING, RUNNING, SUCCEED = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED


def at(seconds: float) -> Now:
    return Now(1000.0 + seconds, START.timestamp() + seconds)


def task(
    state: TaskState = PENDING,
    number: int = 1,
    *,
    old: TaskState | None = None,
    kind: EventKind = EventKind.UPDATED,
    session: str = "s",
    initial: bool = False,
    created: float = 0.0,
) -> TaskEvent:
    made = Task(str(number), session, state, START + timedelta(seconds=created))
    return TaskEvent(
        kind=kind,
        task=made,
        old=None if old is None else replace(made, state=old),
        application="app",
        initial=initial,
    )


def session(
    *,
    pending: int = 0,
    ended: int = 0,
    state: SessionState = SessionState.OPEN,
    kind: SessionEventKind = SessionEventKind.PROGRESS,
    initial: bool = False,
    created: float = 0.0,
) -> SessionEvent:
    made = START + timedelta(seconds=created)
    counts = TaskCounts(pending=pending, succeed=ended)
    info = SessionInfo("s", "app", state, made, counts)
    return SessionEvent(kind=kind, session=info, initial=initial)


def found(book: RuleBook, seconds: float) -> list[tuple[str, str, float]]:
    return [
        (str(one.rule.expected), one.task.id if one.task else "", one.age)
        for one in book.overdue(at(seconds))
    ]


class TestTasks:
    def test_one_that_waits_too_long_is_overdue_once(self) -> None:
        book = RuleBook([expect.start(within=10)])
        book.observe(task(), at(0))
        assert (book.next_due(), found(book, 9.9)) == (1010.0, [])
        assert (found(book, 10), found(book, 99)) == ([("start", "1", 10.0)], [])
        assert book.next_due() is None

    @pytest.mark.parametrize("event", [task(RUNNING), task(SUCCEED), task(kind=EventKind.DELETED)])
    def test_one_that_goes_on_in_time_is_not(self, event: TaskEvent) -> None:
        book = RuleBook([expect.start(within=10)])
        book.observe(task(), at(0))
        book.observe(event, at(9))
        assert (found(book, 99), book.next_due(), book.armed) == ([], None, 0)

    def test_back_in_the_queue_the_time_begins_again(self) -> None:
        book = RuleBook([expect.start(within=10), expect.end(within=50)])
        book.observe(task(), at(0))
        book.observe(task(RUNNING), at(9))
        book.observe(task(PENDING, old=RUNNING), at(20))
        assert found(book, 29.9) == []
        assert found(book, 30) == [("start", "1", 10.0)]
        assert found(book, 50) == [("end", "1", 50.0)]

    def test_a_rule_that_holds_again_is_armed_anew(self) -> None:
        book = RuleBook([expect.start(within=10)])
        book.observe(task(), at(0))
        assert len(found(book, 10)) == 1
        book.observe(task(RUNNING), at(11))
        book.observe(task(PENDING, old=RUNNING), at(12))
        assert found(book, 22) == [("start", "1", 10.0)]

    def test_how_long_it_runs_is_counted_from_its_start(self) -> None:
        book = RuleBook([expect.run(within=10)])
        book.observe(task(), at(0))
        book.observe(task(RUNNING), at(30))
        assert (found(book, 39), found(book, 40)) == ([], [("run", "1", 10.0)])

    def test_what_was_there_before_is_as_old_as_it_is(self) -> None:
        book = RuleBook([expect.end(within=10), expect.start(within=100)])
        book.observe(task(initial=True, created=-60), at(0))
        assert found(book, 0) == [("end", "1", 60.0)]
        assert found(book, 40) == [("start", "1", 100.0)]

    def test_an_engine_whose_clock_is_ahead_makes_it_new(self) -> None:
        book = RuleBook([expect.end(within=10)])
        book.observe(task(initial=True, created=3600), at(0))
        assert (found(book, 9), len(found(book, 10))) == ([], 1)

    def test_a_live_one_does_not_compare_clocks(self) -> None:
        book = RuleBook([expect.end(within=10)])
        book.observe(task(created=-3600), at(0))
        assert found(book, 9) == []

    def test_only_those_of_the_application_and_of_where(self) -> None:
        rules = [
            expect.end(within=10, application="other"),
            expect.start(within=10, where=lambda one: one.id == "2"),
        ]
        book = RuleBook(rules)
        for number in (1, 2):
            book.observe(task(number=number), at(0))
        assert found(book, 10) == [("start", "2", 10.0)]


class TestSessions:
    def test_one_that_does_not_drain_is_overdue(self) -> None:
        book = RuleBook([expect.drained(within=60)])
        book.observe(session(kind=SessionEventKind.OPENED), at(0))
        assert book.next_due() is None
        book.observe(session(pending=2), at(10))
        book.observe(session(pending=1, ended=1), at(20))
        assert (found(book, 69), found(book, 70)) == ([], [("drained", "", 60.0)])
        book.observe(session(ended=2), at(71))
        book.observe(session(pending=1, ended=2), at(80))
        assert found(book, 140) == [("drained", "", 60.0)]

    def test_one_whose_tasks_do_not_end_makes_no_progress(self) -> None:
        book = RuleBook([expect.progress(within=10)])
        book.observe(session(pending=2), at(0))
        book.observe(session(pending=1, ended=1), at(8))
        assert (found(book, 17), found(book, 18)) == ([], [("progress", "", 10.0)])
        book.observe(session(pending=3, ended=1), at(19))
        assert found(book, 60) == []
        book.observe(session(pending=2, ended=2), at(61))
        assert found(book, 71) == [("progress", "", 10.0)]
        book.observe(session(ended=4), at(72))
        assert (found(book, 999), book.armed) == ([], 0)

    def test_one_that_gets_no_task(self) -> None:
        book = RuleBook([expect.tasks(within=10)])
        book.observe(session(kind=SessionEventKind.OPENED), at(0))
        book.observe(session(pending=1), at(5))
        assert (found(book, 14), found(book, 15)) == ([], [("tasks", "", 10.0)])
        book.observe(session(ended=1, state=SessionState.CLOSED), at(16))
        assert (found(book, 99), book.armed) == ([], 0)

    def test_a_delete_clears_everything_of_it(self) -> None:
        book = RuleBook([expect.drained(within=10), expect.end(within=10)])
        book.observe(session(pending=1), at(0))
        book.observe(task(), at(0))
        book.observe(session(pending=1, kind=SessionEventKind.DELETED), at(1))
        assert (found(book, 99), book.armed, book._of_session) == ([], 0, {})


class TestRestarts:
    def test_what_was_reported_is_not_reported_again_until_it_holds_again(self) -> None:
        rules = [expect.start(within=10)]
        first = RuleBook(rules)
        first.observe(task(), at(0))
        (broken,) = first.overdue(at(10))
        forgotten: list[str] = []
        second = RuleBook(rules, remembered=[broken.key], forget=forgotten.append)
        second.observe(task(initial=True), at(50))
        assert found(second, 99) == []
        second.observe(task(RUNNING), at(100))
        assert forgotten == [broken.key]
        second.observe(task(PENDING, old=RUNNING), at(101))
        assert len(found(second, 111)) == 1

    def test_what_ended_while_nothing_watched_is_forgotten(self) -> None:
        rules = [expect.start(within=10)]
        first = RuleBook(rules)
        first.observe(task(), at(0))
        (broken,) = first.overdue(at(10))
        forgotten: list[str] = []
        second = RuleBook(rules, remembered=[broken.key], forget=forgotten.append)
        second.observe(task(SUCCEED, initial=True), at(50))
        assert forgotten == [broken.key]


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(1, 4),
            st.sampled_from([PENDING, RUNNING, SUCCEED, None]),
        ),
        max_size=40,
    )
)
def test_any_course_of_tasks_agrees_with_a_direct_count(steps: list[tuple[Any, ...]]) -> None:
    """The model looks at each task's whole course: who stays in a state longer than the rule."""
    rules = {"start": 10.0, "run": 15.0}
    book = RuleBook([expect.start(within=10), expect.run(within=15)])
    now, told = 0.0, []
    courses: dict[int, list[tuple[float, TaskState | None]]] = {}
    for wait, number, state in steps:
        now += wait
        told += found(book, now)
        before = courses.setdefault(number, [])
        old = before[-1][1] if before else None
        if state is None:
            book.observe(task(kind=EventKind.DELETED, number=number), at(now))
        else:
            book.observe(task(state, number, old=old), at(now))
        if old != state:
            before.append((now, state))
    now += 100
    told += found(book, now)
    wanted = []
    for number, course in courses.items():
        ends = [*course[1:], (now, None)]
        for (since, state), (until, _) in zip(course, ends, strict=False):
            for name, waited in (("start", PENDING), ("run", RUNNING)):
                if state == waited and until - since >= rules[name]:
                    wanted.append((name, str(number)))
    assert sorted(one[:2] for one in told) == sorted(wanted)
    assert len(book._heap) <= 2 * book.armed + 1_000


def test_many_that_come_and_go_leave_nothing_behind() -> None:
    book = RuleBook([expect.end(within=1e6)])
    for number in range(20_000):
        book.observe(task(number=number), at(0))
        book.observe(task(SUCCEED, number=number), at(0))
    assert book.armed == 0
    assert len(book._heap) <= 1_001


class TestRules:
    @pytest.mark.parametrize(
        ("make", "rule"),
        [
            (lambda: expect.end(within=0), "expect.end: within"),
            (lambda: expect.end(within="10"), "expect.end: within"),
            (lambda: expect.start(within=1, application=""), "application must be"),
            (lambda: expect.run(within=1, where=5), "where must be a function, got 5"),
            (lambda: expect.checked(expect.end(within=5)), r"must be a list, such as \[expect.end"),
            (lambda: expect.checked(5), "must be a list of rules, got 5"),
            (lambda: expect.checked(["end"]), "made by flamepy.informers.expect.*got 'end'"),
            (lambda: expect.checked([expect.end(within=5)] * 2), "given twice"),
        ],
    )
    def test_wrong_ones_are_refused(self, make: Any, rule: str) -> None:
        with pytest.raises(InvalidArgumentError, match=rule):
            make()

    def test_each_has_a_name_of_its_own(self) -> None:
        rules = [
            expect.end(within=600),
            expect.end(within=5),
            expect.start(within=5),
            expect.drained(within=5, application="x"),
        ]
        assert [one.name for one in expect.checked(rules)] == [
            "end(within=600)",
            "end(within=5)",
            "start(within=5)",
            "drained(within=5, application=x)",
        ]
        assert isinstance(rules[0], Rule)
