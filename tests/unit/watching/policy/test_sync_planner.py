"""What to ask next: as little as explains the counters, and never for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.types import TaskCounts, TaskState
from flamepy.watching.policy.sync_planner import (
    BATCH,
    Costs,
    ProbePass,
    SyncStep,
    decide,
    probes_needed,
    retry_delay,
    settled,
)
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.store import Store


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
        assert decide(record_of(states, tally(states)), Costs()) is SyncStep.NOTHING

    def test_a_session_never_listed_is_listed(self) -> None:
        assert decide(record_of([], TaskCounts(3), synced=False), Costs()) is SyncStep.LIST

    def test_a_session_without_tasks_needs_no_list(self) -> None:
        assert decide(record_of([], TaskCounts(), synced=False), Costs()) is SyncStep.NOTHING

    def test_one_change_among_many_is_probed(self) -> None:
        states = [SUCCEED] * 1000 + [RUNNING]
        assert decide(record_of(states, TaskCounts(0, 0, 1001)), Costs()) is SyncStep.PROBE

    def test_many_changes_are_listed(self) -> None:
        states = [PENDING] * 1000
        assert decide(record_of(states, TaskCounts(0, 0, 1000)), Costs()) is SyncStep.LIST

    def test_a_task_in_none_of_the_counters_is_no_reason_to_ask(self) -> None:
        # On its way to an executor a task is in no counter: they are a lower bound.
        record = record_of([SUCCEED, PENDING], TaskCounts(0, 0, 1))
        assert settled(record)

    @pytest.mark.parametrize(
        ("states", "counts", "is_settled"),
        [
            ([RUNNING, PENDING], TaskCounts(1, 1), True),
            ([RUNNING, PENDING], TaskCounts(0, 2), False),  # one more runs
            ([RUNNING, RUNNING], TaskCounts(1, 1), False),  # one was put back
            ([RUNNING, PENDING], TaskCounts(1, 0, 1), False),  # one has ended
            ([RUNNING], TaskCounts(1, 1), False),  # one is new
            ([SUCCEED, RUNNING], TaskCounts(0, 2), True),  # ends are known before they are counted
            ([SUCCEED, SUCCEED], TaskCounts(1, 1), True),
            ([SUCCEED, RUNNING], TaskCounts(1, 2), False),  # ... but one is new
        ],
    )
    def test_the_counters_are_explained_or_not(
        self, states: list[TaskState], counts: TaskCounts, is_settled: bool
    ) -> None:
        record = record_of(states, counts)
        assert settled(record) is is_settled
        assert (decide(record, Costs()) is SyncStep.NOTHING) is is_settled
        assert (ProbePass(record, limit=100).batch() == []) is is_settled

    def test_a_session_that_no_poll_has_shown_is_not_asked_for(self) -> None:
        record = SessionRecord("s1")
        assert settled(record) is True
        assert decide(record, Costs()) is SyncStep.NOTHING
        assert probes_needed(record) == 0
        assert ProbePass(record, limit=100).batch() == []

    def test_a_session_never_listed_is_listed_although_what_is_known_adds_up(self) -> None:
        """It may be chance: the known one has ended, and so has another."""
        assert (
            decide(record_of([SUCCEED], TaskCounts(0, 0, 1), synced=False), Costs())
            is SyncStep.LIST
        )
        assert decide(record_of([PENDING], TaskCounts(), synced=False), Costs()) is SyncStep.LIST

    @pytest.mark.parametrize(
        ("known", "now"),
        [
            ((1000, 0, 0), lambda n: (1000 + n, 0, 0)),  # new
            ((1000, 0, 0), lambda n: (1000 - n, 0, n)),  # ended
            ((1000 - 150, 150, 0), lambda n: (1000 - 150 - n, 150, n)),  # which of those that run?
            ((1000, 0, 0), lambda n: (1000 - n, n, 0)),  # started
        ],
    )
    def test_more_changes_than_a_list_costs_are_listed(self, known, now) -> None:
        """By Costs() one list of 1,000 tasks costs as much as some 210 probes."""
        states = [RUNNING] * known[1] + [PENDING] * known[0]
        for changed, step in ((40, SyncStep.PROBE), (300, SyncStep.LIST)):
            assert decide(record_of(states, TaskCounts(*now(changed))), Costs()) is step

    def test_short_lists_and_odd_durations_do_not_spoil_the_costs(self) -> None:
        costs = Costs()
        costs.learn_list(1.0, BATCH - 1)  # mostly the call itself
        assert costs.listed == Costs().listed
        costs.learn_list(1.0, BATCH)
        assert costs.listed > Costs().listed
        for _ in range(1000):
            costs.learn_get(3600.0)  # an outage
            costs.learn_list(1e6, BATCH)
        assert costs.get <= 0.1
        assert costs.listed <= 0.1

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
    probing = ProbePass(record, limit=10_000)
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


def test_a_pass_gives_up_when_it_has_asked_as_much_as_a_list_costs() -> None:
    for limit in (2 * BATCH, 5 * BATCH + 3):
        record = record_of([PENDING] * 200, TaskCounts(0, 0, 200))
        probing, asked = ProbePass(record, limit=limit), 0
        while ids := probing.batch():
            asked += len(ids)
            for number in ids:  # found as it was: the counters are ahead
                probing.answered(number, found=number <= 200)
        assert probing.over_limit
        assert limit - 2 * BATCH < asked <= limit


def test_a_pass_that_needs_just_what_it_may_cost_is_not_given_up() -> None:
    record = record_of([PENDING] * BATCH, TaskCounts(0, 0, BATCH))
    probing = ProbePass(record, limit=BATCH + 1)
    assert probing.batch() == [*range(1, BATCH + 1), BATCH + 1]
    assert not probing.over_limit


def test_only_what_can_have_changed_is_asked() -> None:
    """The lowest unfinished ones for an end, the next number for a new one, and no other."""
    one_ended = record_of([SUCCEED] + [PENDING] * 50, TaskCounts(49, 0, 2))
    assert ProbePass(one_ended, limit=100).batch() == [2, 52]
    one_new = record_of([RUNNING] + [PENDING] * 50, TaskCounts(51, 1))
    assert ProbePass(one_new, limit=100).batch() == [52]
    one_started = record_of([RUNNING] + [PENDING] * 50, TaskCounts(49, 2))
    assert ProbePass(one_started, limit=100).batch() == [1, 2, 52]


def test_new_ids_are_looked_for_until_two_are_missing() -> None:
    record = record_of([SUCCEED], TaskCounts(0, 0, 5))
    probing = ProbePass(record, limit=100)
    assert probing.batch() == [2, 3, 4, 5]
    probing.answered(2, found=False)
    assert probing.batch() == [6, 7, 8, 9], "a number may be used up by a task that was never made"
    probing.answered(6, found=False)
    assert probing.batch() == []


def test_known_tasks_that_are_gone_do_not_end_the_search_for_new_ones() -> None:
    record = record_of([PENDING] * 3, TaskCounts(0, 0, 5))
    probing = ProbePass(record, limit=100)
    assert probing.batch() == [1, 2, 3, 4, 5]
    for number in (1, 2):
        probing.answered(number, found=False)
    assert probing.batch() == [6, 7]


def test_what_a_stream_has_shown_meanwhile_is_not_asked_for() -> None:
    record = record_of([SUCCEED], TaskCounts(8, 0, 2))
    store = Store()
    store.sessions["s1"] = record
    probing = ProbePass(record, limit=100)
    assert probing.batch() == list(range(2, 11))
    for number in range(2, 16):
        store.observe_task(made_task(number, PENDING), Window(9, 9), EventSource.WATCH)
    first, *_ = probing.batch()[-1:]
    assert first == 16


@given(st.integers(0, 10_000))
def test_a_delay_doubles_up_to_its_limit(attempt: int) -> None:
    delay = retry_delay(attempt, first=0.5, limit=30.0)
    assert delay == min(30.0, 0.5 * 2 ** min(attempt, 30))
