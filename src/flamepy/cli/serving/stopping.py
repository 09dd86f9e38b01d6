"""The signals by which ``flamepy up`` is asked to stop."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

from flamepy.runtime.clocks import monotonic
from flamepy.runtime.queues import Empty, SimpleQueue

SLICE = 0.2  # seconds
TOGETHER = 0.5  # seconds: service managers and terminals send several signals at the same moment


class StopSignals:
    """Receives SIGINT, SIGTERM and SIGHUP from its construction on; main thread only.

    A later SIGINT or SIGTERM ends the process at once. Signals that come with the first one do
    not: a service manager sends SIGTERM and SIGHUP, a terminal and a wrapper SIGINT each. SIGHUP
    stays ignored where it is, as by ``nohup``.
    """

    def __init__(self) -> None:
        # A handler runs between any two lines of the main thread: no lock may be held there.
        self._received: SimpleQueue[int] = SimpleQueue()
        self._first: float | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = monotonic()
            self._received.put(number)
        elif number != signal.SIGHUP and monotonic() - self._first > TOGETHER:
            os._exit(128 + number)  # asked twice: the user does not want to wait

    def wait(self, seconds: float) -> bool:
        """Wait for a signal; return True if one came, also at an earlier moment."""
        end = monotonic() + seconds
        while self._first is None:
            left = end - monotonic()
            if left <= 0:
                return False
            # A signal that comes just before the thread sleeps, or on another thread, does not wake
            # it: Python only notes it, and calls the handler when the sleep is over.
            with suppress(Empty):
                self._received.get(timeout=min(left, SLICE))
        return True
