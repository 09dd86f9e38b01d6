"""What an informer's thread does: each event through ``transform`` and ``where`` to the callbacks.

``registration`` owns one; ``worker`` calls it on the informer's thread. What is delivered is
recorded in the informer's memory, if there is a checkpoint, before the next event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from flamepy.errors import FlameError
from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.checkpoint.resumption import Presence, Step
from flamepy.informers.dead_letters.letter import Retried
from flamepy.informers.delivery.callbacks import Call, Callbacks
from flamepy.informers.delivery.inbox import Gone, Inbox, LagMarker, ShownCounters, Synced
from flamepy.informers.delivery.invocation import CallbackRunner, Failure
from flamepy.informers.delivery.queue import Mailbox
from flamepy.informers.delivery.worker import WorkSource
from flamepy.informers.options import Options
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog
from flamepy.texts import repr_of
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.missed import MissedEnds

logger = logging.getLogger(__name__)


class Start:
    """The marker before the first event: ``informer.start()``."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """What a dispatcher reports, on the informer's thread.

    Attributes:
        failed: a callback failed for good.
        resolved: a dead letter was handled after all.
        synced: everything present at the registration was delivered.
        lagging: events wait for room in the queue, which is empty now.
        missed: ends that an earlier process saw cannot be delivered.
        log: writes what callbacks fail with; the reactor flushes it.
    """

    failed: Callable[[Failure], None]
    resolved: Callable[[int], None]
    synced: Callable[[], None]
    lagging: Callable[[], None]
    missed: Callable[[MissedEnds], None] = lambda _: None
    log: RepeatedLog = field(default_factory=lambda: RepeatedLog(logger))


class Dispatcher(WorkSource):
    """Delivers one informer's events; called on its thread unless noted.

    Args:
        name: the informer's, for logs.
        callbacks: the informer's.
        options: of the registration.
        mailbox: where the events come from.
        reporter: see there.
    """

    def __init__(
        self,
        name: str,
        callbacks: Callbacks,
        options: Options,
        mailbox: Mailbox,
        reporter: Reporter,
    ) -> None:
        self.informer = callbacks.informer
        self.callbacks = callbacks
        self.options = options
        self.mailbox = mailbox
        self._reporter = reporter
        self.runner = CallbackRunner(
            name,
            retry=options.retry,
            stopping=mailbox.discarded,
            failed=reporter.failed,
            on_error=callbacks.get("on_error"),
            log=reporter.log,
        )
        self._where = None if options.where is None else Call("where", options.where)
        self._transform = (
            None if options.transform is None else Call("transform", options.transform)
        )
        self.memory: Memory | None = None
        self.inbox: Inbox | None = None
        self._batch: list[TaskEvent] = []
        # What is collected counts as queued: a larger batch would never be full.
        self._batch_size = min(options.batch_size, options.queue_size)
        self._collected = False  # the event that is being handled is in the batch
        self._due: float | None = None
        self._begun = False
        self.delivered = 0
        self.settled = Flag()  # synced, or never will be
        self.synced = False

    def remember(self, memory: Memory) -> None:
        """Compare with what an earlier process delivered, and record what this one does.

        From any thread, before ``begin``.
        """
        self.memory = memory

    def begin(self, inbox: Inbox | None = None) -> None:
        """Record that events will come, from ``inbox``; on the loop."""
        self.inbox = inbox
        self._begun = True

    @property
    def begun(self) -> bool:
        """True once events were to come: ``close`` will be called at the end."""
        return self._begun

    def handle(self, item: object) -> None:
        """Handle an item of the queue: an event, or a marker between events."""
        if isinstance(item, TaskEvent):
            self._collected = False
            self._task(item)
            if self._collected:
                self.mailbox.keep()
            return
        if self._batch:
            self._flush()
        if isinstance(item, SessionEvent):
            self._session(item)
        elif isinstance(item, Retried):
            self._retry(item)
        elif isinstance(item, LagMarker):
            self._reporter.lagging()
        elif isinstance(item, Gone):
            if self.memory is not None:
                self.memory.gone(item.session, item.missed)
        elif isinstance(item, ShownCounters):
            if self.memory is not None and self.inbox is not None:
                self.memory.shown(self.inbox.take_shown())
        elif isinstance(item, Synced):
            if self.memory is not None and not self._deliver_missing(self.memory, item):
                return
            self.synced = True
            self._plain("on_synced")
            self.settled.set()
            self._reporter.synced()
        elif isinstance(item, ConnectionState):
            self._plain("on_connection", item)
        elif isinstance(item, FlameError):
            self._plain("on_error", item)
        elif isinstance(item, Start):
            self._life("start")

    def _retry(self, item: Retried) -> None:
        """Handle a dead letter's event again; what fails once more is stored once more."""
        failures = self.runner.failures
        if self._deliver(item.event) is None:
            return
        self._flush()
        if self.runner.failures == failures:
            self._reporter.resolved(item.number)
        elif self.memory is not None:
            self.memory.commit()

    def _task(self, event: TaskEvent) -> None:
        if self.memory is None:
            self._deliver(event)
            return
        for step in self.memory.task(event):
            if not self._remember(self.memory, step):
                return

    def _session(self, event: SessionEvent) -> None:
        if self.memory is None:
            self._deliver(event)
            return
        for step in self.memory.session(event):
            if not self._remember(self.memory, step):
                return

    def _deliver_missing(self, memory: Memory, marker: Synced) -> bool:
        """Deliver the events of stored tasks that were not seen again; False if the stop cut it."""
        presence = marker.presence or Presence()
        for missed in memory.lost(presence):
            self._reporter.missed(missed)
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
        called = self._deliver(event) if step.tell else False
        if called is None:
            return False
        if not batches:
            memory.note(event)
        if called:
            memory.commit()
        elif not self._batch:
            memory.commit_many()
        return True

    def _deliver(self, event: TaskEvent | SessionEvent) -> bool | None:
        """Return whether a callback was called; None if the stop cut them short."""
        passed = self._passed(event)
        if self.mailbox.discarded.is_set():
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
        self.delivered += 1
        for call in calls:
            succeeded = self.runner.call(call, passed)
            if self.mailbox.discarded.is_set() and not (succeeded and call is calls[-1]):
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
            answer = self.runner.ask(self._transform, event, partial(_transformed, type(event)))
            if not isinstance(answer, (TaskEvent, SessionEvent)):
                return None
            passed = answer
        if self._where is None or self.runner.ask(self._where, passed, bool) is True:
            return passed
        return None

    def _flush(self) -> None:
        events, self._batch, self._due, self._collected = self._batch, [], None, False
        call, mailbox = self.callbacks.get("on_batch"), self.mailbox
        if not events or call is None:
            return
        self.delivered += len(events)
        mailbox.begin_kept()
        try:
            succeeded = self.runner.call(call, events)
        finally:
            mailbox.finish_kept()
        if self.memory is not None:
            if not succeeded and self.mailbox.discarded.is_set():
                self.memory.seal()
            self.memory.commit()

    def due(self) -> float | None:
        """Return when ``idle`` wants to be called."""
        if self.memory is None or self._due is not None or self.mailbox.closed:
            return self._due
        return self.memory.due

    def idle(self) -> None:
        """Write what is to be remembered, and deliver a batch that is old enough."""
        if self.memory is not None and not self._batch:
            self.memory.commit()
        self._flush()

    def _plain(self, name: str, *items: object) -> None:
        call = self.callbacks.get(name)
        if call is not None:
            self.runner.call(call, *items, plain=not items)

    def _life(self, name: str) -> None:
        method = getattr(self.informer, name, None)
        if callable(method):
            self.runner.call(Call(name, method), plain=True)

    def interrupt(self) -> None:
        """Cancel the coroutine that runs now; from any thread."""
        self.runner.asynchronous.cancel()

    def ended(self) -> None:
        """Call ``close``, last of all and also after a stop that dropped what was queued."""
        self.runner.asynchronous.allow()
        if self.memory is not None and not self._batch:
            self.memory.commit()
        try:
            if self._begun:
                self._life("close")
        finally:
            self.runner.asynchronous.close()


def _transformed(kind: type[TaskEvent] | type[SessionEvent], answer: object) -> object:
    if answer is not None and not isinstance(answer, kind):
        raise TypeError(f"it must return a {kind.__name__} or None, got {repr_of(answer)}")
    return answer
