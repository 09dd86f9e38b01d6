"""A thread that waits for the link's loop is released when the link is closed."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from typing import Any

from support.waiting import eventually

from flamepy.rpc.transport.user_code import UserCode


def test_a_close_ends_waits_for_a_loop_that_runs_nothing_more() -> None:
    user = UserCode(own_loop=True)
    ended: list[str] = []
    never: list[Future[Any]] = [Future(), Future()]

    def wait(sent: Future[Any]) -> None:
        try:
            user.wait_for(sent)
        except CancelledError:
            ended.append("cancelled")

    before = threading.Thread(target=wait, args=(never[0],))
    before.start()
    eventually(lambda: user._waits)
    user.close()
    before.join()
    wait(never[1])
    assert ended == ["cancelled"] * 2
