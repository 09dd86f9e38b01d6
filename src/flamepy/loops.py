"""Event loops on threads of ours: how they begin, and how they end.

gRPC has one poller for all asyncio loops of a process. A completion that arrives for a loop that
was closed a moment ago makes it stumble, in whichever loop it was handing out completions. So a
stopped loop is retired: it stays open, without a thread, until a few others have been retired
after it, or the process ends. Imports nothing of flamepy.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import os
import threading
from collections import deque
from typing import Any

KEPT = 4


class _Retired:
    """Owns the retired loops; the lock guards only the queue."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loops: deque[asyncio.AbstractEventLoop] = deque()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.lock = threading.Lock()  # the parent's may be held, by a thread that is not here

    def add(self, loop: asyncio.AbstractEventLoop) -> None:
        with self.lock:
            self.loops.append(loop)
        self.close_down_to(KEPT)

    def close_down_to(self, kept: int) -> None:
        while True:
            with self.lock:
                if len(self.loops) <= kept:
                    return
                loop = self.loops.popleft()
            loop.close()


_retired = _Retired()


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop where that is installed (the extra ``speed``), else of asyncio."""
    loop: asyncio.AbstractEventLoop
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
        # In debug mode (python -X dev) uvloop 0.23 walks the stack at each future, fails in gRPC's
        # compiled frames (a frame without code), and crashed or hung 3 runs of 7.
        loop.set_debug(False)
    loop.set_exception_handler(_handle)
    return loop


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio logs, but for two things that say nothing.

    All loops of a process look into one socket of gRPC's poller. It ends with gRPC's last object,
    in the thread that drops it, and another loop may find it closed. And where the poller wakes
    several loops, the first takes its byte; the others find none, which older releases do not
    expect.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EBADF, errno.EAGAIN):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        if frame is not None and frame.tb_frame.f_code.co_name.endswith("_handle_events"):
            return
    loop.default_exception_handler(context)


def retire(loop: asyncio.AbstractEventLoop) -> None:
    """Take over a stopped loop and close it when nothing can arrive for it any more."""
    _retired.add(loop)


def close_retired() -> None:
    """Close every retired loop now; at exit, and for tests that count files."""
    _retired.close_down_to(0)


atexit.register(close_retired)
