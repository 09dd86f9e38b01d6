"""Counts by state equal a direct count, whatever comes twice, late or out of order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.made import made_task

from flamepy.types import TaskState
from flamepy.view.task_states import GAP, Tally, TaskStates
from flamepy.watching.state.events import EventKind, TaskEvent

NUMBERS = st.one_of(st.integers(1, 12), st.sampled_from([GAP + 20, 3 * GAP, 10**9]))
STEPS = st.lists(st.tuples(NUMBERS, st.one_of(st.none(), st.integers(0, 5))), max_size=60)


@given(STEPS)
def test_the_table_is_a_dictionary_with_counts(steps: list[tuple[int, int | None]]) -> None:
    table, plain = TaskStates(), dict[int, int]()
    for number, column in steps:
        assert table.set(number, column) == plain.get(number)
        if column is None:
            plain.pop(number, None)
        else:
            plain[number] = column
        count = Counter(plain.values())
        assert table.counts == [count[one] for one in range(6)]
        assert bool(table) == bool(plain)


def test_a_task_far_from_the_others_costs_no_memory() -> None:
    table = TaskStates()
    table.set(10**12, 1)
    assert len(table._dense) == 0


def event(number: int, state: int, epoch: int, *, deleted: bool = False) -> TaskEvent:
    task = made_task(number=number, state=TaskState(state), text="t" if state == 3 else None)
    return TaskEvent(
        kind=EventKind.DELETED if deleted else EventKind.UPDATED, task=task, epoch=epoch
    )


EVENTS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 7), st.integers(0, 1), st.booleans()), max_size=50
)


@given(EVENTS, st.lists(st.integers(0, 1), max_size=3))
def test_incarnations_are_apart_and_a_dropped_session_takes_its_tasks(
    events: list[tuple[int, int, int, bool]], drops: list[int]
) -> None:
    tally, plain = Tally(), dict[tuple[int, int], int]()
    for number, state, epoch, deleted in events:
        before = tally.observe(event(number, state, epoch, deleted=deleted))
        known = plain.pop((epoch, number), None)
        assert (before is None) == (known is None)
        if not deleted:
            plain[epoch, number] = state
    for epoch in drops:
        tally.drop("s1", epoch)
        plain = {key: one for key, one in plain.items() if key[0] != epoch}
    states = Counter(plain.values())
    assert tally.known == len(plain)
    counts = tally.counts
    assert [counts.pending, counts.running, counts.succeed, counts.failed, counts.cancelled] == [
        states[one] for one in range(5)
    ]
    in_session = sum(1 for epoch, _ in plain if epoch == 0)
    named = sum(1 for (epoch, _), one in plain.items() if epoch == 0 and one > 4)
    assert tally.of("s1", 0).total == in_session - named
