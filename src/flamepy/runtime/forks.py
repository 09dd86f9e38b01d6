"""Forks: every holder of gRPC objects closes them before a fork, and reopens them after it.

A child that is forked while gRPC's asyncio side lives hangs at its first call or crashes at its
exit. So before a fork every holder closes what it has, clients first, servers last, until gRPC's
own threads have ended; after it the parent's holders reopen, servers first, and the child begins
with nothing. One lock is held from before a fork until it is over: of two threads that
fork, the second waits. ``subprocess`` without ``preexec_fn`` does not come here: it runs none of
Python's hooks.

Imports nothing of flamepy but its errors. Holders are on the floors above:
``rpc.transport.link_holder`` for a client's link, ``local.net.serving`` for a server.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.thread  # before us: its lock, held over forks, is taken after ours
import contextlib
import ctypes
import gc
import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from flamepy.errors import InvalidStateError
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
CLIENT, SERVER = range(2)
LIMIT = 5.0  # seconds for all holders together to close
SETTLE = 1.0  # seconds for gRPC's threads to end after that
BRIEF = 0.02  # seconds for them when the same number outlived the last wait
COLLECT = 0.01  # after so much of it what is unreachable is collected, which may take its time
STEP = 0.0005
POLLER = "_poll_wrapper"  # in the name of gRPC's thread that serves all asyncio loops
NATIVE = ("event_engine", "grpc_global_tim", "grpc_shutdown")


class Holder(Protocol):
    """An owner of gRPC objects."""

    def pause(self, limit: float) -> concurrent.futures.Future[bool]:
        """Begin to give them up, within ``limit`` seconds; False: that was not possible.

        What is begun meanwhile waits for ``resume``. Called by the thread that forks.
        """

    def resume(self) -> concurrent.futures.Future[bool] | None:
        """Reopen, in the parent; the fork waits for the future. Always follows ``pause``."""

    def forget(self, clean: bool) -> None:
        """Be dead, in the child. What is left of gRPC, unless ``clean``, must not be freed."""


_Holders = dict["weakref.ref[Holder]", None]


class _Forks:
    """The process's one registry of holders, and the steps around a fork.

    ``lock`` is held over a fork. Nothing guards the rest: a loop makes its channel while another
    thread that does so is held up by a signal handler, say, which waits for that very loop. Each
    change is one operation of a dictionary instead, and ``hold`` says what it makes first.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.pausing = False
        self.clean = True
        self.unusable = False  # this process is the child of a fork that gRPC lived through
        self.native = False  # threads of some gRPC, perhaps another library's own, live through it
        self.flightless = False  # this process is the child of such a fork
        self.lasting = 0  # threads of gRPC's core that did not end before a fork
        self.holders: tuple[_Holders, _Holders] = ({}, {})
        self.making: dict[object, int] = {}  # the threads that make something of gRPC now
        self.callbacks: dict[int, Callable[[], Callable[[], object] | None]] = {}
        self.numbers = itertools.count()

    # ------------------------------------------------------------------ before

    def before(self) -> None:
        self.lock.acquire()
        self.depth += 1
        if self.depth > 1:  # from a finalizer, say, that the first one's collection ran
            return
        try:
            self.clean = self.pause()
        except BaseException:  # a fork cannot be refused here: the child raises instead
            self.clean = False
            logger.exception("letting go of gRPC before a fork failed")
        self.native = _native_threads() > 0

    def pause(self) -> bool:
        self.pausing = True
        limit = monotonic() + LIMIT
        while any(one != threading.get_ident() for one in list(self.making.values())):
            if monotonic() > limit:
                return False
            threading.Event().wait(STEP)
        for rank in (CLIENT, SERVER):
            holders = self.snapshot(rank)
            asked = [one.pause(max(0.0, limit - monotonic())) for one in holders]
            if not _all_true(asked, limit):
                return False
        return self.grpc_has_ended()

    def grpc_has_ended(self) -> bool:
        """Wait until gRPC's threads are gone; False when other libraries' objects keep them.

        When the same number of threads outlived the last wait, this one is brief: some libraries'
        threads never end, and gRPC objects of others start its threads anew after each fork.
        """
        start = monotonic()
        collected = False
        while (polled := _pollers()) + (native := _native_threads()):
            waited = monotonic() - start
            if waited > (SETTLE if polled or native > self.lasting else BRIEF):
                self.lasting = native
                return not polled
            if waited > COLLECT and not collected and native != self.lasting:
                collected = True
                gc.collect()  # what a cycle keeps ends here
            threading.Event().wait(STEP)
        self.lasting = 0
        return True

    def snapshot(self, rank: int) -> list[Holder]:
        held = [reference() for reference in list(self.holders[rank])]
        return [one for one in held if one is not None]

    # ------------------------------------------------------------------ after

    def after_in_parent(self) -> None:
        self.depth -= 1
        try:
            if self.depth == 0:
                self.go_on()
        finally:
            self.lock.release()

    def go_on(self) -> None:
        self.pausing = False
        limit = monotonic() + LIMIT
        for rank in (SERVER, CLIENT):
            asked = [one.resume() for one in self.snapshot(rank)]
            _all_true([one for one in asked if one is not None], limit)

    def after_in_child(self) -> None:
        # No other thread is here; what the parent's threads held is held for ever: made anew.
        self.lock = threading.RLock()
        self.making.clear()
        self.depth, self.pausing = 0, False
        self.lasting = 0
        self.unusable = self.unusable or not self.clean
        self.flightless = self.flightless or self.native
        for rank, holders in enumerate(self.holders):
            for one in self.snapshot(rank):
                one.forget(self.clean)
            holders.clear()
        for reference in list(self.callbacks.values()):
            callback = reference()
            if callback is not None:
                try:
                    callback()
                except Exception:
                    logger.exception("%s failed in a forked child", repr_of(callback))


_forks = _Forks()


def check() -> None:
    """Raise InvalidStateError if gRPC cannot be used in this process."""
    if _forks.unusable:
        raise InvalidStateError(
            "this process was forked while gRPC was in use in its parent and could not be closed "
            "(a task on a service process, a call that hangs, gRPC objects of others, a fork on "
            "an event loop's own thread), so no connection can be made here; fork at another "
            "moment, or start the process afresh (multiprocessing 'spawn')"
        )


def check_flight() -> None:
    """Raise InvalidStateError if Arrow Flight, which has a gRPC of its own, would hang here."""
    check()
    if _forks.flightless:
        raise InvalidStateError(
            "this process was forked while threads of gRPC lived in its parent, so no object cache "
            "can be used here: before pyarrow 26 those of a process that has had a cache "
            "(LocalCluster) never end; start the process afresh (multiprocessing 'spawn'), run the "
            "cluster in a process of its own (flamepy up), or install pyarrow 26"
        )


def hold(holder: Holder, rank: int, make: Callable[[], T]) -> T | None:
    """Return what ``make`` makes of gRPC; from then on ``holder`` is asked around forks.

    None means that a fork is in progress: nothing was made, and ``resume`` will be called.

    Raises:
        InvalidStateError: gRPC cannot be used in this process.
    """
    check()
    holders, making = _forks.holders[rank], object()
    holders[weakref.ref(holder, lambda gone: _drop(holders, gone))] = None
    _forks.making[making] = threading.get_ident()  # first: a fork that begins now waits for us
    try:
        return None if _forks.pausing else make()
    finally:
        _forks.making.pop(making, None)


def release(holder: Holder) -> None:
    """Take note that ``holder`` holds nothing any more."""
    for holders in _forks.holders:
        holders.pop(weakref.ref(holder), None)


def _drop(holders: _Holders, gone: weakref.ref[Holder]) -> None:
    holders.pop(gone, None)


def on_child(callback: Callable[[], object]) -> Callable[[], None]:
    """Call ``callback`` in every forked child, when connections of the parent are dead there.

    A bound method does not keep its object alive; a function is kept. It runs on the child's only
    thread, must not wait for anything, and takes no lock that the parent may have held: it makes
    new ones.

    Returns:
        The undo.
    """
    callbacks, number = _forks.callbacks, next(_forks.numbers)

    def undo(gone: object = None) -> None:
        callbacks.pop(number, None)

    owner = getattr(callback, "__self__", None)
    function = getattr(callback, "__func__", None)
    if owner is None or function is None:
        callbacks[number] = lambda: callback
    else:
        # Not WeakMethod: its own finalizer complains at the interpreter's end.
        alive = weakref.ref(owner, undo)
        callbacks[number] = lambda: None if (one := alive()) is None else partial(function, one)
    return undo


def leak(*objects: object) -> None:
    """Never free objects whose finalizers would block, or reach into the parent of a fork."""
    for one in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def abandon_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Never free a loop of the parent, nor its tasks, in the child of a fork."""
    leak(loop, *asyncio.all_tasks(loop))


def is_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Return True if this thread runs the loop right now."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def done(value: bool) -> concurrent.futures.Future[bool]:
    """Return a future that is done."""
    made: concurrent.futures.Future[bool] = concurrent.futures.Future()
    made.set_result(value)
    return made


def _all_true(futures: list[concurrent.futures.Future[bool]], limit: float) -> bool:
    finished, late = concurrent.futures.wait(futures, max(0.0, limit - monotonic()))
    for one in late:
        one.cancel()
    for one in finished:
        if not one.cancelled() and (error := one.exception()) is not None:
            logger.error("around a fork: %s", error, exc_info=error)
    return not late and all(
        not one.cancelled() and one.exception() is None and one.result() for one in finished
    )


def _pollers() -> int:
    return sum(POLLER in one.name for one in threading.enumerate())


def _native_threads() -> int:
    """Return how many threads of gRPC's core there are, of whichever library."""
    found = 0
    for path in Path("/proc/self/task").glob("*/comm"):  # none where there is no such folder
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += path.read_text().strip() in NATIVE
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forks.before,
        after_in_parent=_forks.after_in_parent,
        after_in_child=_forks.after_in_child,
    )
