"""What an informer's threads do: each event through ``transform`` and ``where`` to the callbacks.

``registration`` owns one; ``worker`` or ``worker_pool`` calls it on the informer's threads. What
was delivered is recorded in the informer's memory, if there is a checkpoint, before the thread
takes another event. A callback that is to be called again holds no thread: what is left of the
event (``progress``) goes back to the worker, with a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from functools import partial

from flamepy.errors import FlameError
from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.checkpoint.resumption import Presence, Step
from flamepy.informers.dead_letters.letter import Retried
from flamepy.informers.delivery.callbacks import Call, Callbacks
from flamepy.informers.delivery.inbox import Gone, Inbox, LagMarker, ShownCounters, Synced
from flamepy.informers.delivery.invocation import CallbackRunner
from flamepy.informers.delivery.places import WHOLE, Places
from flamepy.informers.delivery.progress import (
    AnyEvent,
    Attempts,
    Batch,
    BatchFirst,
    Delivery,
    Flush,
    PlainCall,
    Reopen,
    Start,
    transformed,
    wanted,
)
from flamepy.informers.delivery.recorder import Recorder
from flamepy.informers.delivery.reporter import Reporter
from flamepy.informers.delivery.rule_watch import RuleWatch
from flamepy.informers.delivery.starting import Starting
from flamepy.informers.delivery.transitions import Transitions, is_inferred
from flamepy.informers.options import Options
from flamepy.informers.outcomes.breaker import Breaker
from flamepy.informers.outcomes.gate import Gate
from flamepy.informers.outcomes.outcomes import Outcomes
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.informers.workers.key_queue import Key
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.informers.workers.worker import KEPT, Again, Kept, WorkSource
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent

logger = logging.getLogger(__name__)


class Dispatcher(WorkSource):
    """Delivers one informer's events; called on its thread unless noted.

    Args:
        name: the informer's, for logs.
        callbacks: the informer's.
        options: of the registration.
        mailbox: where the events come from.
        reporter: see there.
        given: the program's loop, if coroutines run there.
    """

    def __init__(
        self,
        name: str,
        callbacks: Callbacks,
        options: Options,
        mailbox: Mailbox,
        reporter: Reporter,
        given: GivenLoop | None = None,
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
            observers=reporter.observers,
            given=given,
        )
        self.starting = Starting(self.runner, mailbox.discarded)
        breaker = Breaker(options.max_failures, options.probe_delay)
        self.gate = Gate(
            breaker, mailbox.discarded, opened=reporter.quarantined, closed=reporter.recovered
        )
        self.outcomes = Outcomes(self.gate)
        self._filters: list[tuple[Call, Callable[[type[AnyEvent], object], object]]] = []
        if options.transform is not None:
            self._filters.append((Call("transform", options.transform), transformed))
        if options.where is not None:
            self._filters.append((Call("where", options.where), wanted))
        self._asks = bool(self._filters) or callbacks.events is not None
        self._transitions = Transitions() if options.transitions == "complete" else None
        self.recorder = Recorder(reporter)
        self._recording = self.recorder.guard
        self._rules: RuleWatch | None = None
        if callbacks.rules:
            report = partial(self.runner.report, "rules", attempts=1)
            self._rules = RuleWatch(callbacks.rules, report, self._recording)
        self.inbox: Inbox | None = None
        self._whole = callbacks.batches and options.key is None  # one batch of all keys
        self._places = Places(
            options.key, whole=self._whole, report=partial(self.runner.report, "key", attempts=1)
        )
        self._batches: dict[Hashable, Batch] = {}  # each is used by the thread that has its key
        # What is collected counts as queued: a larger batch would never be full.
        self._batch_size = min(options.batch_size, options.queue_size)
        self._begun = False
        self.delivered = 0
        self.settled = Flag()  # synced, or never will be
        self.synced = False

    @property
    def memory(self) -> Memory | None:
        """What was delivered, where a checkpoint stores that."""
        return self.recorder.memory

    def remember(self, memory: Memory) -> None:
        """Compare with what an earlier process delivered, and record what this one does.

        From any thread, before ``begin``.
        """
        self.recorder.memory = memory
        if self._rules is not None:
            self._rules.remember(memory)

    def begin(self, inbox: Inbox | None = None) -> None:
        """Record that events will come, from ``inbox``; on the loop."""
        self.inbox = inbox
        self._begun = True

    @property
    def begun(self) -> bool:
        """True once events were to come: ``close`` will be called at the end, if it started."""
        return self._begun

    def place_of(self, item: object) -> tuple[Key, Hashable, bool]:
        """Return key, group and lane of an item; see ``WorkSource``."""
        return self._places.of(item)

    def admits(self) -> bool:
        """Wait while the informer is paused or in quarantine, and for room in its outbox."""
        if self.gate.shut and not self.gate.passes():
            return False
        outlet = self.recorder.outlet
        return outlet is None or outlet.room(self.mailbox.discarded, self.recorder.commit)

    def handle(self, item: object, work: Work) -> Again | Kept | None:
        """Handle an item of the queue: an event, a marker between events, or what is left."""
        if self._rules is not None and isinstance(item, (TaskEvent, SessionEvent)):
            self._rules.observe(item)
        if isinstance(item, (TaskEvent, SessionEvent)):
            if not self._whole or isinstance(item, TaskEvent) or not self._batches:
                return self._event(item, work)
        elif isinstance(item, Retried):
            return self._retry(item, work)
        elif isinstance(item, Delivery):
            self.runner.retries += item.attempts.made > 0
            return self._advance(item, work)
        elif isinstance(item, Batch):
            self.runner.retries += 1
            return self._call_batch(item)
        elif isinstance(item, BatchFirst):
            self.runner.retries += 1
            again = self._call_batch(item.batch)
            if again is not None:
                return Again(again.at, item)
            item = item.item
        return self._after_batch(item, work)

    def _retry(self, item: Retried, work: Work) -> Again | Kept | None:
        """Handle the event of a dead letter once more."""
        if isinstance(item.event, OverdueEvent):
            return self._call(PlainCall("on_overdue", (item.event,), retried=item.number))
        return self._advance(Delivery([Step(item.event, True)], retried=item.number), work)

    def _after_batch(self, item: object, work: Work) -> Again | Kept | None:
        """Handle an item before which the batch of the whole informer is delivered."""
        batch = self._batches.pop(WHOLE, None) if self._whole else None
        if batch is not None:
            again = self._call_batch(batch)
            if again is not None:
                return Again(again.at, BatchFirst(batch, item))
        if isinstance(item, (TaskEvent, SessionEvent)):
            return self._event(item, work)
        return self._marker(item)

    def _marker(self, item: object) -> Again | None:
        if isinstance(item, LagMarker):
            self._reporter.lagging()
        elif isinstance(item, Synced):
            return self._sync(item)
        elif isinstance(item, PlainCall):
            return self._call(item)
        elif isinstance(item, ConnectionState):
            return self._plain("on_connection", item)
        elif isinstance(item, FlameError):
            return self._plain("on_error", item)
        elif isinstance(item, Start):
            self.starting.run(item.start)
        elif isinstance(item, Reopen):
            self._life("reopen")
        elif isinstance(item, Flush):
            batch = self._batches.pop(item.key, None)
            return None if batch is None else self._call_batch(batch)
        elif self.memory is not None:
            with self._recording:
                if isinstance(item, Gone):
                    self.memory.gone(item.session, item.missed)
                elif isinstance(item, ShownCounters) and self.inbox is not None:
                    self.memory.shown(self.inbox.take_shown())
        return None

    # ------------------------------------------------------------------ events

    def _event(self, event: AnyEvent, work: Work) -> Again | Kept | None:
        if self.memory is not None:
            with self._recording:
                steps = (
                    self.memory.task(event)
                    if isinstance(event, TaskEvent)
                    else self.memory.session(event)
                )
            if not steps:
                self.outcomes.known(event)
            steps = self._completed(steps)
            return self._advance(Delivery(steps), work) if steps else None
        if self._transitions is not None:
            return self._advance(Delivery(self._completed([Step(event, True)])), work)
        batches = self.callbacks.batches and isinstance(event, TaskEvent)
        if self._asks or batches or self.recorder.outlet is not None:
            return self._advance(Delivery([Step(event, True)]), work)
        calls, started = self._calls_for(event), monotonic()
        self.delivered += 1
        for at, call in enumerate(calls):
            error = self.runner.attempt(call, event)
            if error is not None:
                left = Delivery([Step(event, True)], event, calls[at:], called=True)
                again = self._failed(left, call.name, event, error)
                return again or self._advance(left, work)
            if self.mailbox.discarded.is_set():
                return None
        self.outcomes.delivered(event, started, called=bool(calls))
        return None

    def _completed(self, steps: list[Step]) -> list[Step]:
        """Return the steps with those of the states that were skipped, if these are wanted."""
        if self._transitions is None:
            return steps
        completed: list[Step] = []
        for event, deliver in steps:
            if isinstance(event, TaskEvent):
                events = self._transitions.expand(event)
                completed += (
                    [Step(one, True) for one in events] if deliver else [Step(event, False)]
                )
            else:
                completed.append(Step(event, deliver))
        return completed

    def _calls_for(self, event: AnyEvent) -> tuple[Call, ...]:
        if isinstance(event, SessionEvent):
            return self.callbacks.for_session(event)
        return self.callbacks.for_task(event)

    def _advance(self, delivery: Delivery, work: Work) -> Again | Kept | None:
        """Deliver and record an event, from where it has come to."""
        while delivery.steps:
            event, deliver = delivery.steps[0]
            if not deliver:
                self.outcomes.known(event)
                self._skip(event, work.key)
                delivery.next_step()
                continue
            if self.callbacks.batches and isinstance(event, TaskEvent):
                again = self._collect(delivery, work)
            else:
                again = self._deliver(delivery)
            if again is not None:
                return again
            if self.mailbox.discarded.is_set() and delivery.steps:
                return None
        batch = self._batches.get(self._batch_key(work.key)) if self._batches else None
        return KEPT if batch is not None and batch.works[-1:] == [work] else None

    def _batch_key(self, key: Hashable) -> Hashable:
        return WHOLE if self._whole else key

    def _deliver(self, delivery: Delivery) -> Again | None:
        """Call the callbacks of the next event, and record it; a stop may cut that short."""
        again = self._prepare(delivery)
        if again is not None or self.mailbox.discarded.is_set():
            return again
        passed, started = delivery.passed, monotonic()
        while passed is not None and (delivery.calls or delivery.error):
            again = self._report(delivery)
            if again is not None:
                return again
            if not delivery.calls:
                break
            call = delivery.calls[0]
            error = self.runner.attempt(call, passed)
            if error is not None:
                again = self._failed(delivery, call.name, passed, error)
                if again is not None:
                    return again
            else:
                delivery.calls = delivery.calls[1:]
                delivery.attempts.reset()
            stopped = self.mailbox.discarded.is_set()
            if stopped and (error is not None or delivery.calls):
                return None
        if passed is not None and not delivery.failures:
            self.outcomes.delivered(passed, started, called=delivery.called)
        self._record(delivery)
        return None

    def _prepare(self, delivery: Delivery) -> Again | None:
        """Ask ``events``, ``transform`` and ``where``, unless that was done."""
        if delivery.passed is not None:
            return None
        again = self._report(delivery)
        if again is not None or delivery.failures:
            return again  # it failed for good: the event is left out
        event: AnyEvent = delivery.event
        if delivery.retried is None and not self.callbacks.chooses(event):
            self.outcomes.filtered(event, "events")
            return None
        for call, check in self._filters:
            answer, error = self.runner.ask(call, event)
            if error is None:
                try:
                    answer = check(type(event), answer)
                except BaseException as wrong:  # of a user's __bool__ as well
                    error = wrong
            if error is not None:
                again = self._failed(delivery, call.name, event, error)
                return again or self._report(delivery)
            left_out = not answer if call.name == "where" else answer is None
            if left_out:
                self.outcomes.filtered(event, call.name)
                return None
            if call.name != "where":
                event = answer  # type: ignore[assignment]  # checked
        delivery.passed = event
        delivery.attempts.reset()
        if not (self.callbacks.batches and isinstance(event, TaskEvent)):
            delivery.calls = self._calls_for(event)
            delivery.called = bool(delivery.calls)
            self.delivered += 1
        return None

    # ------------------------------------------------------------------ errors

    def _failed(
        self, delivery: Delivery, name: str, item: object, error: BaseException
    ) -> Again | None:
        """Return when a callback that raised is called again; None if it failed for good."""
        again = self._again(delivery, delivery.attempts, error)
        if again is not None:
            self.outcomes.retried(item, error, delivery.attempts.made, again.at)
            return again
        failure = self.runner.fail(name, item, error, delivery.attempts.made)
        if failure is not None:
            self.outcomes.failed(item, error, delivery.attempts.made)
        delivery.attempts.reset()
        delivery.calls = delivery.calls[1:]
        if failure is not None:
            delivery.failures.append(failure)
            delivery.error = self.runner.error_of(failure)
        return None

    def _again(self, item: object, attempts: Attempts, error: BaseException) -> Again | None:
        now = monotonic()
        attempts.failed(now)
        wait = self.runner.wait_after(error, attempts.made, attempts.since)
        return None if wait is None else Again(now + wait, item)

    def _report(self, one: Delivery | Batch) -> Again | None:
        """Call ``on_error`` with what failed for good before, if anything did."""
        call = self.callbacks.get("on_error")
        if one.error is None or call is None or self.mailbox.discarded.is_set():
            return None
        error = self.runner.attempt(call, one.error)
        if error is not None:
            again = self._again(one, one.attempts, error)
            if again is not None:
                return again
            self.runner.fail("on_error", one.error, error, one.attempts.made)
        one.error = None
        one.attempts.reset()
        return None

    # ------------------------------------------------------------------ what is recorded

    def _record(self, delivery: Delivery) -> None:
        """Record what became of the next event."""
        self.recorder.record(
            delivery.event,
            delivery.passed if delivery.called else None,
            delivery.failures,
            called=delivery.called,
            retried=delivery.retried,
        )
        delivery.next_step()

    def _skip(self, event: AnyEvent, key: Hashable) -> None:
        """Record an event that needs no delivery, after a batch that may have earlier ones."""
        if is_inferred(event):
            return
        batch = self._batches.get(self._batch_key(key))
        if batch is not None:
            batch.notes.append(event)
        else:
            self.recorder.skip(event)

    # ------------------------------------------------------------------ batches

    def _collect(self, delivery: Delivery, work: Work) -> Again | None:
        """Put the next event into the batch of its key; deliver that when it is full."""
        again = self._prepare(delivery)
        if again is not None or self.mailbox.discarded.is_set():
            return again
        event, passed = delivery.event, delivery.passed
        if delivery.retried is not None or delivery.failures:
            if not isinstance(passed, TaskEvent):
                self._record(delivery)
                return None
            delivery.next_step()
            return self._call_batch(Batch(None, 0.0, [passed], retried=delivery.retried))
        delivery.next_step()
        if not isinstance(passed, TaskEvent):
            self._skip(event, work.key)
            return None
        key = self._batch_key(work.key)
        batch = self._batches.get(key)
        if batch is None:
            due = monotonic() + self.options.batch_delay
            batch = self._batches[key] = Batch(key, due)
        self.outcomes.collected(passed)
        batch.events.append(passed)
        batch.notes.append(event)
        batch.works.append(work)
        full = len(batch.events) >= self._batch_size
        if (full or not self.mailbox.room) and not delivery.steps:
            del self._batches[key]
            return self._call_batch(batch)
        return None

    def _call_batch(self, batch: Batch) -> Again | None:
        """Call ``on_batch``, and record what it got; a stop may cut that short."""
        call = self.callbacks.get("on_batch")
        assert call is not None
        failure = None
        if batch.events:
            if not batch.attempts.made:
                self.delivered += len(batch.events)
            self.mailbox.resume(*batch.works)
            started = monotonic()
            error = self.runner.attempt(call, batch.events)
            if error is not None:
                again = self._again(batch, batch.attempts, error)
                if again is not None:
                    for work in batch.works:
                        self.mailbox.keep(work)
                    return again
                failure = self.runner.fail("on_batch", batch.events, error, batch.attempts.made)
                batch.error = None if failure is None else self.runner.error_of(failure)
                if failure is not None:
                    self.outcomes.failed(batch.events, error, batch.attempts.made)
                batch.attempts.reset()
            else:
                self.outcomes.delivered_batch(batch.events, started)
            for work in batch.works:
                self.mailbox.finish(work)
            batch.events = []
            if error is not None and self.mailbox.discarded.is_set():
                return None
            self.recorder.batch(batch.notes, failure, retried=batch.retried)
        return self._report(batch)

    # ------------------------------------------------------------------ markers

    def _sync(self, marker: Synced) -> Again | None:
        """Deliver the events of stored tasks that were not seen again, then ``on_synced``."""
        presence = marker.presence or Presence()
        for key in [] if self._whole else list(self._batches):
            self._flush_soon(key)
        missing: list[AnyEvent] = []
        if self.memory is not None:
            with self._recording:
                for missed in self.memory.lost(presence):
                    self._reporter.missed(missed)
                missing = list(self.memory.missing(presence))
        for event in missing:
            self.mailbox.push(Delivery(self._completed([Step(event, True)])))
        end = PlainCall("on_synced", presence=presence)
        if missing or self._batches:
            self.mailbox.push(end)
            return None
        return self._call(end)

    def _plain(self, name: str, *items: object) -> Again | None:
        return self._call(PlainCall(name, items))

    def _call(self, one: PlainCall) -> Again | None:
        """Call a callback that gets no event."""
        if one.presence is not None and not one.attempts.made:
            if self.memory is not None:
                with self._recording:
                    self.memory.synced(one.presence)
            self.synced = True
        call = self.callbacks.get(one.name)
        if call is not None:
            item = one.items[0] if one.items else None
            error = self.runner.attempt(call, item, plain=not one.items)
            if error is not None:
                again = self._again(one, one.attempts, error)
                if again is not None:
                    return again
                self.runner.report(one.name, item, error, one.attempts.made)
            if isinstance(item, OverdueEvent):
                self.recorder.overdue(item, retried=None if error else one.retried)
            if self._rules is not None and isinstance(item, OverdueEvent):
                self._rules.delivered(item)
        if one.presence is not None:
            self.settled.set()
            self._reporter.synced()
        return None

    def _life(self, name: str) -> None:
        method = getattr(self.informer, name, None)
        # A sink's ``close`` belongs to the threads that send.
        if callable(method) and not (name == "close" and self.recorder.outlet is not None):
            self.runner.call(Call(name, method), plain=True)

    # ------------------------------------------------------------------ pauses and the end

    def due(self) -> float | None:
        """Return when ``idle`` wants to be called."""
        times = [one.due for one in list(self._batches.values()) if not one.flushing]
        if self._rules is not None and not self.mailbox.closed:
            times += [one for one in (self._rules.due(),) if one is not None]
        written = self.recorder.due
        if written is not None and not self.mailbox.closed:
            times.append(written)
        return min(times, default=None) if times else None

    def idle(self) -> None:
        """Write what is to be remembered, and have batches delivered that are old enough."""
        now = monotonic()
        for event in self._rules.overdue() if self._rules is not None else ():
            self.mailbox.push(PlainCall("on_overdue", (event,)))
        if self.recorder.due is not None:
            self.recorder.commit()
        for key, batch in list(self._batches.items()):
            if not batch.flushing and (batch.due <= now or self.mailbox.closed):
                self._flush_soon(key)

    def _flush_soon(self, key: Hashable) -> None:
        batch = self._batches.get(key)
        if batch is not None:
            batch.flushing = True
            self.mailbox.push(Flush(key))

    def doing(self) -> str:
        """Return what runs now, with its stack; from any thread."""
        return self.runner.doing(stacks=True)

    def interrupt(self) -> None:
        """Cancel the coroutines that run now, and end waits; from any thread."""
        self.gate.wake()
        self.runner.asynchronous.cancel()

    def ended(self) -> None:
        """Call ``close``, last of all and also after a stop that dropped what was queued."""
        self.runner.asynchronous.allow()
        self.recorder.commit()
        try:
            if self._begun and self.starting.failure is None:
                self._life("close")
        finally:
            self.runner.asynchronous.close()
