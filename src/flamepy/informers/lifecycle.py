"""What surrounds a reactor's life: the system's signals, the interpreter's exit, forks.

At exit every running reactor is stopped, each within its ``exit_timeout`` (contract G11). After a
fork the child's reactors are new and empty: the parent's threads do not live there (G12).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Protocol, TypeVar

from flamepy.errors import InvalidStateError, ResourceExhaustedError
from flamepy.informers import signals
from flamepy.informers.health import ReactorState
from flamepy.informers.workers import late
from flamepy.informers.workers import thread_waits as joining
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.runtime import threads
from flamepy.texts import repr_of

LOOK = 0.1  # seconds between looks for a signal
STOP_TIMEOUT = 10.0  # seconds
STOP_THREAD = "flamepy-stop"
CANCELLED = 2.0  # seconds for coroutines to end that a stop has cancelled

R = TypeVar("R", bound="Runnable")


class Stoppable(Protocol):
    """What of a reactor is needed here."""

    exit_timeout: float

    def stop(self, timeout: float) -> None:
        """Stop within ``timeout`` seconds."""

    def join(self, timeout: float | None) -> bool:
        """Wait for the stop."""

    def abort(self) -> None:
        """Drop what is queued."""

    def reset_after_fork(self) -> None:
        """Reset to the unstarted state."""


live: weakref.WeakSet[Stoppable] = weakref.WeakSet()
"""The reactors that run."""


def run_until_signalled(reactor: Runnable, look: Callable[[], object] = lambda: None) -> None:
    """Wait for the reactor's stop, or for SIGINT or SIGTERM, then drain and stop it.

    A second signal drops what is still queued.

    Args:
        reactor: which.
        look: called on this thread every tenth of a second while it waits.
    """
    received: list[int] = []
    with _signals_noted(received):
        while not received and not reactor.join(LOOK):
            look()
        seen = len(received)
        run_apart(lambda: reactor.stop(STOP_TIMEOUT))
        while not reactor.join(LOOK):
            if len(received) > seen:
                reactor.abort()
                seen = len(received)


def run_apart(function: Callable[[], None]) -> None:
    """Run a function on a thread of its own, or on this one if there can be no more threads."""
    try:
        threads.start(function, name=STOP_THREAD)
    except ResourceExhaustedError:
        function()


@contextmanager
def _signals_noted(received: list[int]) -> Iterator[None]:
    """Append SIGINT and SIGTERM to ``received`` instead of acting on them (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was installed by something other than Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Runnable(ABC):
    """The base of a reactor: runs it until a signal, or for the length of a ``with`` block.

    ``async with`` starts and stops it without blocking the running loop, and takes that loop for
    the coroutines of its informers.
    """

    _error: BaseException | None
    _given: GivenLoop

    @property
    @abstractmethod
    def state(self) -> ReactorState:
        """Where it is in its life."""

    @abstractmethod
    def start(self) -> object:
        """Start it."""

    @abstractmethod
    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop it within ``timeout`` seconds."""

    @abstractmethod
    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped; False after ``timeout`` seconds."""

    @abstractmethod
    def abort(self) -> None:
        """Drop what is queued."""

    def run_forever(self) -> None:
        """Wait for ``stop``, or SIGINT or SIGTERM, then drain and stop.

        A second signal drops what is queued. Only the main thread handles signals.

        Raises:
            InvalidStateError: the reactor failed, or was never started.
        """
        self.run_looking(lambda: None)

    def run_looking(self, look: Callable[[], object]) -> None:
        """Do as ``run_forever``, and call ``look`` on this thread every tenth of a second."""
        if self.state is ReactorState.NEW:
            raise InvalidStateError("this reactor is new; start it first, or call run()")
        run_until_signalled(self, look)
        if self.state is ReactorState.FAILED and self._error is not None:
            raise InvalidStateError(f"the reactor failed: {repr_of(self._error)}") from self._error

    def run(self) -> None:
        """Start, unless that was done, run until a signal or ``stop``, and stop."""
        if self.state is not ReactorState.RUNNING:
            self.start()
        self.run_forever()

    def __enter__(self: R) -> R:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self: R) -> R:
        self._given.take()  # before the first callback can begin
        try:
            await asyncio.to_thread(self.start)
            return self
        except asyncio.CancelledError:  # the thread continues, and must not start anything
            run_apart(lambda: self.stop(0.0))
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)
        await self._given.settled(CANCELLED)


def _stop_all() -> None:
    for reactor in list(live):
        reactor.stop(reactor.exit_timeout)


def _forget_all() -> None:
    for module in (joining, late, signals):
        module.reset_after_fork()
    for reactor in list(live):
        reactor.reset_after_fork()
    live.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
