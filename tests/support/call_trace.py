"""Which functions of flamepy a piece of code enters, for tests of how long a way is."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import flamepy

ROOT = str(Path(flamepy.__file__).parent)


class CallTrace:
    """The functions of flamepy that one asyncio task entered, in order; a coroutine counts once.

    What the loop runs in between for others - timers, other tasks - is not of the way: on a slow
    machine there is more of it.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._frames: dict[FrameType, None] = {}  # kept, so that none has another's identity

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Receive an event of ``sys.setprofile``."""
        if event != "call" or asyncio.current_task() is not self._task:
            return
        if frame.f_code.co_filename.startswith(ROOT):
            self._frames.setdefault(frame)

    @property
    def calls(self) -> list[str]:
        """File and name of each function."""
        return [
            f"{frame.f_code.co_filename[len(ROOT) + 1 :]} {frame.f_code.co_name}"
            for frame in self._frames
        ]

    @property
    def files(self) -> set[str]:
        """The files of those functions."""
        return {call.split()[0] for call in self.calls}


@contextmanager
def call_trace() -> Iterator[CallTrace]:
    """Trace the asyncio task that enters; no finalizer runs meanwhile."""
    trace = CallTrace()
    before = sys.getprofile()
    gc.disable()
    sys.setprofile(trace)
    try:
        yield trace
    finally:
        sys.setprofile(before)
        gc.enable()
