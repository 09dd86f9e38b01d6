"""Seconds are counted by the machine's clocks, and gRPC's deadlines are right whatever is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from flamepy.errors import InvalidStateError
from flamepy.runtime.clocks import TOLERANCE, Timeout, monotonic, wall
from flamepy.runtime.loops import new_loop, stands_still
from flamepy.runtime.surroundings import check_clock

REAL = time.time
NEAR = 5.0  # seconds that a test may take between two looks


@pytest.mark.parametrize("shown", [0.0, 1.5e9, 4.0e9, 1e300])
def test_a_deadline_is_so_many_seconds_from_now_whatever_the_wall_clock_shows(shown: float) -> None:
    begun = REAL()
    assert begun + 30.0 - TOLERANCE <= shown + Timeout(30.0) <= REAL() + 30.0 + TOLERANCE


def test_a_wall_clock_that_is_right_is_left_alone() -> None:
    wall()
    now = REAL()
    assert now + Timeout(30.0) == now + 30.0


def test_the_machines_clocks_are_read_past_those_that_a_test_replaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steady, begun = time.monotonic(), REAL()
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 7.0)
    assert 0.0 <= monotonic() - steady < NEAR
    assert -TOLERANCE <= wall() - begun < NEAR


def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)


def shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 1e6)


@pytest.mark.parametrize(
    ("make", "replace", "still"),
    [
        (asyncio.SelectorEventLoop, stopped, True),
        (asyncio.SelectorEventLoop, shifted, False),
        (asyncio.SelectorEventLoop, lambda _: None, False),
        (new_loop, stopped, False),
    ],
)
def test_a_loop_whose_clock_was_stopped_is_told_from_others(
    make: Callable[[], asyncio.AbstractEventLoop],
    replace: Callable[[pytest.MonkeyPatch], None],
    still: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = make()
    try:
        with monkeypatch.context() as patched:
            replace(patched)
            assert stands_still(loop) is still
            if still:
                with pytest.raises(InvalidStateError, match=r"clock stands still.*real_asyncio"):
                    check_clock(loop)
            else:
                check_clock(loop)
    finally:
        loop.close()
