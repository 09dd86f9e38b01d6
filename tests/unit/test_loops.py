"""Stopped loops are kept a while, then closed."""

from __future__ import annotations

import asyncio
import errno
import importlib.util

import pytest

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


@pytest.mark.parametrize("number", [errno.EBADF, errno.EAGAIN])
def test_what_loops_of_one_process_tell_of_gRPCs_socket_is_not_logged(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """GRPC has one socket for all loops of a process; who comes second finds nothing to read."""

    def _handle_events() -> None:
        raise OSError(number, "nothing there")

    def mine() -> None:
        raise OSError(number, "a fault of somebody else")

    loop = new_loop()
    try:
        loop.call_soon(_handle_events)
        loop.call_soon(mine)
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert len(caplog.records) == 1
    assert "somebody else" in caplog.text
