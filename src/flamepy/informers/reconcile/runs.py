"""The threads of a reconciler: one that owns the work queue, and those that run keys.

``Runs`` takes keys from any thread. The thread ``flamepy-keys-<name>`` alone touches the queue
(``work_queue``): it gets messages, gives keys that are due to the workers
``flamepy-reconcile-<name>-<n>``, and gets their outcomes back, so nothing here is locked. What a
run is, and what an error in it means, is ``reconciler``'s business.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from flamepy.informers.reconcile.work_queue import WorkQueue
from flamepy.informers.workers.thread_waits import waiting_for
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.texts import repr_of

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

LOOK = 0.05  # seconds between looks at a stop that is cut short, while keys drain
JOIN_TIMEOUT = 0.5  # seconds for a thread that has nothing left to do


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        ok: False if it failed.
        again: seconds after which the key is run again: of a failed run None leaves them to the
            back-off, of a good one None waits for the next event.
        final: it failed for good: no run before the next event.
    """

    ok: bool = True
    again: float | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class _Added(Generic[K]):
    key: K
    due: float | None = None


@dataclass(frozen=True, slots=True)
class _Ended(Generic[K]):
    key: K
    outcome: Outcome


class _Opened:
    """Keys may run from now on."""


class _Closed:
    """Run what is due, nothing later, and end."""


@dataclass(frozen=True, slots=True)
class RunStats:
    """Counters of a reconciler.

    Attributes:
        waiting: keys that are due, or due later.
        running: keys that run now.
        failing: keys whose last run failed.
        runs: runs that ended.
        failures: those that failed.
        oldest_age: seconds for which a key has been due without a worker for it; 0 if none is.
    """

    waiting: int = 0
    running: int = 0
    failing: int = 0
    runs: int = 0
    failures: int = 0
    oldest_age: float = 0.0


class Runs(Generic[K]):
    """Runs keys on ``workers`` threads; methods may be called from any thread, none blocks.

    Args:
        name: for the threads.
        queue: decides which key is next; only used here from now on.
        run: called with a key and how often in a row it has failed, on a worker's thread.
        workers: keys that run at the same time at most.
        resync: called every ``resync_every`` seconds, on the thread of a worker.
        resync_every: seconds; None for never.
        stopping: once set, no run starts.
        ended: called last, on the owner's thread.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue[K],
        run: Callable[[K, int], Outcome],
        *,
        workers: int,
        resync: Callable[[], None] = lambda: None,
        resync_every: float | None = None,
        stopping: Flag,
        ended: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._queue = queue
        self._run = run
        self._resync = resync
        self._resync_every = resync_every
        self._stopping = stopping
        self._ended = ended
        self._clock = clock
        self._messages: SimpleQueue[object] = SimpleQueue()
        self._due: SimpleQueue[tuple[K, int] | Callable[[], None] | None] = SimpleQueue()
        self._free = workers
        self._open = self._closed = False
        self._resync_at: float | None = None
        self._runs = self._failures = 0
        self.ended = Flag()
        self._owner = threads.make(self._own, name=f"flamepy-keys-{name}")
        self._workers = [
            threads.make(self._work, name=f"flamepy-reconcile-{name}-{number}")
            for number in range(1, workers + 1)
        ]

    def begin(self) -> None:
        """Start the threads; keys are collected until ``open``.

        Raises:
            ResourceExhaustedError: the system has no room for the threads.
        """
        try:
            for thread in (self._owner, *self._workers):
                threads.begin(thread)
        except BaseException:
            self._messages.put(_Closed())
            for _ in self._workers:
                self._due.put(None)
            raise

    def open(self) -> None:
        """Let keys run."""
        self._messages.put(_Opened())

    def add(self, key: K, delay: float | None = None) -> None:
        """Have a key run soon, or after ``delay`` seconds."""
        self._messages.put(_Added(key, None if delay is None else self._clock() + delay))

    @property
    def stats(self) -> RunStats:
        """Counters, as of now."""
        queue = self._queue
        while True:
            try:
                return RunStats(
                    waiting=queue.depth,
                    running=queue.running,
                    failing=queue.failing,
                    runs=self._runs,
                    failures=self._failures,
                    oldest_age=queue.oldest(self._clock()),
                )
            except RuntimeError:  # the owner changed the queue meanwhile
                continue

    def close(self) -> None:
        """Run what is due, unless ``stopping`` is set, then end; returns when that is done.

        Returns without waiting for a worker that waits for this thread: a run that stops its
        own reactor.
        """
        if self._owner.ident is None:
            return
        self._messages.put(_Closed())
        with ExitStack() as waits:
            able = [waits.enter_context(waiting_for(one)) for one in (self._owner, *self._workers)]
            if not all(able):
                self._stopping.set()
            while not self.ended.wait(LOOK):
                if self._stopping.is_set():
                    break
            for thread, sensible in zip((self._owner, *self._workers), able, strict=True):
                if sensible and self.ended.is_set():
                    thread.join(JOIN_TIMEOUT)

    def is_worker(self, thread: threading.Thread) -> bool:
        """Return True for a thread that runs keys."""
        return thread in self._workers

    # ------------------------------------------------------------------ on the owner's thread

    def _own(self) -> None:
        try:
            while not (self._closed and self._drained()):
                self._handle(self._next_message())
        except BaseException:  # never a reconciler that is silent
            logger.critical(
                "the keys of %s are lost: a fault of flamepy", self._name, exc_info=True
            )
            raise
        finally:
            for _ in self._workers:
                self._due.put(None)
            self._ended()
            self.ended.set()

    def _next_message(self) -> object:
        """Return the next message; None when a key may have become due instead."""
        now = self._clock()
        times = [self._resync_at] if self._open else []
        if self._open and self._free:
            times.append(self._queue.next_due(now))
        due = min((one for one in times if one is not None), default=None)
        timeout = None if due is None else max(0.0, due - now)
        if self._closed:
            timeout = LOOK if timeout is None else min(timeout, LOOK)
        try:
            return (
                self._messages.get(timeout=timeout)
                if timeout != 0.0
                else self._messages.get_nowait()
            )
        except Empty:
            return None

    def _handle(self, message: object) -> None:
        now = self._clock()
        if isinstance(message, _Added):
            self._queue.add(message.key, now) if message.due is None else self._queue.add_at(
                message.key, message.due, now
            )
        elif isinstance(message, _Ended):
            self._end(message.key, message.outcome, now)
        elif isinstance(message, _Opened):
            self._open = True
            if self._resync_every is not None:
                self._resync_at = now + self._resync_every
        elif isinstance(message, _Closed):
            self._closed = True
            self._resync_at = None
        if self._messages.empty() or message is None:
            self._give(now)

    def _end(self, key: K, outcome: Outcome, now: float) -> None:
        self._free += 1
        self._runs += 1
        if outcome.ok:
            again = None if outcome.again is None or self._closed else now + outcome.again
            self._queue.succeeded(key, now, again_at=again)
            return
        self._failures += 1
        if outcome.final:
            self._queue.dropped(key, now)
        else:
            self._queue.failed(key, now, delay=outcome.again)

    def _give(self, now: float) -> None:
        """Give keys that are due to the workers that are free."""
        if not self._open and not self._closed:
            return
        if self._closed and (self._stopping.is_set() or not self._open):
            self._queue.clear()
            return
        if (
            self._resync_at is not None
            and now >= self._resync_at
            and self._resync_every is not None
        ):
            self._resync_at = now + self._resync_every
            self._due.put(self._resync)
        while self._free and (key := self._queue.take(now)) is not None:
            self._free -= 1
            self._due.put((key, self._queue.failures(key)))
        if self._closed:
            self._queue.drop_later(now)

    def _drained(self) -> bool:
        if not self._stopping.is_set():
            return not self._queue.depth and not self._queue.running and self._messages.empty()
        return True

    # ------------------------------------------------------------------ on the workers' threads

    def _work(self) -> None:
        while (item := self._due.get()) is not None:
            if callable(item):
                self._refresh(item)
                continue
            key, failures = item
            outcome = Outcome(ok=False, final=True)
            try:
                if not self._stopping.is_set():
                    outcome = self._run(key, failures)
            except BaseException as error:  # nothing may end a worker
                logger.critical("%s: an error at %s", self._name, repr_of(key), exc_info=error)
            self._messages.put(_Ended(key, outcome))

    def _refresh(self, resync: Callable[[], None]) -> None:
        try:
            resync()
        except BaseException as error:
            logger.error("%s: a resync failed; the next one follows", self._name, exc_info=error)
