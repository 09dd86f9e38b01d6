"""Who gets an executor, and who makes room (docs/protocol.md#scheduling)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flamepy.local.state.scheduler import Decision, Demand, Idle, decide


def demand(name: str = "s", **changes: object) -> Demand:
    base = Demand(
        session_id=name,
        priority=0,
        order=0,
        pending=0,
        running=0,
        min_instances=0,
        max_instances=None,
        executors=0,
    )
    return replace(base, **changes)


def test_nothing_pending_starts_nothing() -> None:
    assert decide([demand()], [], alive=0, limit=4) == Decision()


def test_each_pending_task_gets_an_executor_up_to_the_limit() -> None:
    assert decide([demand(pending=9)], [], alive=0, limit=4).start == ("s",) * 4


def test_max_instances_bounds_a_session() -> None:
    assert decide([demand(pending=9, max_instances=2)], [], alive=0, limit=4).start == ("s", "s")
    assert decide([demand(pending=9, max_instances=0)], [], alive=0, limit=4).start == ()


def test_min_instances_are_kept_without_tasks() -> None:
    assert decide([demand(min_instances=2)], [], alive=0, limit=4).start == ("s", "s")


def test_the_higher_priority_goes_first_and_the_lower_waits() -> None:
    low, high = demand("low", pending=3), demand("high", pending=1, priority=5, order=1)
    assert decide([low, high], [], alive=0, limit=4).start == ("high",)


def test_the_older_session_goes_first() -> None:
    old, young = demand("old", pending=2), demand("young", pending=2, order=1)
    assert decide([young, old], [], alive=0, limit=3).start == ("old", "old", "young")


def test_after_a_failed_bind_a_session_waits_a_moment() -> None:
    assert decide([demand(pending=1, held_back=True)], [], alive=0, limit=4).start == ()


def test_an_idle_executor_of_another_session_makes_room() -> None:
    decision = decide([demand(pending=1)], [Idle("e1", "done"), Idle("e2", "x")], alive=2, limit=2)
    assert decision == Decision((), ("e1",))


def test_what_a_younger_session_keeps_without_tasks_makes_room_for_an_older_ones_task() -> None:
    old = demand("old", pending=1)
    keeping = [
        demand(name, order=n, min_instances=1, executors=1) for n, name in enumerate("ab", 1)
    ]
    idle = [Idle("e1", "a"), Idle("e2", "b")]
    assert decide([old, *keeping], idle, alive=2, limit=2).release == ("e2",)
    young = replace(old, order=3)
    assert decide([young, *keeping], idle, alive=2, limit=2).release == ()


def test_what_a_lower_priority_keeps_without_tasks_makes_room_for_a_higher_ones_task() -> None:
    keeping = demand("low", min_instances=1, executors=1)
    high = demand("high", pending=1, priority=5, order=1)
    assert decide([keeping, high], [Idle("e", "low")], alive=1, limit=1).release == ("e",)


def test_an_idle_executor_that_its_session_needs_stays() -> None:
    needy = demand("needy", min_instances=1, executors=1)
    younger = demand(pending=1, order=1)
    decision = decide([younger, needy], [Idle("e1", "needy")], alive=1, limit=1)
    assert decision == Decision(starved=("s",))


def test_tasks_that_run_keep_their_executors() -> None:
    busy = demand(pending=1, running=2, executors=2)
    assert decide([busy], [], alive=2, limit=4).start == ("s",)


def test_a_higher_priority_without_pending_tasks_holds_nobody_up() -> None:
    high = demand("high", running=1, executors=1, priority=5)
    low = demand("low", pending=1, order=1)
    assert decide([high, low], [], alive=1, limit=4).start == ("low",)


def test_tasks_that_no_executor_can_be_freed_for_are_starved() -> None:
    keeps = [demand(f"k{n}", order=n, min_instances=1, executors=1) for n in range(2)]
    waits = demand("waits", order=2, pending=1)
    idle = [Idle(f"e{n}", f"k{n}") for n in range(2)]
    assert decide([*keeps, waits], idle, alive=2, limit=2) == Decision(starved=("waits",))
    assert decide([*keeps, waits], idle, alive=2, limit=3).start == ("waits",)
    assert decide([*keeps, waits], idle, alive=2, limit=3).starved == ()


def test_tasks_behind_running_ones_are_not_starved_but_wait() -> None:
    busy = demand("busy", pending=5, running=2, executors=2)
    waits = demand("waits", order=1, pending=1)
    assert decide([busy, waits], [], alive=2, limit=2) == Decision()


def test_executors_that_are_ending_still_count() -> None:
    one, other = demand("one", pending=1), demand("other", pending=1, order=1)
    assert decide([one, other], [], alive=3, limit=4).start == ("one",)
    assert decide([one, other], [], alive=5, limit=4).start == ()


def test_no_more_make_room_than_are_missing() -> None:
    idle = [Idle(f"e{number}", "done") for number in range(5)]
    assert decide([demand(pending=2)], idle, alive=5, limit=5).release == ("e0", "e1")
    decision = decide([demand(pending=3)], idle, alive=5, limit=6)
    assert decision == Decision(("s",), ("e0", "e1"))


def test_a_session_makes_room_with_what_it_has_too_many_of_and_no_more() -> None:
    keeping = demand("keeping", min_instances=1, executors=3)
    idle = [Idle(f"e{number}", "keeping") for number in range(3)]
    young = demand("young", pending=3, order=1)
    assert decide([keeping, young], idle, alive=3, limit=3).release == ("e0", "e1")


NUMBERS = st.integers(0, 5)
DEMANDS = st.lists(
    st.builds(
        Demand,
        session_id=st.sampled_from("abcdef"),
        priority=st.integers(0, 2),
        order=st.integers(0, 100),
        pending=NUMBERS,
        running=NUMBERS,
        min_instances=st.integers(0, 2),
        max_instances=st.none() | NUMBERS,
        executors=NUMBERS,
        held_back=st.booleans(),
    ),
    max_size=6,
    unique_by=(lambda one: one.session_id, lambda one: one.order),
)


@given(DEMANDS, st.integers(0, 6), st.integers(0, 8))
def test_no_decision_breaks_a_limit(demands: list[Demand], alive: int, limit: int) -> None:
    idle = [Idle(f"e{n}", one.session_id) for n, one in enumerate(demands) if one.executors]
    decision = decide(demands, idle, alive=alive, limit=limit)
    assert len(decision.start) <= max(0, limit - alive)
    started = Counter(decision.start)
    for one in demands:
        if started[one.session_id]:
            assert one.executors + started[one.session_id] <= one.wanted
            assert not one.held_back
    assert len(set(decision.release)) == len(decision.release)
