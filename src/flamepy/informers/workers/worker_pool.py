"""``WorkerPool``: several threads that take from one mailbox, one item of a key at a time.

Any of the threads moves what was put into the key queue and takes what may begin next, under a
lock that the loop never takes and under which nothing of the user's runs. Threads are started as
there is work for them, and end with the pool. One that is stuck in a callback can be replaced: its
key stays taken, and another thread takes its place until it returns.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from contextlib import ExitStack, suppress

from flamepy.errors import ResourceExhaustedError
from flamepy.informers.workers import late
from flamepy.informers.workers.key_queue import Slot
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.informers.workers.thread_waits import waiting_for, waits_for_us
from flamepy.informers.workers.worker import LAST_LINES, Worker, WorkSource
from flamepy.runtime import threads
from flamepy.runtime.clocks import bounded, monotonic
from flamepy.runtime.queues import Empty, SimpleQueue

logger = logging.getLogger(__name__)

REPLACED = 16  # threads of one pool that are stuck and replaced, at most


class Bell:
    """Wakes threads that wait for work; no method takes a lock."""

    def __init__(self) -> None:
        self._waiting: deque[SimpleQueue[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    def ring(self) -> None:
        """Wake one thread."""
        if self._waiting:  # where every event rings, an error that is dropped is dear
            with suppress(IndexError):  # another ring woke it
                self._waiting.popleft().put(None)

    def ring_all(self) -> None:
        """Wake every thread that waits now."""
        for _ in range(len(self._waiting)):
            self.ring()

    def enroll(self) -> SimpleQueue[None]:
        """Have a ring wake this thread, which looks once more for work and calls ``wait``."""
        waiter: SimpleQueue[None] = SimpleQueue()
        self._waiting.append(waiter)
        return waiter

    def wait(self, waiter: SimpleQueue[None], timeout: float | None) -> None:
        """Wait for a ring, for ``timeout`` seconds at most; 0 withdraws."""
        try:
            if timeout != 0.0:
                waiter.get(timeout=bounded(timeout))
                return
        except Empty:
            pass
        try:
            self._waiting.remove(waiter)
        except ValueError:
            self.ring()  # it was rung for us: another thread gets it


class WorkerPool(Worker):
    """A worker with several threads.

    Args:
        name: of the first thread; the others have a number after it.
        source: what the threads do; its methods are called by any of them.
        mailbox: made with ``bell.ring``.
        bell: wakes the threads.
        size: threads at most, but for those that are replaced.
    """

    def __init__(
        self, name: str, source: WorkSource, mailbox: Mailbox, bell: Bell, *, size: int
    ) -> None:
        super().__init__(name, source, mailbox)
        self._bell = bell
        self._size = size
        self._guard = threading.Lock()  # guards the key queue and ``_living``
        self._living = 0  # threads that were started and have not left
        self._threads: dict[threading.Thread, None] = {}  # also those that are ending
        self._stuck: dict[threading.Thread, None] = {}
        self._numbers = itertools.count(2)

    # ------------------------------------------------------------------ threads

    def _ensure_thread(self) -> None:
        if self._thread is not None or not len(self.mailbox):
            return
        if not self._claims.take("thread"):
            return  # another thread starts it, or this one, before a signal handler came
        thread = self._thread = self._new_thread(self._name)
        try:
            self._living = 1
            threads.begin(thread)
        except BaseException as error:
            self._living, self._thread = 0, None
            self._threads.pop(thread, None)
            self._claims.give_back("thread")
            if not isinstance(error, ResourceExhaustedError):
                raise
            late.add(self._ensure_thread, error)

    def _new_thread(self, name: str) -> threading.Thread:
        for one in list(self._threads):
            if one.ident is not None and not one.is_alive():
                self._threads.pop(one, None)  # it was one too many, and has ended
        thread = threads.make(self._run, name=name)
        self._threads[thread] = None
        return thread

    def _add_thread(self) -> None:
        """See that another thread takes what may begin, if there may be one."""
        if self._bell.waiting:
            self._bell.ring()
            return
        with self._guard:
            if self._living - len(self._stuck) >= self._size or self.stopping.is_set():
                return
            self._living += 1
        thread = self._new_thread(f"{self._name}-{next(self._numbers)}")
        try:
            threads.begin(thread)
        except ResourceExhaustedError as error:
            self._threads.pop(thread, None)
            with self._guard:
                self._living -= 1
            kind = "no thread"
            self._log.log(logging.WARNING, kind, "%s; fewer threads work", error.message)

    def replace(self, ident: int) -> bool:
        """Have another thread work in the place of one that is stuck, until that returns.

        From any thread; it takes no lock.

        Args:
            ident: the identifier of the stuck thread.

        Returns:
            False where it is not one of the pool, or too many are stuck.
        """
        thread = next((one for one in list(self._threads) if one.ident == ident), None)
        if thread is None or thread in self._stuck or len(self._stuck) >= REPLACED:
            return False
        self._stuck[thread] = None
        self.mailbox.push(_Nudge())  # a thread that takes it starts others as they are needed
        if not self._bell.waiting:
            threads.start(self._add_thread, name=f"{self._name}-start")
        return True

    @property
    def is_current(self) -> bool:
        """True on one of the pool's threads."""
        return threading.current_thread() in self._threads

    @property
    def waits_for_us(self) -> bool:
        """True if one of the threads cannot continue before this one does."""
        return any(waits_for_us(thread) for thread in list(self._threads))

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the threads to end; True if they have.

        Never waits on a thread that waits for this one. True on one of the threads.
        """
        if self._thread is None:
            return not len(self.mailbox)  # else it could not be started
        if self.is_current:
            return True
        with ExitStack() as waits:
            every = list(self._threads)
            sensible = [waits.enter_context(waiting_for(one)) for one in every]
            if all(sensible) and timeout > 0 and self._over.wait(timeout) and not self._abandoned:
                for thread in every:
                    thread.join(min(timeout, LAST_LINES))
        return not any(one.is_alive() for one in every)

    # ------------------------------------------------------------------ on the threads

    def _run(self) -> None:
        own = threading.current_thread()
        try:
            while (slot := self._obtain(own)) is not None:
                again = self._handle(slot.entry)
                with self._guard:
                    if again is None:
                        self._keys.done(slot)
                    else:
                        self._keys.park(slot, again)
                if again is not None:
                    self._bell.ring()  # one that waits has to wake sooner
        finally:
            self._leave(own)

    def _obtain(self, own: threading.Thread) -> Slot[Work] | None:
        """Return what this thread handles next; None if it is to end."""
        self._stuck.pop(own, None)
        while not self.stopping.is_set():
            self._admit()
            with self._guard:
                if self._living - len(self._stuck) > self._size:
                    self._stuck[own] = None  # one that was replaced is back, and one is too many
                    return None
                slot = self._keys.take(monotonic(), self.mailbox.waiting)
                more = self._keys.has_ready
                ends = self.mailbox.closed and self._is_empty()
                due = self._keys.next_due()
                waiter = self._bell.enroll() if slot is None else None
            if slot is not None:
                slot.entry.key = slot.key
                if more or not self._bell.waiting:
                    self._add_thread()  # for what waits, or comes while this thread is busy
                return slot
            assert waiter is not None
            if self._idled(ends=ends) or len(self.mailbox):
                self._bell.wait(waiter, 0.0)
            elif ends:
                self._bell.wait(waiter, 0.0)
                return None
            else:
                times = [one for one in (due, self._source.due()) if one is not None]
                until = min(times, default=None)
                left = None if until is None else max(0.001, until - monotonic())
                self._bell.wait(waiter, 0.0 if self.stopping.is_set() else left)
        return None

    def _admit(self) -> None:
        """Move what was put into the key queue; one thread at a time does."""
        if not len(self.mailbox) or not self._claims.take("admit"):
            return
        try:
            while works := self.mailbox.take(0.0) if len(self.mailbox) else []:
                placed = [(work, self._source.place_of(work.peek())) for work in works]
                with self._guard:
                    for work, (key, group, initial) in placed:
                        self._keys.add(work, key, group=group, initial=initial)
        finally:
            self._claims.give_back("admit")

    def _idled(self, *, ends: bool) -> bool:
        """Call ``idle`` if it is due, unless another thread does; return whether it was called."""
        due = self._source.due()
        if due is None or not (ends or due <= monotonic()) or not self._claims.take("idle"):
            return False
        try:
            self._safely(self._source.idle)
        finally:
            self._claims.give_back("idle")
        return True

    def _leave(self, own: threading.Thread) -> None:
        with self._guard:
            self._living -= 1
            self._stuck.pop(own, None)
            last = not self._living
        over = self.mailbox.closed or self.stopping.is_set()
        if over and last and self._claims.take("ended"):
            self._safely(self._source.ended)
            self._log.flush(everything=True)
        if over:
            self._bell.ring_all()
            if last:
                self._over.set()


class _Nudge:
    """An item without meaning: it makes a thread look for work."""
