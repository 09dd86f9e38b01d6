"""What is asked about a session in which many tasks are awaited."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.types import TaskCounts
from flamepy.watching.policy.completion_planner import (
    FEW,
    FIRST_RATE,
    HANDFUL,
    LISTED,
    LOAD,
    PAUSE,
    QUIET,
    REST,
    SAFETY,
    SPARE,
    CompletionPlanner,
    GatherStep,
    WaiterChanges,
    shared,
)

STILL = WaiterChanges(0, 0)


def new_planner() -> CompletionPlanner:
    return CompletionPlanner()


def test_a_list_is_taken_where_it_is_cheaper() -> None:
    assert new_planner().decide(TaskCounts(succeed=100), STILL, 100, 0.0) is GatherStep.LIST
    assert new_planner().decide(TaskCounts(900, 0, 100), STILL, 100, 0.0) is GatherStep.PROBE


def test_large_tasks_that_are_not_awaited_make_a_list_dear() -> None:
    for size, step in ((100, GatherStep.LIST), (1 << 20, GatherStep.PROBE)):
        planner = new_planner()
        for _ in range(10):
            planner.read(50 * size, 50)
        assert planner.size == pytest.approx(size, rel=0.01)
        assert planner.decide(TaskCounts(succeed=1000), STILL, 600, 0.0) is step


def test_ten_new_tasks_among_a_million_are_probed() -> None:
    planner = new_planner()
    assert planner.decide(TaskCounts(succeed=1_000_010), STILL, 10, 0.0) is GatherStep.PROBE
    assert planner.wanted == 10


def test_the_first_get_streams_while_nothing_ends() -> None:
    planner = new_planner()
    assert planner.decide(TaskCounts(100, 4), STILL, 50, 0.0) is GatherStep.FIRST
    assert planner.decide(TaskCounts(90, 4), STILL, 50, 0.1) is GatherStep.FIRST


def test_what_ended_is_looked_up_before_anybody_gets_a_stream() -> None:
    planner = new_planner()
    assert (
        planner.decide(TaskCounts(succeed=1), WaiterChanges(added=1, ended=0), 1, QUIET)
        is GatherStep.PROBE
    )
    planner.asked(GatherStep.PROBE, found=0, waiting=1, took=0.001, now=QUIET)
    assert planner.decide(TaskCounts(succeed=2), STILL, 1, QUIET) is GatherStep.NOTHING, "just now"


def test_a_session_without_progress_gets_streams() -> None:
    planner = new_planner()
    planner.decide(TaskCounts(100, 4), STILL, 50, 0.0)
    assert planner.decide(TaskCounts(100, 4), STILL, 50, QUIET) is GatherStep.SHARE


def test_all_are_asked_in_the_end_ever_less_often() -> None:
    planner, counts, times = new_planner(), TaskCounts(1000, 4), []
    for tick in range(1200):
        now = tick / 4
        step = planner.decide(counts, STILL, 50, now)
        if step is GatherStep.ALL:
            planner.asked(step, found=0, waiting=50, took=0.01, now=now)
            times.append(now)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == SAFETY[0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == SAFETY[1]


def test_a_growing_number_is_left_alone_for_a_moment_and_no_longer() -> None:
    planner, counts = new_planner(), TaskCounts(succeed=FEW + 1)
    growing = WaiterChanges(added=1, ended=0)
    assert planner.decide(counts, growing, FEW + 1, 0.0) is GatherStep.WAIT
    assert planner.decide(counts, growing, FEW + 1, PAUSE[0] / 2) is GatherStep.WAIT
    assert planner.decide(counts, growing, FEW + 1, PAUSE[1]) is GatherStep.LIST
    assert new_planner().decide(counts, STILL, FEW + 1, 0.0) is GatherStep.LIST, "no more are added"


def test_the_longer_a_list_takes_the_longer_it_pays_to_wait() -> None:
    """Lists take a small part of the time, and one does for many ends; none is late by seconds."""
    for total, pause in ((10, PAUSE[0]), (400, SPARE * 400 * LISTED), (5000, PAUSE[1])):
        planner, counts = new_planner(), TaskCounts(pending=total - 5, succeed=5)
        assert planner.decide(counts, STILL, total, 0.0) is GatherStep.WAIT
        assert planner.rest(total, 0.0) == min(pause, (total - 5) / FIRST_RATE)
        later = TaskCounts(pending=total - 9, succeed=9)
        planner._rate = FIRST_RATE  # ends have come at this rate
        assert planner.decide(later, STILL, total, 0.9 * pause) is GatherStep.WAIT
        planner._rate = FIRST_RATE
        assert planner.decide(later, STILL, total, 1.01 * pause) is not GatherStep.WAIT


def test_while_tasks_are_created_and_nobody_blocks_the_counters_rest_for_the_whole_pause() -> None:
    """Those that wait have nearly all ended, each time: more come, so no look would be the last."""
    counts, waiting = TaskCounts(running=1, succeed=FEW + 3), FEW + 4
    for growing, blocking, rest in (
        (WaiterChanges(added=9, ended=0), 0, PAUSE[0]),
        (WaiterChanges(added=9, ended=0), 1, 1 / FIRST_RATE),
        (STILL, 0, 1 / FIRST_RATE),
    ):
        planner = new_planner()
        assert planner.decide(counts, growing, waiting, 0.0, blocking=blocking) is GatherStep.WAIT
        assert planner.rest(waiting, 0.0, blocking=blocking) == pytest.approx(rest)


def test_what_has_ended_altogether_is_read_at_once() -> None:
    planner = new_planner()
    assert planner.decide(TaskCounts(5, 4, 500), STILL, 509, 0.0) is GatherStep.WAIT
    assert planner.decide(TaskCounts(succeed=509), STILL, 509, 0.01) is GatherStep.LIST


def test_slow_ends_are_read_as_they_come() -> None:
    planner = new_planner()
    for tick in range(60):
        counts = TaskCounts(pending=500 - tick, running=4, succeed=tick)
        step = planner.decide(counts, WaiterChanges(added=0, ended=tick > 1), 500, tick / 10)
        planner.asked(step, found=1, waiting=500, took=0.0, now=tick / 10)
    assert step is GatherStep.PROBE, "ten in a second"


def test_in_a_session_too_large_to_be_listed_no_end_waits_for_others() -> None:
    counts, grows = TaskCounts(pending=100, succeed=100_000), WaiterChanges(added=9, ended=0)
    assert new_planner().decide(counts, grows, 150, 0.0) is GatherStep.PROBE


def test_a_caller_that_blocks_on_each_task_does_not_wait_for_more_to_end() -> None:
    counts, grows = TaskCounts(pending=20, succeed=1), WaiterChanges(added=10, ended=0)
    for blocking, step in ((9, GatherStep.WAIT), (10, GatherStep.PROBE)):
        assert new_planner().decide(counts, grows, 20, 0.0, blocking=blocking) is step


def test_the_first_rest_is_short_and_later_ones_are_as_long_as_ends_take() -> None:
    planner, now = new_planner(), 0.0
    first = planner.rest(16, now, blocking=1)
    assert first < 0.005, "or the first callers wait until a rate is known"
    for tick in range(40):
        planner.decide(TaskCounts(pending=100, succeed=tick), STILL, 100, tick / 10)
    now = 3.9
    assert 0.3 < planner.rest(16, now, blocking=1) < 0.5, "ten end in a second"
    assert 1.2 < planner.rest(16, now) < 2.0, "where no caller blocks, it waits for several"


def test_the_rate_is_one_of_the_last_steps_whatever_comes_in_between() -> None:
    planner, now = new_planner(), 0.0
    planner.decide(TaskCounts(pending=1000), STILL, 100, 0.0)
    assert planner.rest(16, now) == HANDFUL / FIRST_RATE, "one look shows no rate"
    ended = 0
    for tick in range(1, 60):  # 100 ends a second, in bursts
        ended += 20 if tick % 2 else 0
        planner.decide(TaskCounts(pending=1000, succeed=ended), STILL, 100, tick / 10)
    rests = []
    for tick in range(60, 70):
        ended += 20 if tick % 2 else 0
        planner.decide(TaskCounts(pending=1000, succeed=ended), STILL, 100, tick / 10)
        rests.append(planner.rest(16, now))
    assert HANDFUL / 150 < min(rests) <= max(rests) < HANDFUL / 50
    for tick in range(70, 5000):
        planner.decide(TaskCounts(pending=1000, succeed=ended), STILL, 100, tick / 10)
    assert planner.rest(16, now) > 1e6, "nothing ends any more"


def test_counters_that_shrink_have_everything_looked_at_at_once() -> None:
    """An engine that was put back to an older state: which tasks it lost no counter says."""
    for waiting, step in ((20, GatherStep.ALL), (900, GatherStep.LIST)):
        planner = new_planner()
        counts = TaskCounts(pending=900, running=4, succeed=100)
        planner.decide(counts, WaiterChanges(added=0, ended=100), waiting, 0.0)
        assert planner.decide(counts, STILL, waiting, 0.1) is not step
        shrunk = TaskCounts(pending=901, running=4, succeed=99)
        assert planner.decide(shrunk, STILL, waiting, 0.2) is step


@pytest.mark.parametrize("reason", ["a suspicion", "an end was found"])
def test_looks_at_all_that_had_become_rare_begin_anew(reason: str) -> None:
    planner, counts = new_planner(), TaskCounts(1000, 4)
    planner.decide(counts, STILL, 50, 0.0)
    for now in (100.0, 200.0, 300.0, 400.0, 500.0):
        assert planner.decide(counts, STILL, 50, now) is GatherStep.ALL
        planner.asked(GatherStep.ALL, found=0, waiting=50, took=0.0, now=now)
    assert planner.decide(counts, STILL, 50, 530.0) is not GatherStep.ALL
    if reason == "a suspicion":
        planner.suspect()
        assert planner.decide(counts, STILL, 50, 540.0) is GatherStep.ALL
        planner.asked(GatherStep.ALL, found=0, waiting=50, took=0.0, now=540.0)
        pause = 2.0 * SAFETY[0]
    else:
        planner.asked(GatherStep.PROBE, found=1, waiting=50, took=0.0, now=540.0)
        pause = SAFETY[0]
    assert planner.decide(counts, STILL, 50, 540.0 + 0.9 * pause) is not GatherStep.ALL
    assert planner.decide(counts, STILL, 50, 540.0 + pause) is GatherStep.ALL


def test_a_look_at_all_that_takes_long_is_rare() -> None:
    planner, counts = new_planner(), TaskCounts(1000, 4)
    planner.decide(counts, STILL, 50, 0.0)
    assert planner.decide(counts, STILL, 50, SAFETY[0]) is GatherStep.ALL
    planner.asked(GatherStep.ALL, found=0, waiting=50, took=10.0, now=20.0)
    for now in (30.0, 100.0, 20.0 + 10.0 * LOAD - 1):
        assert planner.decide(counts, STILL, 50, now) is not GatherStep.ALL
    assert planner.decide(counts, STILL, 50, 20.0 + 10.0 * LOAD) is GatherStep.ALL


def test_steps_follow_each_other_while_they_find_and_rest_longer_while_they_do_not() -> None:
    planner, now = new_planner(), 0.0
    for ended, found in enumerate((1, 1, 1, 0, 0, 1), start=1):
        counts = TaskCounts(pending=5000, succeed=10 * ended)
        assert planner.decide(counts, STILL, 100, now) is GatherStep.PROBE
        planner.asked(GatherStep.PROBE, found=found, waiting=100, took=0.0, now=now)
        misses = (0, 0, 0, 1, 2, 0)[ended - 1]
        rest = REST[0] * 2**misses
        more = TaskCounts(pending=5000, succeed=10 * ended + 5)
        assert planner.decide(more, STILL, 100, now + 0.9 * rest) is not GatherStep.PROBE
        now += 1.1 * rest


def test_a_few_are_not_left_alone() -> None:
    counts = TaskCounts(succeed=FEW)
    assert (
        new_planner().decide(counts, WaiterChanges(added=3, ended=0), FEW, 0.0) is GatherStep.LIST
    )


def test_ends_of_others_are_not_looked_for_again_and_again() -> None:
    planner, steps, ended = new_planner(), 0, 0
    for tick in range(200):  # a second in which others' tasks end
        ended += 10
        step = planner.decide(TaskCounts(5000, 4, ended), STILL, 100, tick * 0.005)
        if step is GatherStep.PROBE:
            steps += 1
            planner.asked(step, found=0, waiting=100, took=0.001, now=tick * 0.005)
    assert steps < 12


def test_ends_that_were_counted_before_their_creation_was_answered_stay_wanted() -> None:
    planner = new_planner()
    assert planner.decide(TaskCounts(succeed=20), STILL, 10, 0.0) is GatherStep.LIST
    assert planner.wanted == 10
    planner.asked(GatherStep.LIST, found=9, waiting=1, took=0.0, now=0.1)  # one was another's
    planner.decide(TaskCounts(succeed=20), WaiterChanges(added=10, ended=9), 11, 1.0)
    assert planner.wanted == 10


def test_very_many_are_not_asked_for_as_a_whole_every_few_seconds() -> None:
    planner, counts = new_planner(), TaskCounts(pending=100_000)
    until = int(LOAD * 100_000 * LISTED)  # a list takes a small part of the time
    steps = [planner.decide(counts, STILL, 100_000, float(second)) for second in range(until)]
    assert GatherStep.ALL not in steps
    assert GatherStep.LIST not in steps
    assert planner.decide(counts, STILL, 100_000, 226.0) is GatherStep.LIST


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40))
def test_every_end_is_looked_for(rounds: list[tuple[int, int]]) -> None:
    """Whatever is counted before or after its creation was answered: no end is forgotten."""
    planner = new_planner()
    made = ended = delivered = 0
    last = [(0, 10_000), (0, 0), (0, 0), (0, 0)]
    for now, (more, ends) in enumerate([*rounds, *last], start=1):
        made += more
        ended = min(made, ended + ends)
        counts = TaskCounts(pending=made - ended, succeed=ended)
        step = planner.decide(counts, STILL, made - delivered, now)
        if step in (GatherStep.PROBE, GatherStep.LIST, GatherStep.ALL):
            left = ended - delivered
            found = min(planner.wanted, left) if step is GatherStep.PROBE else left
            delivered += found
            planner.asked(step, found=found, waiting=made - delivered, took=0.0, now=now)
            planner.debt -= found  # as the next changes say
    assert delivered == made


def test_a_part_of_the_streams_is_kept_for_callers_that_wait_alone() -> None:
    assert [shared(budget) for budget in (0, 1, 2, 8, 64)] == [0, 0, 1, 6, 48]
