"""Forks for tests: what a child does, with a limit, and how it ended."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable

LIMIT = 10  # seconds that a child has


def fork(act: Callable[[], object]) -> int:
    """Fork; the child does ``act`` and exits: 0, or 1 with a traceback. Return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(pid: int) -> int:
    """Wait for a child; return its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ask(act: Callable[[], str]) -> str:
    """Return what ``act`` returns in a forked child."""
    reader, writer = os.pipe()
    pid = fork(lambda: os.write(writer, act().encode()))
    os.close(writer)
    try:
        select.select([reader], [], [], LIMIT)
        said = os.read(reader, 65536).decode()
    finally:
        os.close(reader)
    code = end(pid)
    assert code == 0, code
    return said
