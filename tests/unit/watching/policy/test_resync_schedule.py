"""The audits' slots: each session once in the period, spread evenly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy.watching.policy.resync_schedule import REST, AuditSchedule


@given(st.integers(1, 500), st.floats(1, 1000))
def test_first_slots_are_spread_evenly_over_the_period(sessions: int, period: float) -> None:
    rota = AuditSchedule(period)
    slots = sorted(rota.first(0.0) for _ in range(sessions))
    assert slots[0] >= period * REST
    assert slots[-1] <= period
    for tenth in range(10):
        low = period * (REST + (1 - REST) * tenth / 10)
        inside = sum(low <= slot < low + period * (1 - REST) / 10 for slot in slots)
        assert inside <= sessions / 10 + 3, "a burst"


@given(st.floats(0, 1000), st.floats(0, 5000), st.floats(1, 600))
def test_the_next_slot_is_in_the_same_place_of_a_later_period(due, late, period) -> None:
    following = AuditSchedule(period).next(due, due + late)
    assert following >= due + late or abs(following - due - late) < 1e-6
    assert following - (due + late) <= period + 1e-6
    turns = (following - due) / period
    assert abs(turns - round(turns)) < 1e-6
