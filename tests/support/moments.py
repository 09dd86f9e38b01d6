"""Run something at every moment of a call: what a signal handler or a finalizer may do.

A trace function counts the lines that a call runs on its thread and makes another call between two
of them, as a signal handler would. One run for each line. Both run on a daemon thread, so that a
deadlock fails the test and does not end it.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

LIMIT = 10.0  # seconds until a call counts as stuck
Calls = tuple[Callable[[], object], Callable[[], object]]


class Moment:
    """Makes ``inner`` once, when this thread has run ``line`` lines of ``outer``."""

    def __init__(self, line: int, outer: Callable[[], object], inner: Callable[[], object]) -> None:
        self.reached = False
        self.where = "after the call"
        self._left = line
        self._outer = outer
        self._inner = inner
        self.errors: list[BaseException] = []

    def run(self) -> None:
        sys.settrace(self._trace)
        try:
            self._outer()
        except Exception as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if self.reached or frame.f_code.co_filename == __file__:
            return self._trace
        if event == "line":
            self._left -= 1
            if self._left < 0:
                self.reached = True
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                try:
                    self._inner()
                except Exception as error:
                    self.errors.append(error)
        return self._trace


def at_every_line(
    made: Callable[[], AbstractContextManager[Calls]],
    *,
    allowed: tuple[type[Exception], ...] = (),
    seconds: float = 15.0,
) -> int:
    """Run outer and inner call of ``made()`` once for each line of outer; return how many lines.

    Args:
        made: gives the outer and the inner call, anew for each line.
        allowed: errors that either call may raise.
        seconds: after these it goes on in greater steps, so as to end soon in any case.
    """
    line, step, began = 0, 1, time.monotonic()
    while True:
        with made() as (outer, inner):
            moment = Moment(line, outer, inner)
            thread = threading.Thread(target=moment.run, daemon=True)
            thread.start()
            thread.join(LIMIT)
            assert not thread.is_alive(), f"stuck at {moment.where}:\n{_stack(thread)}"
        for error in moment.errors:
            if not isinstance(error, allowed):
                raise AssertionError(f"{error!r} at {moment.where}") from error
        if not moment.reached:
            return line
        step += time.monotonic() - began > seconds * step
        line += step


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
