"""How fast an engine forgets, and which session is read first then."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from flamepy.watching.policy.retention import TURN, ReadQueue, Retention


class TestRetention:
    def test_an_engine_that_forgets_nothing_keeps_sessions_for_ever(self) -> None:
        retention = Retention()
        for second in range(100):
            retention.polled(float(second), closed=50 + second, vanished=0)
        assert retention.period == math.inf
        assert retention.left(["a", "b"]) == {}

    def test_what_was_gone_at_the_first_poll_says_nothing(self) -> None:
        retention = Retention()
        retention.polled(0.0, closed=10, vanished=1000)
        assert retention.period == math.inf

    @given(rate=st.integers(1, 100), closed=st.integers(10, 1000), step=st.floats(0.1, 3.0))
    def test_the_period_is_what_the_pace_says(self, rate: int, closed: int, step: float) -> None:
        retention, owed = Retention(), 0.0
        for poll in range(int(60 / step)):
            owed += rate * step
            retention.polled(poll * step, closed=closed, vanished=int(owed))
            owed -= int(owed)
        assert closed / rate / 1.5 < retention.period < closed / rate * 1.5

    def test_it_is_over_when_the_load_is(self) -> None:
        retention = Retention()
        for second in range(20):
            retention.polled(float(second), closed=100, vanished=50)
        assert retention.period < 10
        for second in range(20, 120):
            retention.polled(float(second), closed=100, vanished=0)
        assert retention.period == math.inf

    def test_the_first_to_end_is_gone_first(self) -> None:
        retention = Retention()
        for second in range(50):
            retention.polled(float(second), closed=100, vanished=10)
        left = retention.left(["old", "middle", "new"])
        assert 0 < left["old"] < left["middle"] < left["new"]


class TestReadQueue:
    def test_in_order_of_arrival_while_nothing_is_forgotten(self) -> None:
        queue = ReadQueue()
        for name in "abc":
            queue.add(name)
        queue.add("a")
        queue.order({}, 0.0)
        assert [queue.next(), queue.next(), queue.next(), queue.next()] == ["a", "b", "c", None]

    def test_what_can_be_read_in_time_comes_before_what_is_too_late(self) -> None:
        queue = ReadQueue()
        for name in ("late", "later", "soon", "then"):
            queue.add(name)
        queue.order({"later": 0.1, "late": 0.5, "soon": 2.0, "then": 3.0}, 1.0)
        got = [queue.next() for _ in range(TURN - 1)]
        assert got == ["soon", "then", "late"]

    def test_a_session_that_is_not_about_to_vanish_has_its_turn(self) -> None:
        queue = ReadQueue()
        queue.add("open")
        for number in range(100):
            queue.add(f"closed {number}")
        queue.order({f"closed {number}": 10.0 + number for number in range(100)}, 1.0)
        assert "open" in [queue.next() for _ in range(TURN)]

    @given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 10)), max_size=40))
    def test_each_comes_once_whatever_the_order(self, sessions: list[tuple[int, float]]) -> None:
        queue = ReadQueue()
        for number, _ in sessions:
            queue.add(str(number))
        queue.order({str(number): left for number, left in sessions}, 5.0)
        got = []
        while (one := queue.next()) is not None:
            got.append(one)
        assert sorted(got) == sorted({str(number) for number, _ in sessions})
        assert len(queue) == 0
