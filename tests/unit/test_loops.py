"""Stopped loops are kept a while, then closed."""

from __future__ import annotations

import asyncio

from flamepy.loops import KEPT, close_retired, retire


def test_a_retired_loop_is_closed_after_a_few_others() -> None:
    loops = [asyncio.new_event_loop() for _ in range(KEPT + 2)]
    for loop in loops:
        retire(loop)
    assert [loop.is_closed() for loop in loops] == [True, True] + [False] * KEPT
    close_retired()
    assert all(loop.is_closed() for loop in loops)
