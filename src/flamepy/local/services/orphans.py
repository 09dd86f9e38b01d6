"""Reaps orphaned children: the duty of process 1 of a container.

A process whose parent ended becomes a child of process 1 (or of the nearest subreaper). When it
ends it stays as a zombie until its new parent collects it. ``flamepy up`` calls ``collect`` a few
times a second; a program that embeds a cluster does not, since its children are its own.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict

from flamepy.runtime.clocks import monotonic

KEPT = 1000


class Reaped:
    """Exit statuses collected here of processes that another part may be waiting for.

    ``collect`` cannot distinguish a service from an orphan, so ``child`` asks here for a status
    that it missed. Safe from any thread: each method is a few atomic steps.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def put(self, pid: int, status: int) -> None:
        """Note a status, at the monotonic time of now; the oldest go."""
        self._found.pop(pid, None)
        self._found[pid] = (monotonic(), status)
        while len(self._found) > KEPT:
            self._found.popitem(last=False)

    def take(self, pid: int, since: float) -> int | None:
        """Return the status of a process that was started at ``since``, if it is here."""
        when, status = self._found.pop(pid, (0.0, 0))
        return status if when >= since and when else None


reaped = Reaped()


class Orphans:
    """Collects ended children; use one, on one thread."""

    def __init__(self) -> None:
        self._seen: int | None = None

    def collect(self) -> int:
        """Collect what has ended and return how many there were; never blocks.

        Another part may wait for a child in this process's own session, say by ``subprocess``:
        it is left until the next call.
        """
        count = 0
        while (ended := _first_ended()) is not None:
            pid, status = ended
            if _is_own_session(pid) and self._seen != pid:
                self._seen = pid
                return count
            self._seen = None
            reaped.put(pid, status)  # first: its owner may ask as soon as it is collected
            with contextlib.suppress(ChildProcessError):  # its waiter was quicker
                os.waitpid(pid, os.WNOHANG)
                count += 1
        self._seen = None
        return count


def _first_ended() -> tuple[int, int] | None:
    if not hasattr(os, "waitid"):
        return None
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_pid, found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _is_own_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return False
