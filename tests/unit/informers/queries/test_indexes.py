"""An index finds what a scan of the store finds, and looks at nothing else."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.informers.queries.indexes import Index, SessionSource, TaskSource
from flamepy.types import Task, TaskCounts, TaskState
from flamepy.watching.state.change_log import LEAST, ChangeLog
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import TaskRecord
from flamepy.watching.state.store import Store

P, R, S, F = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED, TaskState.FAILED
NAMES = ["s", "t", "u"]


class Play:
    """A store, and what an engine shows of it."""

    def __init__(self) -> None:
        self.store = Store("e")
        self.store.history.retain = 6
        self.now = 0.0

    def window(self) -> Window:
        self.now += 1
        return Window(self.now, self.now)

    def step(self, step: tuple[Any, ...]) -> None:
        name, session, *rest = step
        if name == "task":
            number, state, born = rest
            task = made_task(number, state, session=session, born=born)
            self.store.observe_task(task, self.window(), EventSource.LIST, text_known=True)
            self.store.trim()
        elif name == "session":
            application, pending, born = rest
            counts = TaskCounts(pending=pending)
            info = made_session(session, counts, application=application, born=born)
            self.store.observe_session(info, self.window())
        elif name == "delete":
            self.store.delete_task(session, rest[0], self.window())
        elif name == "drop":
            self.store.drop_session(session, self.window())
        elif name == "clear":
            self.store.clear()


STEPS = st.one_of(
    st.tuples(
        st.just("task"),
        st.sampled_from(NAMES),
        st.integers(1, 5),
        st.sampled_from([P, R, S, F]),
        st.sampled_from([0, 0, 0, 9]),
    ),
    st.tuples(
        st.just("session"),
        st.sampled_from(NAMES),
        st.sampled_from(["a", "b"]),
        st.integers(0, 2),
        st.sampled_from([0, 0, 9]),
    ),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.integers(1, 5)),
    st.tuples(st.just("drop"), st.sampled_from(NAMES)),
    st.tuples(st.just("clear"), st.just("")),
    st.tuples(st.just("find"), st.just("")),
)
OF_TASKS: list[tuple[Callable[[Task], Any], list[Any]]] = [
    (lambda task: task.state, [P, R, S, F, TaskState(9)]),
    (lambda task: int(task.id) % 2, [0, 1, 2]),
    (lambda task: [task.id], [["1"], ["7"]]),  # cannot be hashed
    (lambda task: {task.id} if task.state is R else frozenset({task.id}), [{"1"}, frozenset("2")]),
]


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from([1, 3, LEAST]))
def test_any_history_is_found_as_by_a_scan(steps: list[tuple[Any, ...]], limit: int) -> None:
    play = Play()
    tasks, sessions = TaskSource(play.store), SessionSource(play.store)
    indexes = [(Index(tasks, function), function, values) for function, values in OF_TASKS]
    applications = Index(sessions, lambda session: session.application)
    pending = Index(sessions, lambda session: session.counts.pending)

    def check() -> None:
        for index, function, values in indexes:
            for wanted in values:
                expected = [(one, task) for one, task in tasks.all() if function(task) == wanted]
                assert by_identity(index.find(wanted)) == by_identity(expected)
        for name in ("a", "b", "c"):
            expected = [pair for pair in sessions.all() if pair[1].application == name]
            assert by_identity(applications.find(name)) == by_identity(expected)
        for count in range(3):
            expected = [pair for pair in sessions.all() if pair[1].counts.pending == count]
            assert by_identity(pending.find(count)) == by_identity(expected)
        for one in [applications, pending, *(index for index, _, _ in indexes)]:
            assert one._log is not None
            one._log.limit = limit

    for step in steps:
        check() if step[0] == "find" else play.step(step)
    check()


def by_identity(found: list[tuple[Any, Any]]) -> list[tuple[int, int]]:
    return sorted((id(record), id(shown)) for record, shown in found)


# ---------------------------------------------------------------------- what it costs


def filled(count: int = 200) -> Play:
    play = Play()
    play.store.history.retain = 10 * count
    play.step(("session", "s", "a", 0, 0))
    for number in range(1, count + 1):
        play.step(("task", "s", number, P, 0))
    return play


class Counting(TaskSource):
    """Counts the records that are looked at, and the tasks that the function is called for."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.looked = self.called = 0

    def shown(self, record: TaskRecord) -> Task | None:
        self.looked += 1
        return super().shown(record)

    def state(self, task: Task) -> TaskState:
        self.called += 1
        return task.state


def test_a_query_looks_at_what_changed_and_what_it_returns_alone() -> None:
    play = filled()
    source = Counting(play.store)
    index = Index(source, source.state)
    assert len(index.find(P)) == 200
    source.looked = source.called = 0
    for number in (1, 2, 3):
        play.step(("task", "s", number, R, 0))
    assert len(index.find(R)) == 3
    assert source.called == 3
    assert source.looked == 3, "those that changed, not those that are returned"
    source.looked = source.called = 0
    assert index.find(S) == []
    assert (source.looked, source.called) == (0, 0)


def test_nothing_is_noted_before_the_first_query_and_after_the_index_is_gone() -> None:
    play = filled(3)
    source = TaskSource(play.store)
    index = Index(source, lambda task: task.state)
    assert not play.store.task_changes
    index.find(P)
    assert play.store.task_changes
    del index
    gc.collect()
    play.step(("task", "s", 1, R, 0))
    assert not play.store.task_changes


def test_a_log_that_nobody_reads_is_bounded_and_ends() -> None:
    play = filled(3)
    index = Index(TaskSource(play.store), lambda task: task.state)
    index.find(P)
    log = index._log
    assert log is not None
    for number in range(4, LEAST + 3):
        play.step(("task", "s", number, P, 0))
    assert len(log.records) == LEAST - 1
    for number in range(LEAST + 3, LEAST + 10):
        play.step(("task", "s", number, P, 0))
    assert log.full
    assert not log.records
    assert not play.store.task_changes
    assert len(index.find(P)) == LEAST + 9
    assert play.store.task_changes


@pytest.mark.parametrize("way", ["deleted", "retired", "forgotten", "dropped", "cleared"])
def test_what_left_the_store_is_not_found(way: str) -> None:
    play = filled(3)
    play.step(("task", "s", 1, S, 0))
    index = Index(TaskSource(play.store), lambda task: task.state)
    sessions = Index(SessionSource(play.store), lambda session: session.application)
    assert (len(index.find(S)), len(sessions.find("a"))) == (1, 1)
    if way == "deleted":
        play.step(("delete", "s", 1))
    elif way == "retired":
        play.step(("session", "s", "a", 1, 0))  # a poll after its end
        play.store.history.retain = 0
        play.store.trim()
    elif way == "forgotten":
        play.store.forget_task("s", 1)
    else:
        play.step(("drop", "s") if way == "dropped" else ("clear", ""))
    assert index.find(S) == []
    assert len(sessions.find("a")) == (way not in ("dropped", "cleared"))


def test_what_left_the_store_is_let_go_though_nobody_asks_for_its_value() -> None:
    play = filled(100)
    index = Index(TaskSource(play.store), lambda task: task.state)
    index.find(P)
    play.step(("drop", "s"))
    play.step(("session", "t", "a", 0, 0))
    for number in range(200):
        play.step(("task", "t", number, S, 0))
        index.find(S)
    assert len(index._entries) < 300


def test_what_a_function_raises_is_raised_and_nothing_is_lost_by_it() -> None:
    play = filled(3)
    wrong: list[str] = []

    def judge(task: Task) -> TaskState:
        if task.id in wrong:
            raise ValueError(f"no {task.id}")
        return task.state

    index = Index(TaskSource(play.store), judge)
    index.find(P)
    wrong.append("2")
    play.step(("task", "s", 1, R, 0))
    play.step(("task", "s", 2, R, 0))
    for _ in range(2):
        with pytest.raises(ValueError, match="no 2"):
            index.find(R)
    wrong.clear()
    assert sorted(task.id for _, task in index.find(R)) == ["1", "2"]


# ---------------------------------------------------------------------- several threads


def test_a_query_in_the_function_of_another_query_is_answered() -> None:
    play = filled(5)
    index: Index[TaskRecord, Task]

    def nested(task: Task) -> TaskState:
        if not depth:
            depth.append(0)
            depth[0] = len(index.find(P))
        return task.state

    depth: list[int] = []
    index = Index(TaskSource(play.store), nested)
    assert len(index.find(P)) == 5
    assert depth == [5]
    play.step(("task", "s", 1, R, 0))
    assert [task.id for _, task in index.find(R)] == ["1"]


def test_a_query_while_another_one_reads_everything_misses_no_change() -> None:
    """The slow reader sets what it read when a second reader and a change have come between."""
    play = filled(3)
    source = TaskSource(play.store)
    reached, go = threading.Event(), threading.Event()
    slow: list[threading.Thread] = []

    def state(task: Task) -> TaskState:
        if slow and threading.current_thread() is slow[0] and not go.is_set():
            reached.set()
            go.wait(30)
        return task.state

    index = Index(source, state)
    slow.append(threading.Thread(target=index.find, args=(P,)))
    slow[0].start()
    assert reached.wait(30)
    assert len(index.find(P)) == 3
    play.step(("task", "s", 3, R, 0))
    go.set()
    slow[0].join(30)
    assert [task.id for _, task in index.find(R)] == ["3"]
    assert len(index.find(P)) == 2


def test_a_log_that_becomes_full_while_it_is_copied_is_not_taken_for_an_empty_one() -> None:
    play = filled(3)
    index = Index(TaskSource(play.store), lambda task: task.state)
    index.find(P)
    play.step(("task", "s", 1, R, 0))

    class Filling(ChangeLog[TaskRecord]):
        @property  # type: ignore[misc]  # as the loop does it, between the look and the copy
        def records(self) -> list[TaskRecord]:
            self.full = True
            return []

    index._log = Filling.__new__(Filling)
    index._log.full = False
    assert [task.id for _, task in index.find(R)] == ["1"]


def test_changes_that_are_taken_in_while_an_older_reading_is_set_are_not_lost() -> None:
    play = filled(3)
    reached, go = threading.Event(), threading.Event()
    slow: list[threading.Thread] = []

    def state(task: Task) -> TaskState:
        if slow and threading.current_thread() is slow[0]:
            if task.id == "3":
                reached.set()
                go.wait(30)
        elif task.state is R:  # the slow reader, which has read the first task as pending, ends
            go.set()
            slow[0].join(30)
        return task.state

    index = Index(TaskSource(play.store), state)
    slow.append(threading.Thread(target=index.find, args=(P,)))
    slow[0].start()
    assert reached.wait(30)
    index.find(P)
    play.step(("task", "s", 1, R, 0))
    assert [task.id for _, task in index.find(R)] == ["1"]


def test_two_queries_at_once_apply_the_newest_state() -> None:
    """The slow one has read a task before it changed again, and the fast one has applied both."""
    play = filled(3)
    reached, go = threading.Event(), threading.Event()
    slow: list[threading.Thread] = []

    def state(task: Task) -> TaskState:
        if slow and threading.current_thread() is slow[0] and task.state is R:
            reached.set()
            go.wait(30)
        return task.state

    index = Index(TaskSource(play.store), state)
    index.find(P)
    play.step(("task", "s", 1, R, 0))
    slow.append(threading.Thread(target=index.find, args=(P,)))
    slow[0].start()
    assert reached.wait(30)
    play.step(("task", "s", 1, S, 0))
    assert [task.id for _, task in index.find(S)] == ["1"]
    go.set()
    slow[0].join(30)
    assert [task.id for _, task in index.find(S)] == ["1"]
    assert index.find(R) == []
