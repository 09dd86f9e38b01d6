"""Event loops on threads of ours: how they begin, how they end, and how they are used again.

gRPC has one poller for all asyncio loops of a process, and keeps every loop that it ever saw while
any object of gRPC lives. So a connection for each request beside one that stays would keep a loop
for each. A loop that ended in order (``run_forever``) is therefore idle, not closed: the next
``new_loop`` returns it. A loop that is not used again is retired: a completion that arrives for a
loop that was closed a moment ago makes the poller stumble, so it stays open until a few others have
been retired after it, or the process ends. Imports nothing of flamepy but
``clocks`` and ``serving``.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import errno
import os
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from traceback import walk_tb
from typing import Any

from flamepy.host.descriptors import fill_standard
from flamepy.runtime.clocks import TOLERANCE, monotonic
from flamepy.runtime.serving import serving

KEPT = 4  # retired loops that stay open
SPARE = 64  # idle loops that wait to be used again; each has three descriptors
SETTLE = 3  # turns in which what was scheduled before the stop still runs


class _Loops:
    """The loops without a thread.

    Signal handlers and finalizers make and close connections as well, so there is no lock here:
    each change is one operation of a deque.

    Attributes:
        idle: those that may be used again, the last used one last.
        retired: those that are closed after a few others.
        made: those that ``new_loop`` made. A loop of another kind, with a clock that a test moves
            for example, is never reused for a caller that asked for an ordinary one.
        ended: those that ``run_forever`` left in order and that were not handed in yet.
    """

    def __init__(self) -> None:
        self.idle: deque[asyncio.AbstractEventLoop] = deque()
        self.retired: deque[asyncio.AbstractEventLoop] = deque()
        self.made: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self.ended: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def take(self) -> asyncio.AbstractEventLoop | None:
        while True:
            try:
                loop = self.idle.pop()
            except IndexError:
                return None
            if not loop.is_closed():
                return loop

    def add(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.is_closed() or loop.is_running():
            return  # a thread that did not end in time has it
        ended = loop in self.ended
        self.ended.discard(loop)
        if ended and loop in self.made:
            self.idle.append(loop)
        else:
            self.retired.append(loop)
        _close_down(self.idle, SPARE)
        _close_down(self.retired, KEPT)

    def leave_to_parent(self) -> None:
        """In a forked child: an end of these loops would reach into the parent's."""
        for loop in (*self.idle, *self.retired):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(loop))
        self.__init__()  # type: ignore[misc]  # begins anew


def _close_down(loops: deque[asyncio.AbstractEventLoop], kept: int) -> None:
    while len(loops) > kept:
        try:
            loop = loops.popleft()
        except IndexError:  # another thread closed it
            return
        loop.close()


_loops = _Loops()


if sys.platform == "win32":  # pragma: no cover
    _Base = asyncio.ProactorEventLoop
else:
    _Base = asyncio.SelectorEventLoop


class _Loop(_Base):
    """A loop that counts by the machine's clock, as those of uvloop do."""

    time = staticmethod(monotonic)


def stands_still(loop: asyncio.AbstractEventLoop) -> bool:
    """Return True if a loop counts by a clock of Python that a test has stopped.

    No timer of such a loop ever fires. Loops of ours and of uvloop do not depend on it.
    """
    if type(loop).time is not asyncio.BaseEventLoop.time:
        return False
    shown, begun = loop.time(), monotonic()
    if abs(shown - begun) < TOLERANCE:
        return False
    while monotonic() - begun < 0.002:  # a clock that advances, wherever it stands, is correct
        pass
    return loop.time() == shown


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop: an idle one, or a new one.

    It is of uvloop where that is installed (the extra ``speed``), else of asyncio. Run it by
    ``run_forever`` and hand it in by ``retire``.
    """
    idle = _loops.take()
    if idle is not None:
        return idle
    loop = _new_uvloop() or _Loop()
    loop.set_exception_handler(_handle)
    _loops.made.add(loop)
    return loop


def _new_uvloop() -> asyncio.AbstractEventLoop | None:
    if not fill_standard():  # uvloop ends the process if it closes a pipe with a number below 3
        return None
    try:
        import uvloop
    except ImportError:
        return None
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    # In debug mode (python -X dev) uvloop 0.23 walks the stack at each future, fails in gRPC's
    # compiled frames (a frame without code), and crashed or hung 3 runs of 7.
    loop.set_debug(False)
    return loop


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio logs, but for three things that say nothing.

    All loops of a process look into one socket of gRPC's poller. It ends with gRPC's last object,
    in the thread that drops it, and another loop may find it closed. And where the poller wakes
    several loops, the first takes its byte; the others find none, which older releases do not
    expect. What it takes from there may be for a program's loop that was closed a moment ago, as
    ``asyncio.run`` does.
    """
    error = context.get("exception")
    if isinstance(error, RuntimeError) and str(error) == "Event loop is closed":
        frames = walk_tb(error.__traceback__)
        if any(one.f_code.co_name.endswith("_handle_events") for one, _ in frames):
            return
    if isinstance(error, OSError) and error.errno in (errno.EBADF, errno.EAGAIN):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        if frame is not None and frame.tb_frame.f_code.co_name.endswith("_handle_events"):
            return
    loop.default_exception_handler(context)


class _Generators:
    """The async generators that run on a loop.

    ``loop.shutdown_asyncgens`` ends them as well, and the loop's use of generators for good.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._live: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()

    def install(self) -> None:
        """Take the place of the loop's own hooks; on its thread, while it runs."""
        sys.set_asyncgen_hooks(firstiter=self._live.add, finalizer=self._finalize)

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._live.discard(generator)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close, generator)

    def _close(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._loop.create_task(generator.aclose())

    async def end(self) -> None:
        """End those that are left."""
        left = list(self._live)
        await asyncio.gather(*(one.aclose() for one in left), return_exceptions=True)


def run_forever(
    loop: asyncio.AbstractEventLoop,
    end: Callable[[], Coroutine[Any, Any, object]] | None = None,
) -> None:
    """Run a loop on this thread until it is stopped, and leave it so that it can be used again.

    Blocking calls of flamepy are refused here meanwhile: the loop serves others.

    Args:
        loop: of ``new_loop``.
        end: makes a coroutine that runs after the stop: it ends the loop's tasks.
    """
    generators = _Generators(loop)
    loop.call_soon(generators.install)
    with serving():
        loop.run_forever()
        loop.run_until_complete(_settle(generators, end))
    _loops.ended.add(loop)


async def _settle(
    generators: _Generators, end: Callable[[], Coroutine[Any, Any, object]] | None
) -> None:
    if end is not None:
        await end()
    await generators.end()
    for _ in range(SETTLE):
        await asyncio.sleep(0)


def retire(loop: asyncio.AbstractEventLoop) -> None:
    """Take over a stopped loop: it is used again, or closed when nothing can arrive for it."""
    _loops.add(loop)


def close_retired() -> None:
    """Close every idle and retired loop now; at exit, and for tests that count files."""
    _close_down(_loops.idle, 0)
    _close_down(_loops.retired, 0)


atexit.register(close_retired)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loops.leave_to_parent)
