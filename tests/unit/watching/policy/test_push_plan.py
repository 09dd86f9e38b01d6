"""What a session's stream has, and when what it does not show is read all the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy.watching.policy.push_plan import SAFETY, SILENCE, PushPlan, PushTrust


class TestPlan:
    @given(st.lists(st.tuples(st.sampled_from("wteb"), st.integers(1, 5))))
    def test_what_is_wanted_is_registered_once_until_it_ends(
        self, steps: list[tuple[str, int]]
    ) -> None:
        plan, there, open_now = PushPlan(), set[int](), set[int]()
        for what, number in steps:
            if what == "w":
                plan.want([number])
                there.add(number)
            elif what == "t":
                taken = plan.take(1.0)
                assert (taken is None) == (there == open_now)
                if taken is not None:
                    assert taken not in open_now
                    open_now.add(taken)
            elif what == "e":
                plan.ended(number)
                there.discard(number)
                open_now.discard(number)
            else:
                plan.broke()
                open_now.clear()
            assert set(plan.registered) == open_now
            assert plan.complete == (there == open_now)
            assert plan.empty == (not there)
            assert {one for one in range(1, 6) if plan.has(one)} == there

    def test_it_knows_since_when(self) -> None:
        plan = PushPlan()
        assert plan.want([3, 4])
        assert not plan.want([4, 3])
        assert plan.take(7.0) == 3
        assert plan.since(3) == 7.0
        assert plan.since(4) == float("-inf")


class TestTrust:
    def test_counters_that_agree_are_always_believed(self) -> None:
        trust = PushTrust()
        assert trust.holds(0.0, settled=True, heard=0.0)
        assert trust.holds(1000.0, settled=True, heard=0.0)

    def test_a_silent_stream_has_a_moment_to_bring_it(self) -> None:
        trust = PushTrust()
        assert trust.holds(100.0, settled=False, heard=0.0)
        assert trust.holds(100.0 + SILENCE / 2, settled=False, heard=0.0)
        assert not trust.holds(100.0 + SILENCE, settled=False, heard=0.0)
        assert trust.holds(100.0 + SILENCE, settled=False, heard=0.0), "it begins anew"

    def test_agreement_ends_the_doubt(self) -> None:
        trust = PushTrust()
        assert trust.holds(100.0, settled=False, heard=0.0)
        assert trust.holds(100.5, settled=True, heard=0.0)
        assert trust.holds(102.0, settled=False, heard=0.0)

    def test_a_busy_stream_is_looked_into_now_and_then(self) -> None:
        """A re-queue is not announced, and other tasks may go on without end."""
        trust, doubts = PushTrust(), []
        for step in range(1000):
            now = step * 0.1
            if not trust.holds(now, settled=False, heard=now):
                doubts.append(now)
        assert [round(one / SAFETY) for one in doubts] == [1, 2, 3]
