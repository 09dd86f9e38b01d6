"""What to ask next: as little as explains the counters, and never for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.types import TaskCounts, TaskState
from flamepy.watching.cursor import (
    BATCH,
    Costs,
    Probing,
    Step,
    decide,
    retry_delay,
    settled,
)
from flamepy.watching.events import EventSource, Window
from flamepy.watching.records import SessionRecord
from flamepy.watching.store import Store


def record_of(states: list[TaskState], counts: TaskCounts, *, synced: bool = True) -> SessionRecord:
    store = Store()
    store.observe_session(made_session(counts=counts), Window(0, 0))
    for number, state in enumerate(states, start=1):
        store.observe_task(
            made_task(number, state, text="t"), Window(1, 1), EventSource.LIST, text_known=True
        )
    record = store.session("s1")
    record.synced = synced
    return record


def tally(states: list[TaskState]) -> TaskCounts:
    return TaskCounts(*(states.count(state) for state in TaskState))


PENDING, RUNNING, SUCCEED = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED


class TestDecide:
    def test_counters_that_stand_still_cost_nothing(self) -> None:
        states = [SUCCEED, RUNNING, PENDING]
        assert decide(record_of(states, tally(states)), Costs()) is Step.NOTHING

    def test_a_session_never_listed_is_listed(self) -> None:
        assert decide(record_of([], TaskCounts(3), synced=False), Costs()) is Step.LIST

    def test_a_session_without_tasks_needs_no_list(self) -> None:
        assert decide(record_of([], TaskCounts(), synced=False), Costs()) is Step.NOTHING

    def test_one_change_among_many_is_probed(self) -> None:
        states = [SUCCEED] * 1000 + [RUNNING]
        assert decide(record_of(states, TaskCounts(0, 0, 1001)), Costs()) is Step.PROBE

    def test_many_changes_are_listed(self) -> None:
        states = [PENDING] * 1000
        assert decide(record_of(states, TaskCounts(0, 0, 1000)), Costs()) is Step.LIST

    def test_a_task_in_none_of_the_counters_is_no_reason_to_ask(self) -> None:
        # On its way to an executor a task is in no counter: they are a lower bound.
        record = record_of([SUCCEED, PENDING], TaskCounts(0, 0, 1))
        assert settled(record)

    def test_costs_follow_what_was_measured(self) -> None:
        costs = Costs()
        for _ in range(100):
            costs.learn_get(0.01)
            costs.learn_list(1.0, 1000)
        assert costs.get == pytest.approx(0.01, rel=0.1)
        assert costs.listed == pytest.approx(0.001, rel=0.1)


STATES = st.lists(st.sampled_from(list(TaskState)), max_size=60)


@given(STATES, st.integers(0, 40), st.randoms())
def test_a_pass_of_probes_finds_every_change_or_gives_up(before, new, chance) -> None:
    """Whatever moved among tasks that start in order: after the pass the counters add up."""
    now = [
        state if state.is_terminal else chance.choice([state, RUNNING, SUCCEED]) for state in before
    ]
    now += [PENDING] * new
    record = record_of(before, tally(now))
    store = Store()
    store.sessions["s1"] = record
    probing = Probing(record, limit=10_000)
    asked: list[int] = []
    while batch := probing.batch():
        assert len(batch) <= 2 * BATCH
        asked += batch
        for number in batch:
            found = number <= len(now)
            if found:
                task = made_task(number, now[number - 1], text="t")
                store.observe_task(task, Window(9, 9), EventSource.PROBE, text_known=True)
            probing.answered(number, found=found)
    assert len(asked) == len(set(asked)), "asked twice"
    assert settled(record)


def test_a_pass_gives_up_when_a_list_would_be_cheaper() -> None:
    record = record_of([PENDING] * 200, TaskCounts(0, 0, 200))
    probing = Probing(record, limit=BATCH)
    while ids := probing.batch():
        for number in ids:
            probing.answered(number, found=True)
    assert probing.gave_up


def test_new_ids_are_looked_for_until_two_are_missing() -> None:
    record = record_of([SUCCEED], TaskCounts(0, 0, 5))
    probing = Probing(record, limit=100)
    first = probing.batch()
    assert first == [2, 3, 4, 5]
    for number in first:
        probing.answered(number, found=False)
    assert probing.batch() == []


@given(st.integers(0, 10_000))
def test_a_delay_doubles_up_to_its_limit(attempt: int) -> None:
    delay = retry_delay(attempt, first=0.5, limit=30.0)
    assert delay == min(30.0, 0.5 * 2 ** min(attempt, 30))
