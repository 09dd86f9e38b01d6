"""Finished tasks over the limit leave the store; what was delivered is not delivered again."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.history import EPOCHS
from flamepy.watching.state.retired import Retired
from flamepy.watching.state.store import Store, Verdict

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState
ENDS = (SUCCEED, FAILED, CANCELLED)


@given(
    st.dictionaries(st.integers(0, 300_000), st.sampled_from(ENDS), max_size=30),
    st.lists(st.tuples(st.integers(0, 300_000), st.sampled_from(list(TaskState))), max_size=10),
)
@example(ends={65_536: SUCCEED, 1: FAILED, 65_537: SUCCEED}, shown=[(65_536, RUNNING)])
def test_ends_are_remembered_whatever_their_numbers(ends, shown) -> None:
    retired = Retired()
    for number, state in ends.items():
        retired.add(number, state, state, 0.0)
    last = dict(ends)
    for number, state in shown:
        if number in ends:
            retired.show(number, state)
            last[number] = state
    for number in {*ends, *(number for number, _ in shown)}:
        assert retired.delivered(number) == ends.get(number)
        assert retired.shown(number) == last.get(number)
    assert sorted(retired.states()) == sorted(last.values())


def finished(count: int, retain: int, needed: Callable[[], int | None] = lambda: None) -> Store:
    """Return a store that recorded ``count`` successes and was trimmed."""
    store = Store(needed=needed)
    store.history.retain = retain
    store.observe_session(made_session(counts=TaskCounts(succeed=count)), Window(0, 0))
    for number in range(1, count + 1):
        store.observe_task(made_task(number, SUCCEED), Window(1, 1), EventSource.LIST)
        store.trim()
    polled(store, count)
    return store


def polled(store: Store, count: int) -> None:
    """Show the session again, and trim."""
    store.observe_session(made_session(counts=TaskCounts(succeed=count)), Window(2, 2))
    store.trim()


def see(store: Store, number: int, state: TaskState, at: float = 9.0):
    task = made_task(number, state, text="late")
    return store.observe_task(task, Window(at, at), EventSource.AUDIT, text_known=True)


class TestRetirement:
    def test_the_oldest_go_and_still_count(self) -> None:
        store = finished(10, retain=3)
        record = store.session("s1")
        assert sorted(record.tasks) == [8, 9, 10]
        assert record.counts == TaskCounts(succeed=10)
        assert record.highest == 10
        assert record.info is not None
        assert record.counts == record.info.counts

    def test_they_stay_until_a_poll_shows_that_their_session_is_still_the_same(self) -> None:
        """Else a task of the next session of that id, whose end came first, is delivered again."""
        store = finished(3, retain=0)
        task = made_task(4, SUCCEED, born=9)
        store.observe_task(task, Window(9, 9), EventSource.WATCH)
        store.trim()
        assert sorted(store.session("s1").tasks) == [4]
        counts = TaskCounts(succeed=1)
        store.observe_session(made_session(counts=counts, born=9), Window(10, 10))
        again = store.observe_task(task, Window(11, 11), EventSource.LIST)
        assert again.events == ()

    def test_a_later_list_neither_adds_nor_delivers_them_again(self) -> None:
        store = finished(10, retain=0)
        before = store.sequence
        for number in range(1, 11):
            observation = see(store, number, SUCCEED)
            assert (observation.verdict, observation.events) == (Verdict.UNCHANGED, ())
        assert store.sequence == before
        assert store.session("s1").tasks == {}

    def test_another_end_is_drift_once_and_counts(self) -> None:
        store = finished(3, retain=0)
        observation = see(store, 2, FAILED)
        assert (observation.verdict, observation.delivered) == (Verdict.DRIFT, SUCCEED)
        assert see(store, 2, FAILED).verdict is Verdict.UNCHANGED
        assert store.session("s1").counts == TaskCounts(succeed=2, failed=1)
        assert see(store, 2, SUCCEED).verdict is Verdict.UNCHANGED
        assert store.session("s1").counts == TaskCounts(succeed=3)

    def test_an_old_answer_is_no_drift(self) -> None:
        store = finished(3, retain=0)
        assert see(store, 2, RUNNING, at=0.5).verdict is Verdict.UNCHANGED
        assert see(store, 2, RUNNING, at=1.5).verdict is Verdict.DRIFT

    def test_another_task_of_the_number_is_no_drift(self) -> None:
        """The engine lost its state, and no poll has shown it yet."""
        store = finished(3, retain=0)
        task = made_task(2, RUNNING, born=9)
        seen = store.observe_task(task, Window(9, 9), EventSource.WATCH)
        assert (seen.verdict, seen.events) == (Verdict.UNCHANGED, ())
        assert store.session("s1").counts == TaskCounts(succeed=3)

    def test_what_a_subscription_still_needs_stays(self) -> None:
        needed: list[int | None] = [None]
        store = finished(10, retain=10, needed=lambda: needed[0])
        needed[0] = fourth = store.session("s1").tasks[4].sequence
        store.history.retain = 2
        store.trim()
        assert sorted(store.session("s1").tasks) == [5, 6, 7, 8, 9, 10]
        changed = store.changed_since(fourth, lambda *_: True)
        assert [known.number for _, known in changed] == [5, 6, 7, 8, 9, 10]
        needed[0] = None
        store.trim()
        assert sorted(store.session("s1").tasks) == [9, 10]

    def test_tasks_that_left_otherwise_do_not_count(self) -> None:
        store = finished(6, retain=4)
        store.delete_task("s1", 5, Window(5, 5))
        store.forget_task("s1", 6)
        see(store, 7, SUCCEED)
        see(store, 8, SUCCEED)
        store.trim()
        assert sorted(store.session("s1").tasks) == [3, 4, 7, 8]
        store.drop_session("s1", Window(20, 20))
        store.trim()
        assert store.sessions == {}

    def test_what_comes_and_goes_leaves_nothing(self) -> None:
        store = Store()
        for turn in range(50):
            store.observe_session(made_session(born=turn), Window(turn, turn))
            for number in range(1, 101):
                task = made_task(number, SUCCEED, born=turn)
                store.observe_task(task, Window(turn + 0.5, turn + 0.5), EventSource.LIST)
                store.trim()
        assert len(store.history._ended) < 400
        assert len(store.session("s1").tasks) == 100

    def test_those_that_left_otherwise_are_not_kept_in_memory(self) -> None:
        """Neither while few are there nor when the limit is far."""
        store = Store()
        store.observe_session(made_session(), Window(0, 0))
        for number in range(1, 1001):
            store.observe_task(made_task(number, SUCCEED), Window(1, 1), EventSource.LIST)
            store.delete_task("s1", number, Window(2, 2))
            store.trim()
        assert len(store.history._ended) < 100

    def test_deletes_are_kept_while_a_subscription_needs_them_and_no_longer(self) -> None:
        needed: list[int | None] = [0]
        store = Store(needed=lambda: needed[0])
        store.observe_session(made_session(), Window(0, 0))
        for number in range(1, 6):
            store.observe_task(made_task(number, RUNNING), Window(1, 1), EventSource.LIST)
            store.delete_task("s1", number, Window(2, 2))

        def kept() -> list[str]:
            return [one.event.task.id for one in store.deleted_since(0, lambda *_: True)]

        assert kept() == ["1", "2", "3", "4", "5"]
        third = store.deleted_since(0, lambda *_: True)[2].event.sequence
        assert [one.event.task.id for one in store.deleted_since(third, lambda *_: True)] == [
            "4",
            "5",
        ]
        needed[0] = third
        store.trim()
        assert kept() == ["4", "5"]
        needed[0] = None
        store.observe_task(made_task(6, RUNNING), Window(1, 1), EventSource.LIST)
        store.delete_task("s1", 6, Window(2, 2))
        assert kept() == []
        needed[0] = store.sequence
        store.delete_task("s1", 6, Window(9, 9))
        needed[0] = store.sequence
        store.trim()
        assert kept() == [], "every subscription has it"

    def test_the_oldest_that_is_there_goes_when_an_older_one_has_left(self) -> None:
        store = finished(3, retain=3)
        store.delete_task("s1", 1, Window(5, 5))
        store.history.retain = 1
        store.trim()
        assert sorted(store.session("s1").tasks) == [3]
        assert store.session("s1").counts == TaskCounts(succeed=2)

    def test_what_was_there_before_the_last_subscription_left_does_not_count(self) -> None:
        store = finished(5, retain=5)
        store.clear()
        store.observe_session(made_session(counts=TaskCounts(succeed=5)), Window(10, 10))
        for number in range(1, 6):
            see(store, number, SUCCEED, at=11.0)
        store.observe_session(made_session(counts=TaskCounts(succeed=5)), Window(12, 12))
        store.trim()
        assert sorted(store.session("s1").tasks) == [1, 2, 3, 4, 5]

    def test_the_epochs_that_were_used_last_are_remembered(self) -> None:
        history = Store().history
        history.remember("first", 1, 0.0)
        for number in range(EPOCHS - 1):
            history.remember(str(number), 1, 0.0)
        history.remember("first", 2, 5.0)
        history.remember("one more", 1, 0.0)
        assert history.recall("first") == (2, 5.0)
        assert history.recall("0") == (0, float("-inf"))
