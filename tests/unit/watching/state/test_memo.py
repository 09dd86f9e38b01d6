"""``event.memo``: one dictionary for a task, as long as the task is known."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import replace

import pytest
from support.made import made_session, made_task

from flamepy.types import SessionState, TaskState
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    Window,
)
from flamepy.watching.state.memo import MemoHolder, _making, make_once
from flamepy.watching.state.store import Store


@pytest.fixture
def store() -> Store:
    made = Store("e", needed=lambda: 0)
    made.observe_session(made_session(), Window(0, 0))
    return made


def see(store: Store, state: TaskState, at: float, number: int = 1, born: int = 0) -> TaskEvent:
    task = made_task(number, state, born=born)
    *_, event = store.observe_task(task, Window(at, at), EventSource.LIST, text_known=True).events
    return event


class TestTasks:
    def test_each_event_of_a_task_has_the_same_one(self, store: Store) -> None:
        added = see(store, TaskState.PENDING, 1)
        added.memo["span"] = 7
        assert see(store, TaskState.SUCCEED, 2).memo is added.memo
        record = store.sessions["s1"]
        assert store.replay(record, 3)[0].memo is added.memo
        assert store.stalled(record, record.tasks[1], 3).memo is added.memo

    def test_tasks_have_one_each(self, store: Store) -> None:
        one, other = see(store, TaskState.PENDING, 1), see(store, TaskState.PENDING, 1, number=2)
        assert one.memo is not other.memo

    def test_its_delete_still_has_it_and_a_new_task_of_the_id_does_not(self, store: Store) -> None:
        added = see(store, TaskState.PENDING, 1)
        added.memo["span"] = 7
        (deleted,) = store.delete_task("s1", 1, Window(2, 2))
        assert deleted.kind is EventKind.DELETED
        assert deleted.memo == {"span": 7}
        assert see(store, TaskState.PENDING, 3).memo == {}

    def test_another_incarnation_has_another_one(self, store: Store) -> None:
        see(store, TaskState.PENDING, 1).memo["span"] = 7
        assert see(store, TaskState.PENDING, 2, born=5).memo == {}

    def test_a_retired_task_has_lost_it(self) -> None:
        store = Store("e")
        store.history.retain = 0
        store.observe_session(made_session(), Window(0, 0))
        see(store, TaskState.SUCCEED, 1).memo["span"] = 7
        store.observe_session(made_session(), Window(2, 2))
        store.trim()
        assert not store.sessions["s1"].tasks, "it is retired"
        cancelled = made_task(1, TaskState.CANCELLED)
        seen = store.observe_task(cancelled, Window(3, 3), EventSource.LIST, text_known=True)
        assert seen.drift is not None
        assert seen.drift.memo == {}

    def test_a_drift_of_a_known_task_has_it(self, store: Store) -> None:
        see(store, TaskState.SUCCEED, 1).memo["span"] = 7
        drift = store.observe_task(
            made_task(1, TaskState.CANCELLED), Window(3, 3), EventSource.LIST, text_known=True
        ).drift
        assert drift is not None
        assert drift.memo == {"span": 7}


class TestSessions:
    def test_each_event_of_a_session_has_the_same_one(self, store: Store) -> None:
        info = made_session(state=SessionState.CLOSED)
        (closed,) = store.observe_session(info, Window(1, 1)).sessions
        closed.memo["span"] = 7
        (opened, *_) = store.replay_session(store.sessions["s1"], 2)
        assert opened.memo is closed.memo
        (deleted,) = store.drop_session("s1", Window(3, 3)).sessions
        assert deleted.memo == {"span": 7}
        (again,) = store.observe_session(made_session(), Window(4, 4)).sessions
        assert again.memo == {}

    def test_it_is_not_the_one_of_a_task(self, store: Store) -> None:
        task = see(store, TaskState.PENDING, 1)
        (opened,) = store.replay_session(store.sessions["s1"], 2)
        assert task.memo is not opened.memo


def event_of(kind: str) -> TaskEvent | SessionEvent:
    if kind == "task":
        return TaskEvent(kind=EventKind.ADDED, task=made_task(), memo_holder=MemoHolder())
    session = made_session()
    return SessionEvent(kind=SessionEventKind.OPENED, session=session, memo_holder=MemoHolder())


@pytest.mark.parametrize("kind", ["task", "session"])
class TestEvents:
    def test_it_is_no_part_of_equality_hash_repr_and_dict(self, kind: str) -> None:
        event, other = event_of(kind), event_of(kind)
        event.memo["span"] = 7
        assert event == other
        assert hash(event) == hash(other)
        assert "memo" not in repr(event)
        assert "memo" not in event.to_dict()

    def test_pickles_and_deep_copies_have_an_empty_one(self, kind: str) -> None:
        event = event_of(kind)
        event.memo["lock"] = threading.Lock()  # cannot be pickled
        for again in (pickle.loads(pickle.dumps(event)), copy.deepcopy(event)):
            assert again == event
            assert again.memo == {}
        assert replace(event, coalesced=2).memo is event.memo

    def test_an_event_made_by_hand_has_one_of_its_own(self, kind: str) -> None:
        event = replace(event_of(kind), memo_holder=None)
        event.memo["span"] = 7
        assert event.memo == {"span": 7}


def test_what_is_made_twice_at_the_same_time_is_one() -> None:
    """As by a signal handler, or another thread, between the look and the assignment."""
    between: list[object] = []

    class Interrupted:
        memo: dict[str, int]

        def __getattr__(self, name: str) -> object:
            if not between:
                between.append(None)
                between.append(make_once(self, name, dict))
            raise AttributeError(name)

    owner = Interrupted()
    made = make_once(owner, "memo", dict)
    assert made is between[1]
    assert made is owner.memo
    assert made is make_once(owner, "memo", dict)
    assert not _making


def test_nothing_is_made_for_an_event_whose_memo_is_not_used(store: Store) -> None:
    see(store, TaskState.PENDING, 1)
    record = store.sessions["s1"].tasks[1]
    assert not hasattr(record, "_memo")
