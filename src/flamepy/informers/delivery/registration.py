"""One registered informer: its inbox at the hub, its queue, its thread.

``Reactor.register`` makes it. The hub calls the inbox on the loop, which only queues; the
informer's thread takes the events through ``transform`` and ``where`` to the callbacks.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from flamepy.errors import DeadlineExceededError, FlameError, InvalidStateError
from flamepy.informers import predicates
from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.checkpoint.resumption import Presence, Step
from flamepy.informers.delivery.callbacks import Call, Callbacks
from flamepy.informers.delivery.inbox import Gone, Inbox, LagMarker, ShownCounters, Synced
from flamepy.informers.delivery.invocation import Failure, Handling, Running
from flamepy.informers.delivery.worker import Worker
from flamepy.informers.informer import Informer
from flamepy.informers.options import Options, RegistrationStats
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of, text_of
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.subscriptions import Scope

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a registration reports to its reactor, from the informer's thread unless noted.

    Attributes:
        log: writes what informers of one reactor fail with; the reactor flushes it.
    """

    removed: Callable[[Registration], None]  # any thread
    failed: Callable[[Failure], None]
    synced: Callable[[Registration], None]
    behind: Callable[[Registration], None]
    missed: Callable[[MissedEnds], None] = lambda _: None
    log: RepeatedLog = field(default_factory=lambda: RepeatedLog(logger))


class _Start:
    """The marker before the first event: ``informer.start()``."""


class _Nothing:
    """Starts the thread of an informer without any event, so that it can be closed there."""


class Registration:
    """What ``Reactor.register`` returns; all methods may be called from any thread."""

    def __init__(self, informer: Informer, scope: Scope, options: Options, *, hooks: Hooks) -> None:
        self.informer = informer
        self.options = options
        self.uid = options.uid
        self.name = options.name or options.uid or type(informer).__name__
        self.callbacks = Callbacks(informer)
        wants = self.callbacks
        predicates.check_judges(
            options.where, tasks=wants.wants_tasks, sessions=wants.wants_sessions
        )
        self.scope = scope
        self._hooks = hooks
        self.worker = Worker(
            f"flamepy-handler-{self.name}",
            self._handle,
            limit=options.queue_size,
            due=self._next_due,
            idle=self._pause,
            interrupt=lambda: self._handling.asynchronous.cancel(),
            ended=self._end,
        )
        self._handling = Handling(
            self.name,
            retry=options.retry,
            stopping=self.worker.stopping,
            failed=hooks.failed,
            on_error=self.callbacks.get("on_error"),
            log=hooks.log,
        )
        self._where = None if options.where is None else Call("where", options.where)
        self._transform = (
            None if options.transform is None else Call("transform", options.transform)
        )
        self.prepared = True  # False until ``memory`` is there, where there is to be one
        self.memory: Memory | None = None
        self._batch: list[TaskEvent] = []
        # What is collected counts as queued: a larger batch would never be full.
        self._batch_size = min(options.batch_size, options.queue_size)
        self._collected = False  # the event that is being handled is in the batch
        self._due: float | None = None
        self._settled = Flag()  # synced, or never will be
        self._synced = False
        self._active = True
        self._begun = False
        self._error: BaseException | None = None  # why it was never synced
        self._delivered = 0
        self.slow = 0
        self.inbox: Inbox | None = None  # once the loop has made it

    @property
    def resumes(self) -> bool:
        """Whether a checkpoint stores what was delivered to it."""
        given = self.options.resume
        return bool(getattr(self.informer, "resume", True) if given is None else given)

    def __repr__(self) -> str:
        state = "active" if self._active else "removed"
        return f"<Registration of {self.name}, {state}, synced={self._synced}>"

    @property
    def synced(self) -> bool:
        """True once the state at its registration was delivered to the informer."""
        return self._synced

    @property
    def active(self) -> bool:
        """False once it was removed or its reactor stopped."""
        return self._active

    @property
    def running(self) -> Running | None:
        """The callback that runs now."""
        return self._handling.running

    @property
    def stopping(self) -> Flag:
        """Set once what is queued is dropped; no callback starts then."""
        return self.worker.stopping

    def report(self, callback: str, item: object, error: BaseException, *, attempts: int) -> None:
        """Log, count and signal an error of another thread of the informer; call ``on_error``.

        Args:
            callback: what raised.
            item: what it was called with.
            error: what it raised.
            attempts: how often it was called for ``item``.
        """
        self._handling.report(callback, item, error, attempts)

    @property
    def stats(self) -> RegistrationStats:
        """Counters, as of now."""
        running, mailbox, inbox = self._handling.running, self.worker.mailbox, self.inbox
        owed = 0 if inbox is None else inbox.owed
        since = [mailbox.oldest, inbox.owed_since if inbox is not None and owed else None]
        oldest = min((one for one in since if one is not None), default=None)
        return RegistrationStats(
            delivered=self._delivered,
            queued=mailbox.unfinished + owed,
            oldest_age=0.0 if oldest is None else max(0.0, monotonic() - oldest),
            coalesced=mailbox.coalesced + (0 if inbox is None else inbox.coalesced),
            missed=self._missed,
            failures=self._handling.failures,
            retries=self._handling.retries,
            slow=self.slow,
            handler_seconds=self._handling.seconds,
            running_for=None if running is None else max(0.0, monotonic() - running.since),
        )

    @property
    def _missed(self) -> int:
        if self.memory is not None:
            return self.memory.missed
        return 0 if self.inbox is None else self.inbox.missed_ends

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until the state at its registration was delivered to the informer.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
            InvalidStateError: it was removed before, or this is the informer's own thread.
        """
        self._check_not_own("wait_synced()")
        timeout = seconds_or_none("timeout", timeout)
        if not self._settled.wait(timeout):
            raise DeadlineExceededError(
                f"{self.name} was not synced within {round(timeout or 0, 3):g} s; "
                f"is the engine reachable?{'' if self.inbox is None else self.inbox.obstacle()}"
            )
        if not self._synced:
            why = (
                "was removed"
                if self._error is None
                else f"ended with its reactor: {text_of(self._error)}"
            )
            raise InvalidStateError(f"{self.name} was not synced; it {why}") from self._error

    def remove(self, *, wait: bool = False, timeout: float = 10.0) -> None:
        """Deliver nothing more to the informer; idempotent.

        Two informers may remove each other at the same time: neither waits for the other then.
        ``informer.close()`` is still called, on the informer's thread.

        Args:
            wait: also wait until a callback that runs now has returned.
            timeout: seconds to wait for that.

        Raises:
            InvalidStateError: ``wait=True`` in the informer's own callback.
        """
        timeout = seconds("timeout", timeout)
        if wait:
            self._check_not_own("remove(wait=True)")
        self._hooks.removed(self)
        self.close(0.0)
        if wait:
            self.worker.join(timeout)

    def _check_not_own(self, what: str) -> None:
        if self.worker.is_current or self._handling.asynchronous.is_current:
            raise InvalidStateError(
                f"{self.name} cannot wait for itself: {what} was called in its own callback"
            )

    # ------------------------------------------------------------------ for the reactor

    def begin(self) -> None:
        """Queue ``informer.start()`` for its thread, before the first event."""
        if not self._active:
            return
        self._begun = True
        if callable(getattr(self.informer, "start", None)):
            self.worker.put(_Start())

    def put(self, item: object) -> bool:
        """Queue something for the informer's thread; False if an event found no place."""
        return self.worker.put(item)

    def finish(self) -> None:
        """Accept no more events, end after the queued ones; returns at once."""
        self._deactivate()
        self.worker.close()

    def close(self, timeout: float, error: BaseException | None = None) -> bool:
        """Accept no more events, let the queue drain for ``timeout`` seconds; True if it did.

        Threads that wait for it to be synced get ``error`` then.
        """
        self._error = self._error or error
        self._deactivate()
        drained = self.worker.stop(timeout)
        self._settled.set()
        return drained

    def abandon(self) -> None:
        """Drop what is queued, and wait no longer for the callback that runs."""
        self._active = False
        self.worker.abandon()
        self._settled.set()

    def _deactivate(self) -> None:
        self._active = False
        closes = self._begun and callable(getattr(self.informer, "close", None))
        if closes and self.worker.thread is None:
            self.worker.put(_Nothing())

    def stack(self) -> str:
        """Return where the callback that runs now is, as text; empty if none does."""
        coroutine = self._handling.asynchronous.stack()
        thread = self.worker.thread
        if coroutine or thread is None:
            return coroutine
        frame = sys._current_frames().get(thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    # ------------------------------------------------------------------ on its thread

    def _handle(self, item: object) -> None:
        if isinstance(item, TaskEvent):
            self._collected = False
            self._task(item)
            if self._collected:
                self.worker.mailbox.keep()
            return
        if self._batch:
            self._flush()
        if isinstance(item, SessionEvent):
            self._session(item)
        elif isinstance(item, LagMarker):
            self._hooks.behind(self)
        elif isinstance(item, Gone):
            if self.memory is not None:
                self.memory.gone(item.session, item.missed)
        elif isinstance(item, ShownCounters):
            if self.memory is not None and self.inbox is not None:
                self.memory.shown(self.inbox.take_shown())
        elif isinstance(item, Synced):
            if self.memory is not None and not self._tell_missing(self.memory, item):
                return
            self._synced = True
            self._plain("on_synced")
            self._settled.set()
            self._hooks.synced(self)
        elif isinstance(item, ConnectionState):
            self._plain("on_connection", item)
        elif isinstance(item, FlameError):
            self._plain("on_error", item)
        elif isinstance(item, _Start):
            self._life("start")

    def _task(self, event: TaskEvent) -> None:
        if self.memory is None:
            self._tell(event)
            return
        for step in self.memory.task(event):
            if not self._remember(self.memory, step):
                return

    def _session(self, event: SessionEvent) -> None:
        if self.memory is None:
            self._tell(event)
            return
        for step in self.memory.session(event):
            if not self._remember(self.memory, step):
                return

    def _tell_missing(self, memory: Memory, marker: Synced) -> bool:
        """Deliver the events of stored tasks that were not seen again; False if the stop cut it."""
        presence = marker.presence or Presence()
        for missed in memory.lost(presence):
            self._hooks.missed(missed)
        for event in memory.missing(presence):
            if not self._remember(memory, Step(event, True)):
                return False
        self._flush()
        memory.synced(presence)
        return True

    def _remember(self, memory: Memory, step: Step) -> bool:
        """Deliver an event if required, and record it; False if the stop cut it."""
        event = step.event
        batches = self.callbacks.batches and isinstance(event, TaskEvent)
        if batches:
            memory.note(event)  # kept when the batch was taken
        called = self._tell(event) if step.tell else False
        if called is None:
            return False
        if not batches:
            memory.note(event)
        if called:
            memory.commit()
        elif not self._batch:
            memory.commit_many()
        return True

    def _tell(self, event: TaskEvent | SessionEvent) -> bool | None:
        """Return whether a callback was called; None if the stop cut them short."""
        passed = self._passed(event)
        if self.worker.stopping.is_set():
            return None
        if passed is None:
            return False
        if isinstance(passed, SessionEvent):
            calls = self.callbacks.for_session(passed)
        elif self.callbacks.batches:
            self._collect(passed)
            return False
        else:
            calls = self.callbacks.for_task(passed)
        self._delivered += 1
        for call in calls:
            succeeded = self._handling.call(call, passed)
            if self.worker.stopping.is_set() and not (succeeded and call is calls[-1]):
                return None
        return bool(calls)

    def _collect(self, event: TaskEvent) -> None:
        self._batch.append(event)
        self._collected = True
        if len(self._batch) >= self._batch_size:
            self._flush()
        elif self._due is None:
            self._due = monotonic() + self.options.batch_delay

    def _passed(self, event: TaskEvent | SessionEvent) -> TaskEvent | SessionEvent | None:
        """Return the event to deliver; None if it is dropped, or one of the functions failed."""
        passed = event
        if self._transform is not None:
            answer = self._handling.ask(self._transform, event, partial(_transformed, type(event)))
            if not isinstance(answer, (TaskEvent, SessionEvent)):
                return None
            passed = answer
        if self._where is None or self._handling.ask(self._where, passed, bool) is True:
            return passed
        return None

    def _flush(self) -> None:
        events, self._batch, self._due, self._collected = self._batch, [], None, False
        call, mailbox = self.callbacks.get("on_batch"), self.worker.mailbox
        if not events or call is None:
            return
        self._delivered += len(events)
        mailbox.begin_kept()
        try:
            succeeded = self._handling.call(call, events)
        finally:
            mailbox.finish_kept()
        if self.memory is not None:
            if not succeeded and self.worker.stopping.is_set():
                self.memory.seal()
            self.memory.commit()

    def _next_due(self) -> float | None:
        if self.memory is None or self._due is not None or self.worker.mailbox.closed:
            return self._due
        return self.memory.due

    def _pause(self) -> None:
        if self.memory is not None and not self._batch:
            self.memory.commit()
        self._flush()

    def _plain(self, name: str, *items: object) -> None:
        call = self.callbacks.get(name)
        if call is not None:
            self._handling.call(call, *items, plain=not items)

    def _life(self, name: str) -> None:
        method = getattr(self.informer, name, None)
        if callable(method):
            self._handling.call(Call(name, method), plain=True)

    def _end(self) -> None:
        """Call ``close``, last of all and also after a stop that dropped what was queued."""
        self._handling.asynchronous.allow()
        if self.memory is not None and not self._batch:
            self.memory.commit()
        try:
            if self._begun:
                self._life("close")
        finally:
            self._handling.asynchronous.close()


def _transformed(kind: type[TaskEvent] | type[SessionEvent], answer: object) -> object:
    if answer is not None and not isinstance(answer, kind):
        raise TypeError(f"it must return a {kind.__name__} or None, got {repr_of(answer)}")
    return answer
