"""Which errors the interpreter's end is to blame for."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from flamepy.local.ending import is_cut_short

PROGRAM = """
import atexit, threading
from concurrent.futures import ThreadPoolExecutor
from flamepy.local.ending import is_cut_short

def refused():
    try:
        ThreadPoolExecutor(1).submit(int)
    except RuntimeError as error:
        try:
            raise KeyError("wrapped") from error
        except KeyError as wrapped:
            return error, wrapped

def say(when):
    said = [is_cut_short(one) for one in (*(refused() or ()), ValueError("its own"))]
    print(when, *said, flush=True)

def other():
    threading.main_thread().join()
    say("others run")

say("main runs")
threading.Thread(target=other).start()
atexit.register(say, "exit handlers run")
"""


def test_as_long_as_the_main_program_runs_no_error_is_cut_short() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown") as refused:
        pool.submit(int)
    assert not is_cut_short(refused.value)
    assert not is_cut_short(ValueError("after shutdown"))


def test_then_those_of_threads_and_pools_and_in_the_end_all() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.splitlines() == [
        "main runs False",
        "others run True True False",
        "exit handlers run True True True",
    ]
