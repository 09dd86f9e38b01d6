"""``Worker``: one named daemon thread that takes items from a mailbox.

Started at the first item, ended by ``stop``, which drains and is bounded. What an item means is
the business of its ``WorkSource`` (``registration``, ``receiver``, ``core.futures``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from flamepy.errors import ResourceExhaustedError
from flamepy.informers.workers import late
from flamepy.informers.workers.key_queue import Key, KeyQueue, Place
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.informers.workers.thread_waits import waiting_for, waits_for_us
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of

logger = logging.getLogger(__name__)

IDLE_LIMIT = 1.0
LAST_LINES = 0.5  # seconds to join a thread that has nothing left to do


@dataclass(frozen=True, slots=True)
class Again:
    """What ``handle`` returns for an item that is to be handled again, at a time.

    Attributes:
        at: monotonic seconds.
        item: what ``handle`` gets then.
    """

    at: float
    item: object


class Kept:
    """What ``handle`` returns for an item that the source handles later, together with others."""


KEPT = Kept()


class WorkSource(Protocol):
    """What a worker's threads do. Called on them, unless noted."""

    def handle(self, item: object, work: Work) -> Again | Kept | None:
        """Handle an item of the queue; what it raises is logged.

        Args:
            item: the item.
            work: its place in the mailbox, for ``Kept`` ones.

        Returns:
            None when it was handled, else whether it is handled again.
        """

    def admits(self) -> bool:
        """Wait until the next item may be handled, which counts as waiting until then.

        Returns:
            False if a stop ended the wait: the item is dropped.
        """
        return True

    def place_of(self, item: object) -> tuple[Key, Hashable, bool]:
        """Return key, group and lane of an item, as ``KeyQueue.add`` takes them."""
        return Place.FREE, None, False

    def due(self) -> float | None:
        """Return the monotonic second at which ``idle`` wants to be called; None for never."""
        return None

    def idle(self) -> None:
        """Called when ``due`` has come, and when the queue has been drained at the end."""
        return

    def doing(self) -> str:
        """Return what runs now, for a log; "" if nothing does. From any thread."""
        return ""

    def interrupt(self) -> None:
        """Called, from the stopping thread, when what is queued is dropped."""
        return

    def ended(self) -> None:
        """Called last: after a stop, and when the thread ends for lack of work."""
        return


class Worker:
    """A named daemon thread with a mailbox: started by the first item, stopped within a limit.

    Args:
        name: the thread's name.
        source: what it does.
        mailbox: where it takes items from; without one it has one of the usual size.
        lingers: False lets the thread end after a second without work; a new item starts
            another one.
    """

    def __init__(
        self,
        name: str,
        source: WorkSource,
        mailbox: Mailbox | None = None,
        *,
        lingers: bool = True,
    ) -> None:
        self._name = name
        self._source = source
        self._lingers = lingers
        self.mailbox = Mailbox() if mailbox is None else mailbox  # an empty one is false
        # What is to be handled again, and what waits for it; empty most of the time.
        self._keys: KeyQueue[Work] = KeyQueue(self.mailbox.limit)
        self._waits_again = False  # whether ``_keys`` has anything, or may have
        self._claims = Claims()  # who starts the thread
        self._thread: threading.Thread | None = None
        self._over = Flag()  # waiting for the end has no purpose any longer
        self._abandoned = False
        self._log = RepeatedLog(logger)

    @property
    def stopping(self) -> Flag:
        """Set when what is queued is dropped; ends waits inside."""
        return self.mailbox.discarded

    def put(self, item: object) -> bool:
        """Queue an item and see that a thread takes it; False if it found no place.

        Where no thread can be started, the item waits until one can.
        """
        queued = self.mailbox.put(item)
        if queued and self._thread is None:
            self._ensure_thread()
            late.start_again()
        return queued

    def _ensure_thread(self) -> None:
        if self._thread is not None or not len(self.mailbox):
            return
        if not self._claims.take("thread"):
            return  # another thread starts it, or this one, before a signal handler came
        thread = self._thread = threads.make(self._run, name=self._name)
        try:
            threads.begin(thread)
        except BaseException as error:
            self._thread = None
            self._claims.give_back("thread")
            if not isinstance(error, ResourceExhaustedError):
                raise
            late.add(self._ensure_thread, error)

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once something was queued."""
        return self._thread

    @property
    def is_current(self) -> bool:
        """True on the worker's own thread."""
        return threading.current_thread() is self._thread

    @property
    def waits_for_us(self) -> bool:
        """True if the worker's thread cannot continue before this one does."""
        thread = self._thread
        return thread is not None and waits_for_us(thread)

    def stop(self, timeout: float) -> bool:
        """Let the queue drain for ``timeout`` seconds, then drop the rest; True if it drained.

        Where the worker waits for the calling thread - in its own callback, which is the usual
        case - nothing can drain: what is queued is dropped at once, so that nothing is called
        after the stop.
        """
        if timeout <= 0 or self.waits_for_us:
            self._drop(interrupt=not self.waits_for_us)
            return self.join(0.0)
        self.mailbox.close()
        self._ensure_thread()  # for what was queued a moment ago, by a thread that has not come far
        if self.join(timeout):
            return True
        dropped = self.mailbox.waiting
        self._drop()
        if dropped:
            why = "could not be started" if self._thread is None else "still runs a callback"
            doing = self._source.doing()
            more = f": {doing}" if doing else ""
            logger.warning("%s: %d events dropped: it %s%s", self._name, dropped, why, more)
        return False

    def close(self) -> None:
        """Accept nothing more and end after what is queued; returns at once."""
        self.mailbox.close()

    def abandon(self) -> None:
        """Drop what is queued, and release the threads that wait for the running callback."""
        self._drop()
        self._abandoned = True
        self._over.set()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread to end; True if it has, or if it is us.

        Never waits on a thread that waits for this one, directly or through others.
        """
        thread = self._thread
        if thread is None:
            return not len(self.mailbox)  # else it could not be started
        if self.is_current:
            return True
        with waiting_for(thread) as sensible:
            if sensible and timeout > 0 and self._over.wait(timeout) and not self._abandoned:
                thread.join(min(timeout, LAST_LINES))
        return not thread.is_alive()

    def _drop(self, *, interrupt: bool = True) -> None:
        self.mailbox.close(discard=True)
        late.forget(self._ensure_thread)  # or the next thread's want of room would not be said
        if interrupt:
            self._source.interrupt()

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        try:
            while self._next():
                pass
        finally:
            if self.mailbox.closed or self.stopping.is_set():  # set a moment before the close
                self._safely(self._source.ended)
                self._log.flush(everything=True)
                self._over.set()

    def _next(self) -> bool:
        works = self._wait()
        if self.stopping.is_set():
            return False
        if self.mailbox.mixed:
            self.mailbox.mixed = False
            self._enter(works)
            works = []
        stopping = self.stopping
        for work in works:
            if stopping.is_set():
                return False
            if self._waits_again:
                self._enter([work])
                self._do_ready()
            else:
                self._do(work)
        if self._waits_again:
            self._do_ready()
        due = self._source.due()
        if due is not None and not self.stopping.is_set():
            if due <= monotonic() or (self.mailbox.closed and self._is_empty()):
                self._safely(self._source.idle)
            return True
        return bool(works) or len(self._keys) > 0 or self._stays()

    def _wait(self) -> list[Work]:
        """Take what was put; wait for it, for a time that is due, or for the end."""
        timeout = None if self._lingers else IDLE_LIMIT
        due = self._source.due()
        if self._waits_again:
            times = [one for one in (due, self._keys.next_due()) if one is not None]
            due = min(times, default=None)
        if due is not None:
            timeout = max(0.0, due - monotonic())
        if self.mailbox.closed and len(self._keys) and not len(self.mailbox):
            self.stopping.wait(timeout)  # nothing more comes
            return []
        return self.mailbox.take(timeout)

    def _is_empty(self) -> bool:
        return not len(self.mailbox) and not len(self._keys)

    def _enter(self, works: list[Work]) -> None:
        """Let the key queue decide the order of what was taken."""
        for work in works:
            key, group, initial = self._source.place_of(work.peek())
            self._keys.add(work, key, group=group, initial=initial)
        self._waits_again = True

    def _do_ready(self) -> None:
        """Handle what may be handled now, while anything waits to be handled again."""
        while not self.stopping.is_set():
            if len(self.mailbox):
                self._enter(self.mailbox.take(0.0))
            slot = self._keys.take(monotonic(), self.mailbox.waiting)
            if slot is None:
                self._waits_again = bool(self._keys)
                return
            again = self._handle(slot.entry)
            if again is None:
                self._keys.done(slot)
            else:
                self._keys.park(slot, again)

    def _do(self, work: Work) -> None:
        """Handle an item while nothing waits to be handled again."""
        again = self._handle(work)
        if again is not None:
            key, _, _ = self._source.place_of(work.rest[0])
            self._keys.park(self._keys.begin(work, key), again)
            self._waits_again = True

    def _handle(self, work: Work) -> float | None:
        """Handle what is in a place of the mailbox; return when the rest of it is, if there is."""
        mailbox = self.mailbox
        if not self._admits():
            mailbox.finish(work)
            return None
        if work.rest:
            mailbox.resume(work)
            items, work.rest = work.rest, []
        else:
            items = mailbox.open(work)
        for at, item in enumerate(items):
            try:
                answer = self._source.handle(item, work)
            except BaseException as error:  # nothing may end the thread while it has waiters
                text, kind = "%s: an error in the handling of %s", kind_of(error)
                self._log.log(logging.ERROR, kind, text, self._name, repr_of(item), error=error)
                continue
            if answer is None:
                continue
            mailbox.keep(work)
            if isinstance(answer, Again):
                work.rest = [answer.item, *items[at + 1 :]]
                return answer.at
            return None  # the source handles it together with others
        mailbox.finish(work)
        return None

    def _admits(self) -> bool:
        try:
            return self._source.admits()
        except BaseException as error:  # as below; what handles it meets the fault as well
            text, kind = "%s: an error before the next item", kind_of(error)
            self._log.log(logging.ERROR, kind, text, self._name, error=error)
            return True

    def _stays(self) -> bool:
        if self.mailbox.closed:
            return not self._is_empty()  # it came after the last look, and before the close
        if self._lingers:
            return True
        self._safely(self._source.ended)
        # ``put`` queues first and looks for a thread then: what it queued before the claim was
        # given up is seen here, and what it queues later starts a thread.
        own, self._thread = self._thread, None
        self._claims.give_back("thread")
        if (len(self.mailbox) or self.mailbox.closed) and self._claims.take("thread"):
            self._thread = own
            return True
        return False

    def _safely(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            text = "%s: an error at its end, or in a pause"
            self._log.log(logging.ERROR, kind_of(error), text, self._name, error=error)
