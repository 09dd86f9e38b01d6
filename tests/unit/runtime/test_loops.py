"""Loops that ended in order are used again; others are kept a while, then closed."""

from __future__ import annotations

import asyncio
import errno
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from flamepy.runtime.loops import KEPT, SPARE, close_retired, new_loop, retire, run_forever
from flamepy.testing import FakeClock


@pytest.fixture(autouse=True)
def none_idle() -> Iterator[None]:
    close_retired()
    yield
    close_retired()


@pytest.fixture(params=["uvloop", "asyncio"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with uvloop, where it is installed, and without."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)


def lived(coroutine: Any = None) -> asyncio.AbstractEventLoop:
    """Return a loop that ran a coroutine, ended in order, and was handed in."""
    loop = new_loop()
    outcome: list[BaseException] = []

    async def act() -> None:
        try:
            if coroutine is not None:
                await coroutine
        except BaseException as error:
            outcome.append(error)
        loop.call_soon(loop.stop)

    def live() -> None:
        loop.call_soon(lambda: keep.append(loop.create_task(act())))
        run_forever(loop)

    keep: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=live)
    thread.start()
    thread.join(10.0)
    retire(loop)
    assert not outcome, outcome
    return loop


@pytest.mark.usefixtures("kind")
def run_to_end(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    thread = threading.Thread(target=run_forever, args=(loop,))
    thread.start()
    thread.join()


class TestReuse:
    def test_a_loop_that_ended_in_order_is_used_again(self) -> None:
        first = lived()
        assert not first.is_closed()
        assert lived() is first
        assert new_loop() is first
        other = new_loop()
        assert other is not first, "it is in use"
        first.close()
        other.close()

    def test_generators_that_are_left_end_with_each_use_and_work_in_the_next(self) -> None:
        ended, left = [], []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                ended.append(asyncio.get_running_loop())

        async def begin(*, keep: bool) -> None:
            made = numbers()
            assert await made.__anext__() == 1
            if keep:
                left.append(made)

        loops = [lived(begin(keep=keep)) for keep in (True, False, True)]
        gc.collect()
        assert ended == loops
        assert len(set(loops)) == 1

    def test_what_is_let_go_between_two_uses_does_not_disturb_the_next(self) -> None:
        kept: list[AsyncGenerator[int, None]] = []

        async def endless() -> AsyncGenerator[int, None]:
            while True:
                yield 1

        async def begin() -> None:
            kept.append(endless())
            await kept[0].__anext__()

        lived(begin())
        kept.clear()
        gc.collect()
        lived(asyncio.sleep(0))

    def test_what_was_scheduled_before_the_stop_is_not_left_for_the_next_use(self) -> None:
        ran = []
        loop = new_loop()

        def last() -> None:
            loop.stop()
            loop.call_soon(lambda: loop.call_soon(ran.append, 1))

        loop.call_soon(last)
        run_forever(loop)
        assert ran == [1]
        loop.close()

    def test_a_loop_that_broke_off_is_not_used_again(self) -> None:
        loop = new_loop()

        def leave() -> None:
            raise SystemExit(3)

        loop.call_soon(leave)
        with pytest.raises(SystemExit):
            run_forever(loop)
        retire(loop)
        other = new_loop()
        assert other is not loop
        other.close()

    def test_a_loop_of_another_kind_is_not_used_again(self) -> None:
        fake = FakeClock().new_loop()
        run_to_end(fake)
        retire(fake)
        following = new_loop()
        assert following is not fake
        following.close()

    def test_a_loop_whose_thread_did_not_end_is_nobodys(self) -> None:
        loop = new_loop()
        thread = threading.Thread(target=run_forever, args=(loop,))
        thread.start()
        other = None
        try:
            begun = threading.Event()
            loop.call_soon_threadsafe(begun.set)
            assert begun.wait(10.0)
            retire(loop)
            other = new_loop()
            assert other is not loop
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10.0)
            for one in (loop, other):
                if one is not None:
                    one.close()

    def test_idle_loops_are_bounded(self) -> None:
        loops = [new_loop() for _ in range(SPARE + 3)]
        for loop in loops:
            loop.call_soon(loop.stop)
            run_forever(loop)
        for loop in loops:
            retire(loop)
        assert [loop.is_closed() for loop in loops] == [True] * 3 + [False] * SPARE
        close_retired()
        assert all(loop.is_closed() for loop in loops)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_child_leaves_the_parents_idle_loops_alone(self) -> None:
        """Their descriptors lead to the same epoll instances as in the parent."""
        loop = lived()
        pid = os.fork()
        if pid == 0:  # pragma: no cover  # in the child
            other = new_loop()
            status = 3 if other is loop else 0
            other.close()
            close_retired()
            gc.collect()
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        woken = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(loop.stop))
        woken.start()
        run_forever(loop)  # a loop without its descriptors would not wake up
        woken.join()


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


SAID = [
    OSError(errno.EBADF, "nothing there"),
    OSError(errno.EAGAIN, "nothing there"),
    RuntimeError("Event loop is closed"),
]


@pytest.mark.parametrize("error", SAID, ids=["EBADF", "EAGAIN", "closed"])
def test_what_loops_of_one_process_tell_of_gRPCs_socket_is_not_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """GRPC has one socket for all loops of a process; who comes second finds nothing to read."""

    def _handle_events() -> None:
        raise error

    def mine() -> None:
        raise type(error)(*error.args) from ValueError("a fault of somebody else")

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
