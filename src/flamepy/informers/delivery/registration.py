"""One registered informer: its inbox at the hub, its queue, its thread.

``Reactor.register`` makes it. The hub calls the inbox on the loop, which only queues; the
informer's thread takes the events through ``transform`` and ``where`` to the callbacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
)
from flamepy.informers import predicates
from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.dead_letters.letter import DeadLetter, letters_of
from flamepy.informers.delivery.callbacks import Callbacks
from flamepy.informers.delivery.dispatch import Dispatcher
from flamepy.informers.delivery.inbox import Inbox
from flamepy.informers.delivery.invocation import (
    CallObservers,
    Failure,
    RunningCall,
    Sending,
    log_fields,
)
from flamepy.informers.delivery.progress import Reopen, Start
from flamepy.informers.delivery.refusals import check_batches, check_sink
from flamepy.informers.delivery.reporter import Reporter
from flamepy.informers.informer import Informer
from flamepy.informers.options import Options, RegistrationStats
from flamepy.informers.outbox.sink import Outlet, Sink
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.informers.outcomes.history import Explanation
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.informers.workers.queue import Mailbox
from flamepy.informers.workers.worker import Worker
from flamepy.informers.workers.worker_pool import Bell, WorkerPool
from flamepy.runtime.clocks import monotonic, wall
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of, text_of
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.subscriptions import Scope

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a registration reports to its reactor, from the informer's thread unless noted.

    Attributes:
        log: writes what informers of one reactor fail with; the reactor flushes it.
        observers: called with each call of a callback that has ended.
        remembers: there is a checkpoint: no event may come before ``prepare``.
        dead: called with letters that were stored.
        keep_dead: stores letters; None where none are kept.
        resolved: deletes a letter that was handled after all.
        quarantined: called with the reason when it failed so often that it is left alone.
        recovered: called when it handles events again.
        keep_paused: stores why it is paused, or None, where there is a checkpoint.
        given: the program's loop, if coroutines run there.
    """

    removed: Callable[[Registration], None]  # any thread
    failed: Callable[[Failure], None]
    synced: Callable[[Registration], None]
    lagging: Callable[[Registration], None]
    missed: Callable[[MissedEnds], None] = lambda _: None
    log: RepeatedLog = field(default_factory=lambda: RepeatedLog(logger))
    observers: CallObservers = field(default_factory=list)
    remembers: bool = False
    dead: Callable[[Failure, list[DeadLetter]], None] = lambda failure, letters: None
    keep_dead: Callable[[list[DeadLetter]], None] | None = None
    resolved: Callable[[int], None] = lambda number: None
    quarantined: Callable[[Registration, str], None] = lambda one, reason: None
    recovered: Callable[[Registration], None] = lambda one: None
    keep_paused: Callable[[str, str | None], None] = lambda uid, reason: None
    given: GivenLoop = field(default_factory=GivenLoop)


class _Nothing:
    """Starts the thread of an informer without any event, so that it can be closed there."""


class Registration:
    """What ``Reactor.register`` returns; all methods may be called from any thread."""

    def __init__(self, informer: Informer, scope: Scope, options: Options, *, hooks: Hooks) -> None:
        self.informer = informer
        self.options = options
        self.uid = options.uid
        self.name = options.name or options.uid or type(informer).__name__
        self.callbacks = Callbacks(informer, options.rules, options.events)
        wants = self.callbacks
        predicates.check_judges(
            options.where, tasks=wants.wants_tasks, sessions=wants.wants_sessions
        )
        self.scope = scope
        self._hooks = hooks
        check_batches(self.callbacks, options)
        bell = Bell() if _needs_pool(options) else None  # a ring costs each event something
        mailbox = Mailbox(options.queue_size, None if bell is None else bell.ring)
        self._dispatcher = Dispatcher(
            self.name,
            self.callbacks,
            options,
            mailbox,
            Reporter(
                failed=hooks.failed,
                dead=self._store_dead,
                resolved=self._resolved,
                synced=lambda: hooks.synced(self),
                lagging=lambda: hooks.lagging(self),
                missed=hooks.missed,
                quarantined=lambda reason: hooks.quarantined(self, reason),
                recovered=lambda: hooks.recovered(self),
                log=hooks.log,
                observers=hooks.observers,
            ),
            hooks.given,
        )
        self._runner = self._dispatcher.runner
        self.worker = _worker(f"flamepy-handler-{self.name}", self._dispatcher, options, bell)
        check_sink(informer, options, remembers=hooks.remembers)
        self._outlet: Outlet | None = None
        self._sending: Sending | None = None
        self._prepared = not hooks.remembers
        self._active = True
        self._error: BaseException | None = None  # why it was never synced
        self.slow = 0
        self._dead = 0

    @property
    def resumes(self) -> bool:
        """Whether a checkpoint stores what was delivered to it."""
        given = self.options.resume
        return bool(getattr(self.informer, "resume", True) if given is None else given)

    def __repr__(self) -> str:
        return f"<Registration of {self.name}, {self.state}, synced={self._dispatcher.synced}>"

    @property
    def synced(self) -> bool:
        """True once the state at its registration was delivered to the informer."""
        return self._dispatcher.synced

    @property
    def active(self) -> bool:
        """False once it was removed or its reactor stopped."""
        return self._active

    @property
    def running(self) -> RunningCall | None:
        """The callback that runs now."""
        return self._runner.running

    @property
    def calls(self) -> list[RunningCall]:
        """The callbacks that run now; of a sink what its outbox calls as well."""
        return [*self._runner.calls, *(self._sending.calls if self._sending else ())]

    @property
    def state(self) -> str:
        """``active`` or ``removed``; with the reason, ``not started: ...`` and so on.

        The others are ``paused: ...`` and ``quarantined: ...``. What has not started yet and did
        not fail either is ``active``.
        """
        gate, failure = self._dispatcher.gate, self._dispatcher.starting.failure
        if not self._active:
            return "removed"
        if failure is not None:
            return f"not started: {failure}"
        if gate.paused is not None:
            return f"paused: {gate.paused}"
        return "active" if gate.quarantined is None else f"quarantined: {gate.quarantined}"

    def pause(self, reason: str = "paused by the program") -> None:
        """Deliver nothing until ``resume``; what is being handled is handled to its end.

        Events wait as for a callback that is slow: they coalesce when the queue is full, and no end
        is lost. With a checkpoint and a ``uid`` a restart does not end the pause. A stop drops
        what waits; with a checkpoint it is delivered after the next ``resume``.

        Args:
            reason: shown in ``state``, ``health()`` and ``flamepy handlers``.

        Raises:
            InvalidStateError: it was removed.
            InvalidArgumentError: the reason is no text.
        """
        self._check_active("pause")
        if not isinstance(reason, str) or not reason:
            raise InvalidArgumentError(f"reason must be a text, got {repr_of(reason)}")
        self._dispatcher.gate.pause(reason)
        if self.uid is not None:
            self._hooks.keep_paused(self.uid, reason)

    def resume(self) -> None:
        """End a pause, or a quarantine, and deliver what waits.

        Raises:
            InvalidStateError: it was removed.
        """
        self._check_active("resume")
        self._dispatcher.gate.resume()
        if self.uid is not None:
            self._hooks.keep_paused(self.uid, None)

    def _check_active(self, verb: str) -> None:
        if not self._active:
            raise InvalidStateError(f"{self.name} was removed; there is nothing to {verb}")

    def describe(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return name, state and counters, as JSON takes them."""
        outbox = self.outbox
        return {
            "name": self.name,
            "state": self.state,
            "synced": self.synced,
            **asdict(self.stats),
            "outbox": None if outbox is None else asdict(outbox),
        }

    @property
    def outbox(self) -> OutboxStats | None:
        """The counters of a sink's outbox; None of what is no sink, or before the start."""
        return None if self._outlet is None else self._outlet.stats

    def explain(self, session_id: str, task_id: str | None = None) -> Explanation:
        """Return what became of the latest events of a task, or of a session and all in it.

        As many events are remembered as fit into a ring of some thousand notes.
        """
        covers = self.scope.session in (None, session_id)
        return Explanation(
            name=self.name,
            in_scope=covers,
            state=self.state,
            waiting=self.worker.mailbox.count(session_id, task_id),
            waits_for=self._runner.doing(),
            running=tuple(
                one.callback for one in self.calls if _concerns(one.item, session_id, task_id)
            ),
            notes=tuple(self._dispatcher.outcomes.history.of(session_id, task_id, monotonic())),
        )

    @property
    def is_held(self) -> bool:
        """True while it is paused, in quarantine, or could not start: its events wait."""
        return self._dispatcher.gate.shut or self._dispatcher.starting.failure is not None

    @property
    def stored_name(self) -> str:
        """What its dead letters have as ``informer``."""
        return self.uid or self.name

    def _store_dead(self, failure: Failure) -> None:
        """Store an event whose handling failed for good, with the record that it was handled."""
        keep = self._hooks.keep_dead
        if keep is None:
            return
        letters = letters_of(
            failure.event,
            failure.error,
            informer=self.stored_name,
            callback=failure.callback,
            attempts=failure.attempts,
            now=wall(),
        )
        if letters and self._keep(letters, keep):
            self._dead += len(letters)
            self._hooks.dead(failure, letters)

    def _keep(self, letters: list[DeadLetter], keep: Callable[[list[DeadLetter]], None]) -> bool:
        if self.memory is not None:
            self.memory.dead(letters)  # stored with what is delivered
            return True
        return self._keep_apart(letters, keep)

    def _keep_apart(
        self, letters: list[DeadLetter], keep: Callable[[list[DeadLetter]], None]
    ) -> bool:
        try:
            keep(letters)
        except FlameError as error:
            text = "%s: %d events that failed for good could not be stored: %s"
            self._hooks.log.log(
                *(logging.WARNING, "dead", text, self.name, len(letters), text_of(error)),
                extra=log_fields(self.name, None),
            )
            return False
        return True

    def _resolved(self, number: int) -> None:
        """Delete a dead letter that was handled after all."""
        if self.memory is not None:
            self.memory.resolved(number)
            self.memory.commit()
        else:
            self._hooks.resolved(number)

    @property
    def given_loop(self) -> GivenLoop:
        """The program's loop, if coroutines run there."""
        return self._hooks.given

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
        self._runner.report(callback, item, error, attempts)

    @property
    def stats(self) -> RegistrationStats:
        """Counters, as of now."""
        running, mailbox, inbox = self._runner.running, self.worker.mailbox, self._dispatcher.inbox
        owed = 0 if inbox is None else inbox.owed
        since = [mailbox.oldest, inbox.owed_since if inbox is not None and owed else None]
        oldest = min((one for one in since if one is not None), default=None)
        return RegistrationStats(
            delivered=self._dispatcher.delivered,
            queued=mailbox.unfinished + owed,
            oldest_age=0.0 if oldest is None else max(0.0, monotonic() - oldest),
            coalesced=mailbox.coalesced + (0 if inbox is None else inbox.coalesced),
            missed=self._missed,
            failures=self._runner.failures,
            retries=self._runner.retries,
            slow=self.slow,
            dead=self._dead,
            handler_seconds=self._runner.seconds,
            stuck=self._stuck,
            running_for=None if running is None else max(0.0, monotonic() - running.since),
        )

    @property
    def _stuck(self) -> int:
        limit, now = self.options.timeout, monotonic()
        return sum(limit is not None and now - one.since > limit for one in self.calls)

    @property
    def _missed(self) -> int:
        if self.memory is not None:
            return self.memory.missed
        return 0 if self._dispatcher.inbox is None else self._dispatcher.inbox.missed_ends

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until the state at its registration was delivered to the informer.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
            InvalidStateError: it was removed before, or this is the informer's own thread, or the
                loop that its coroutines need.
        """
        self._check_not_own("wait_synced()")
        self._check_not_their_loop()
        timeout = seconds_or_none("timeout", timeout)
        if not self._dispatcher.settled.wait(timeout):
            inbox = self._dispatcher.inbox
            obstacle = "is the engine reachable?" + ("" if inbox is None else inbox.obstacle())
            why = self._dispatcher.starting.failure or self._runner.doing() or obstacle
            raise DeadlineExceededError(
                f"{self.name} was not synced within {round(timeout or 0, 3):g} s; {why}"
            )
        if not self._dispatcher.synced:
            why = (
                "was removed"
                if self._error is None
                else f"ended with its reactor: {text_of(self._error)}"
            )
            raise InvalidStateError(f"{self.name} was not synced; it {why}") from self._error

    def reopen(self) -> None:
        """Have the informer call its method ``reopen``, if it has one, between two events.

        On its thread, as ``start`` and ``close``: for files that another program has renamed.
        """
        if callable(getattr(self.informer, "reopen", None)):
            self.worker.put(Reopen())

    def remove(self, *, wait: bool = False, timeout: float = 10.0, drain: bool = False) -> None:
        """Deliver nothing more to the informer; idempotent.

        Two informers may remove each other at the same time: neither waits for the other then.
        ``informer.close()`` is still called, on the informer's thread.

        Args:
            wait: also wait until a callback that runs now has returned.
            timeout: seconds to wait for that.
            drain: deliver what is queued first, for ``timeout`` seconds, and wait.

        Raises:
            InvalidStateError: ``wait=True`` or ``drain=True`` in the informer's own callback.
        """
        timeout = seconds("timeout", timeout)
        if wait or drain:
            self._check_not_own("remove(drain=True)" if drain else "remove(wait=True)")
        self._hooks.removed(self)
        self.close(timeout if drain else 0.0)
        if self._outlet is not None:
            self._outlet.leave()
        if wait:
            limit = monotonic() + timeout
            self.worker.join(timeout)
            if self._outlet is not None:
                self._outlet.stop(max(0.0, limit - monotonic()))

    def _check_not_own(self, what: str) -> None:
        if self.worker.is_current or self._runner.asynchronous.is_current:
            raise InvalidStateError(
                f"{self.name} cannot wait for itself: {what} was called in its own callback"
            )

    def _check_not_their_loop(self) -> None:
        if self._runner.asynchronous.needs_this_thread and self.callbacks.has_coroutines:
            raise InvalidStateError(
                f"wait_synced() would block the event loop on which the coroutines of {self.name} "
                "run: write `await asyncio.to_thread(reactor.wait_synced)`"
            )

    # ------------------------------------------------------------------ for the reactor

    def prepare(self, memory: Memory | None) -> None:
        """Set what an earlier process delivered, if that is remembered; before ``begin``."""
        if memory is not None:
            self._dispatcher.remember(memory)
            if memory.paused is not None:
                self._dispatcher.gate.pause(memory.paused)
        self._prepared = True

    def send_by(self, outlet: Outlet, sending: Sending | None = None) -> None:
        """Set the outbox of a sink, and what it calls; before ``begin``."""
        self._sending = sending
        if isinstance(self.informer, Sink):
            self.informer.bind(outlet)
        self._outlet = self._dispatcher.recorder.outlet = outlet
        if self.memory is not None:
            self.memory.bind(outlet.stored)

    @property
    def outlet(self) -> Outlet | None:
        """The outbox of a sink."""
        return self._outlet

    def buried(self, failure: Failure, letters: list[DeadLetter], *, keep: bool) -> None:
        """Report entries of a sink that were given up; ``keep`` stores their letters as well."""
        store = self._hooks.keep_dead
        if store is None or (keep and not self._keep_apart(letters, store)):
            return
        self._dead += len(letters)
        self._hooks.dead(failure, letters)

    @property
    def keeps_dead(self) -> bool:
        """Whether events whose handling failed for good are stored."""
        return self._hooks.keep_dead is not None

    @property
    def log(self) -> RepeatedLog:
        """Writes what it fails with."""
        return self._hooks.log

    @property
    def is_prepared(self) -> bool:
        """False until ``prepare``, where there is a checkpoint."""
        return self._prepared

    @property
    def memory(self) -> Memory | None:
        """What was delivered to it, where a checkpoint stores that."""
        return self._dispatcher.memory

    @property
    def compares(self) -> frozenset[tuple[str, int]] | None:
        """The unfinished tasks that an earlier process delivered; None without a memory."""
        return None if self.memory is None else self.memory.unfinished

    def begin(self, inbox: Inbox | None = None) -> None:
        """Queue ``informer.start()`` for its thread, before the first event of ``inbox``."""
        if not self._active:
            return
        self._dispatcher.begin(inbox)
        start = getattr(self.informer, "start", None)
        if callable(start):
            self.worker.put(Start(start))

    def put(self, item: object) -> bool:
        """Queue something for the informer's thread; False if an event found no place."""
        return self.worker.put(item)

    @property
    def ended(self) -> bool:
        """True once its thread has ended, after a removal."""
        return not self._active and self.worker.join(0.0)

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
        drained = self.worker.stop(0.0 if self.is_held else timeout)
        self._dispatcher.settled.set()
        return drained

    def abandon(self) -> None:
        """Drop what is queued, and wait no longer for the callback that runs."""
        self._active = False
        self.worker.abandon()
        self._dispatcher.settled.set()

    def _deactivate(self) -> None:
        self._active = False
        closes = self._dispatcher.begun and callable(getattr(self.informer, "close", None))
        if closes and self.worker.thread is None:
            self.worker.put(_Nothing())

    def expire(self, call: RunningCall) -> None:
        """Count a callback that runs longer than the time limit, and act on it; on the loop.

        A coroutine is cancelled; a thread continues, and another one may take its place. What an
        outbox calls continues in any case: a batch that is ended halfway is sent again whole.
        """
        self.slow += 1
        if call not in self._runner.calls:
            return
        limit = self.options.timeout
        if limit is not None and self._runner.asynchronous.expire(call.thread, limit):
            return
        if self.options.on_stuck == "replace" and isinstance(self.worker, WorkerPool):
            self.worker.replace(call.thread)

    def stack(self, call: RunningCall | None = None) -> str:
        """Return where a callback that runs now is, as text; by default the one that runs longest.

        Empty if none does.
        """
        call = call or self._runner.running
        if call is None:
            return ""
        sent = "" if self._sending is None else self._sending.stack(call.thread)
        return sent or self._runner.stack(call)


def _concerns(item: object, session_id: str, task_id: str | None) -> bool:
    items = item if isinstance(item, list) else [item]
    return any(
        isinstance(one, (TaskEvent, SessionEvent))
        and one.session_id == session_id
        and task_id in (None, one.task.id if isinstance(one, TaskEvent) else "")
        for one in items
    )


def _needs_pool(options: Options) -> bool:
    """Return whether one plain thread is not enough."""
    return options.workers > 1 or options.key is not None or options.on_stuck != "report"


def _worker(name: str, dispatcher: Dispatcher, options: Options, bell: Bell | None) -> Worker:
    """Return one thread, or several where there is a bell for them."""
    mailbox = dispatcher.mailbox
    if bell is None:
        return Worker(name, dispatcher, mailbox)
    return WorkerPool(name, dispatcher, mailbox, bell, size=options.workers)
