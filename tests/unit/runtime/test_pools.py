"""Threads for user code keep no process, and run what they are given, in order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from support.waiting import eventually

from flamepy.runtime.pools import DaemonPool

LATE = """
import atexit, threading
from flamepy.runtime.pools import DaemonPool

pool = DaemonPool(1, name="mine")
pool.submit(int).result(10)
late = threading.Event()

def other():  # it runs while the interpreter waits for it
    threading.main_thread().join()
    print(pool.submit(str, "late").result(10), flush=True)
    late.set()

threading.Thread(target=other).start()
# The last one that is registered runs first.
atexit.register(lambda: pool.submit(threading.Event().wait))
atexit.register(lambda: print(pool.submit(str, "at exit").result(10), flush=True))
"""


@pytest.fixture
def pool():
    made = DaemonPool(2, name="mine")
    yield made
    made.shutdown()


def test_calls_run_at_once_up_to_the_limit_and_then_in_their_order(pool: DaemonPool) -> None:
    go_on, begun = threading.Event(), []
    futures = [
        pool.submit(lambda number: (begun.append(number), go_on.wait(20)), number)
        for number in range(5)
    ]
    eventually(lambda: len(begun) == 2, "two calls")
    assert not any(one.done() for one in futures)
    go_on.set()
    for one in futures:
        assert one.result(20)[1] is True
    assert sorted(begun[:2]) == [0, 1]
    assert sorted(begun[2:]) == [2, 3, 4]


def test_one_thread_serves_all_that_come_one_by_one(pool: DaemonPool) -> None:
    def who() -> str:
        return threading.current_thread().name

    first = pool.submit(who).result(20)
    eventually(lambda: pool._free == 1, "the thread to wait again")
    assert first == pool.submit(who).result(20) == "mine-0"


def test_what_a_call_raises_is_its_outcome_and_the_thread_stays(pool: DaemonPool) -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        pool.submit(leave).result(20)
    assert pool.submit(int, "7").result(20) == 7


def test_asyncio_takes_it_as_its_default_pool(pool: DaemonPool) -> None:
    async def go() -> str:
        asyncio.get_running_loop().set_default_executor(pool)
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert asyncio.run(go()) == "mine-0"


def test_a_shutdown_refuses_calls_cancels_what_waits_and_ends_the_threads() -> None:
    pool = DaemonPool(1, name="ends")
    go_on = threading.Event()
    running = pool.submit(go_on.wait, 20)
    waiting = pool.submit(int)
    eventually(running.running, "the call")
    pool.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="'ends' was shut down"):
        pool.submit(int)
    go_on.set()
    assert running.result(20) is True
    pool.shutdown()
    assert not any(one.name == "ends" for one in threading.enumerate())


def test_one_that_is_abandoned_does_what_it_has_and_its_threads_end(pool: DaemonPool) -> None:
    gate = threading.Event()
    taken = [pool.submit(gate.wait, 20) for _ in range(4)]
    with pool._lock:  # as a finalizer may find it
        pool.abandon()
    gate.set()
    assert all(one.result(20) for one in taken)
    for thread in pool._started:
        thread.join(20)
        assert not thread.is_alive()


def test_at_the_interpreters_end_it_works_on_and_keeps_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LATE],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["late", "at exit", ""]
