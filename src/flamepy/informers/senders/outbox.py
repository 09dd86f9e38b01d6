"""``Outbox``: the outbox of one registered sink, and the threads that send what waits in it.

``mailroom`` has the table and the schedule. The threads start with the first event, and end with
the registration; ``open``, ``send`` and ``close`` of the sink are called on them, coroutines run on
a loop of the sink's own.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

from flamepy.errors import FlameError, InvalidStateError, ResourceExhaustedError
from flamepy.informers.dead_letters.letter import AnyEvent, DeadLetter
from flamepy.informers.delivery.invocation import RunningCall
from flamepy.informers.outbox.entry import (
    OutboxEntry,
    OutboxRow,
    Outcome,
    StoredEntry,
    entry_of,
    row_of,
)
from flamepy.informers.outbox.schedule import FOREVER, Taken
from flamepy.informers.outbox.settlement import CALLBACK, Settlement, outcomes_of
from flamepy.informers.outbox.sink import Sink
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.informers.outbox.table import EVERYTHING
from flamepy.informers.senders.mailroom import Mailroom
from flamepy.informers.workers import late
from flamepy.informers.workers.async_loop import AsyncCalls
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.informers.workers.worker_pool import Bell
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of, text_of

logger = logging.getLogger(__name__)

NAME = "flamepy-outbox"
LOOK = 0.01  # seconds between two looks of a thread that waits for the outbox
FULL_LOOK = 0.05  # the same, of an informer's thread that waits for room
CANCELLED_WITHIN = 0.5  # seconds for a coroutine to end once it was cancelled

Buried = Callable[[OutboxEntry, Outcome, DeadLetter], None]


class Outbox:
    """The outbox of one sink: an ``Outlet``.

    Args:
        name: the registration's.
        sink: whose events wait here.
        mailroom: what waits.
        buried: called with each entry that was given up; stores its letter where the mailroom
            does not.
        log: writes what repeats; its owner flushes it.
        given: the program's loop, if coroutines run there.
        ended: called when the last thread ends.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        mailroom: Mailroom,
        *,
        buried: Buried,
        log: RepeatedLog,
        given: GivenLoop | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._sink = sink
        self._mailroom = mailroom
        self._options = mailroom.options
        self._buried = buried
        self._log = log
        self._ended = ended
        self._staged: dict[int, OutboxRow] = {}  # by the event's identity
        self._bell = Bell()
        self._claims = Claims()
        self._stopping = Flag()
        self._flushes: list[None] = []  # one for each thread in ``flush``
        self._asynchronous = AsyncCalls(name, given)
        self._threads: list[threading.Thread] = []
        self._left: list[threading.Thread] = []
        self._running: dict[int, RunningCall] = {}  # by thread
        self._opened = False
        self._note = ""  # of the sink, as it is stored

    @property
    def stats(self) -> OutboxStats:
        """The counters, as of now."""
        return self._mailroom.stats

    @property
    def calls(self) -> list[RunningCall]:
        """What of the sink runs now; from any thread."""
        return list(self._running.values())

    def stack(self, thread: int) -> str:
        """Return where the coroutine is that a thread waits for, as text, or ""."""
        return self._asynchronous.stack(thread)

    # ------------------------------------------------------------------ what is stored

    def stage(self, event: AnyEvent) -> None:
        """Make what is stored of an event; on the informer's threads."""
        destination = self._sink.destination(event)
        if not isinstance(destination, str):
            raise TypeError(f"destination must return a text, got {repr_of(destination)}")
        self.ensure_threads()
        self._staged[id(event)] = row_of(
            event,
            destination=destination,
            ordering=self._options.key,
            payloads=self._options.payloads,
            now=self._mailroom.times.now(),
        )

    def take(self, event: AnyEvent) -> OutboxRow | None:
        """Return what was made of an event, once; None if nothing was."""
        row = self._staged.pop(id(event), None)
        if row is not None:
            self._mailroom.count(row)
        return row

    def put(self, row: OutboxRow) -> None:
        """Store it apart from any progress."""
        try:
            self._mailroom.put(row)
        except InvalidStateError:
            if not self._stopping.is_set():
                raise
            return  # it ends with its sink
        self._bell.ring()

    def stored(self, rows: Sequence[OutboxRow]) -> None:
        """Record that rows were stored, and have them sent; under the database's lock."""
        self._mailroom.stored(rows)
        self._bell.ring()

    def room(self, stopping: Flag, commit: Callable[[], None]) -> bool:
        """Wait until an event has room; False if a stop came first. On the informer's threads."""
        while self._mailroom.full:
            commit()  # only what is stored is sent, or dropped
            drops = self._options.when_full == "drop_oldest"
            if drops and self._mailroom.make_room():
                continue
            text = "%s: the outbox is full (%d events, %d bytes); the queue waits until it has room"
            self._log.log(
                *(logging.WARNING, ("full", self._name), text, self._name),
                *(self._mailroom.waiting, self._mailroom.bytes),
            )
            if stopping.wait(FULL_LOOK):
                return False
        return True

    # ------------------------------------------------------------------ for the sink

    def flush(self, timeout: float) -> bool:
        """See ``Sink.flush``."""
        if threading.current_thread() in self._threads or self._asynchronous.is_current:
            raise InvalidStateError(
                f"{self._name} cannot wait for itself: flush() was called in its own send"
            )
        return self._flush(monotonic() + timeout)

    def _flush(self, limit: float, *, hopeless: bool = False) -> bool:
        """Wait for an empty outbox; with ``hopeless`` not for what is due after the limit."""
        self._flushes.append(None)
        try:
            mailroom, looks = self._mailroom, self._mailroom.flush_looks
            self._bell.ring_all()
            while mailroom.waiting:
                idle = mailroom.flush_looks > looks and not mailroom.is_sending
                idle = idle and mailroom.next_due > limit
                left = limit - monotonic()
                if left <= 0 or (hopeless and idle) or self._stopping.wait(min(LOOK, left)):
                    return not mailroom.waiting
            return True
        finally:
            self._flushes.pop()

    def disable(self, reason: str, destination: str | None) -> None:
        """See ``Sink.disable``."""
        to = "" if not destination else f" to {destination}"
        logger.warning(
            "%s is disabled: nothing is sent%s until a restart, or flamepy outbox retry: %s",
            *(self._name, to, reason),
        )
        self._mailroom.disable(EVERYTHING if destination is None else destination, reason)
        self._bell.ring()

    # ------------------------------------------------------------------ threads

    def ensure_threads(self) -> None:
        """Start the threads, unless that was done."""
        if self._threads or self._stopping.is_set() or not self._claims.take("start"):
            return
        name = f"{NAME}-{self._name}"
        numbers = range(2, self._options.senders + 1)
        made = [
            threads.make(self._run, name=one) for one in (name, *(f"{name}-{n}" for n in numbers))
        ]
        self._threads = made  # all of them, before one can end
        for at, thread in enumerate(made):
            try:
                threads.begin(thread)
            except ResourceExhaustedError as error:
                self._threads = made[:at]
                if not at:
                    self._claims.give_back("start")
                    late.add(self.ensure_threads, error)
                return  # fewer do it as well

    def leave(self) -> None:
        """Have the threads end after the batch that each sends now; returns at once."""
        self._stopping.set()
        self._bell.ring_all()
        late.forget(self.ensure_threads)

    def stop(self, timeout: float) -> None:
        """Send what waits for ``flush_timeout`` seconds, then end the threads; idempotent.

        Args:
            timeout: seconds for all of that.
        """
        limit = monotonic() + timeout
        reserve = min(CANCELLED_WITHIN, timeout / 4)  # for what is sent to be stored, or cancelled
        if timeout > 0 and self._threads and threading.current_thread() not in self._threads:
            flushed = min(limit - 2 * reserve, monotonic() + self._options.flush_timeout)
            self._flush(flushed, hopeless=True)
        self.leave()
        if not self._join(limit - monotonic() - reserve):
            self._asynchronous.cancel()
            if not self._join(limit - monotonic()):
                logger.warning(
                    "%s still sends a batch after its stop; it will be sent again if it arrives",
                    self._name,
                )
        waiting = self._mailroom.waiting
        if waiting and not self._sink.durable and self._claims.take("lost"):
            logger.warning("%s: %d events were not sent, and are lost", self._name, waiting)

    def _join(self, timeout: float) -> bool:
        limit = monotonic() + max(0.0, timeout)
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, limit - monotonic()))
        return not any(
            one.is_alive() for one in self._threads if one is not threading.current_thread()
        )

    def _run(self) -> None:
        own = threading.current_thread()
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException:
            logger.exception("%s: the thread of its outbox ended", self._name)
        finally:
            self._left.append(own)
            if len(self._left) >= len(self._threads) and self._claims.take("close"):
                self._close()

    def _turn(self) -> None:
        waiter = self._bell.enroll()
        step = self._mailroom.next(flushing=bool(self._flushes), alone=not self._opened)
        if isinstance(step, float):
            late_step = self._stopping.is_set()
            wait = None if step == FOREVER else step
            self._bell.wait(waiter, 0.0 if late_step else self._patience(wait))
            return
        self._bell.wait(waiter, 0.0)
        self._bell.ring()  # another thread may have something to send as well
        self._deliver(step)

    def _patience(self, wait: float | None) -> float:
        look = 1.0  # seconds: another process may have changed the table
        return look if wait is None else min(wait, look)

    # ------------------------------------------------------------------ a batch

    def _deliver(self, taken: Taken) -> None:
        stored = [one.stored for one in taken.items if one.stored.event]
        entries: list[OutboxEntry] = []
        outcomes: dict[int, Outcome] = {}
        for one in stored:
            try:
                entries.append(entry_of(one, taken.destination))
            except FlameError as error:
                outcomes[one.id] = Outcome.refused(error)
        answer = self._send(entries) if entries else []
        if isinstance(answer, BaseException) and not outcomes:
            found: Sequence[Outcome] | BaseException = answer
        else:
            if isinstance(answer, BaseException):
                answer = [Outcome.retry(answer)] * len(entries)
            outcomes.update(zip((one.id for one in entries), answer, strict=True))
            found = [outcomes[one.id] for one in stored]
        note = self._sink.note
        changed = None if note == self._note else note
        ended = self._mailroom.settle(taken, found, self._stopping.wait, changed)
        if ended is not None:
            self._note = note
        self._bell.ring_all()
        if ended is not None:
            settlement, letters = ended
            self._report(taken, settlement)
            for (one, outcome), letter in zip(settlement.dead, letters, strict=True):
                self._bury(taken.destination, one, outcome, letter)

    def _send(self, entries: list[OutboxEntry]) -> list[Outcome] | BaseException:
        try:
            if not self._opened:
                self._note = self._sink.note = self._mailroom.note()
                self._life("open")
                self._opened = True
            events = [one.event for one in entries]
            answer = self._call(CALLBACK, lambda: self._sink.send(entries), events)
            return outcomes_of(answer, len(entries))
        except BaseException as error:  # SystemExit of a sink must not end the thread either
            return error

    def _life(self, name: str) -> None:
        method = getattr(self._sink, name, None)
        if callable(method):
            self._call(name, method)

    def _call(self, name: str, method: Callable[[], object], item: object = None) -> object:
        """Call a method of the sink; the watchdog sees it."""
        thread = threading.get_ident()
        self._running[thread] = RunningCall(name, monotonic(), item, thread)
        try:
            answer = method()
            return self._asynchronous.run(answer) if inspect.isawaitable(answer) else answer
        finally:
            del self._running[thread]

    def _close(self) -> None:
        try:
            self._asynchronous.allow()
            if self._opened:
                self._life("close")
        except BaseException as error:
            self._log.log(
                *(logging.ERROR, ("close", self._name), "%s.close raised: %s"),
                *(self._name, text_of(error)),
                error=error,
            )
        finally:
            self._asynchronous.close()
            self._ended()

    def _report(self, taken: Taken, settlement: Settlement) -> None:
        error = settlement.error
        if error is None or not settlement.tried:
            return
        if isinstance(error, CancelledError) and self._stopping.is_set():
            return
        kind = kind_of(error) if isinstance(error, BaseException) else ("", "", 0)
        to = f" to {taken.destination}" if taken.destination else ""
        self._log.log(
            *(logging.WARNING, ("retry", self._name, taken.destination, *kind)),
            "%s: %d of %d events could not be sent%s, and are tried again in %.1f s: %s",
            *(self._name, len(settlement.tried), len(taken.items), to),
            *(min(settlement.waits.values()), Outcome.retry(error).text),
        )

    def _bury(
        self, destination: str, stored: StoredEntry, outcome: Outcome, letter: DeadLetter
    ) -> None:
        text = "%s: an event could not be sent and was given up, %s: %s"
        self._log.log(
            *(logging.ERROR, ("dead", self._name), text),
            *(self._name, stored.key, outcome.text),
        )
        try:
            entry = entry_of(stored, destination)
        except FlameError:
            return
        self._buried(entry, outcome, letter)
