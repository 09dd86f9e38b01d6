"""Stopped loops are kept a while, then closed."""

from __future__ import annotations

import asyncio
import importlib.util

from flamepy.loops import KEPT, close_retired, new_loop, retire


def test_a_retired_loop_is_closed_after_a_few_others() -> None:
    loops = [asyncio.new_event_loop() for _ in range(KEPT + 2)]
    for loop in loops:
        retire(loop)
    assert [loop.is_closed() for loop in loops] == [True, True] + [False] * KEPT
    close_retired()
    assert all(loop.is_closed() for loop in loops)


def test_uvloop_is_used_where_it_is_installed_and_never_in_its_debug_mode() -> None:
    loop = new_loop()
    loop.close()
    installed = importlib.util.find_spec("uvloop") is not None
    assert (type(loop).__module__.partition(".")[0] == "uvloop") is installed
    if installed:
        assert not loop.get_debug()
