"""One registered informer: its options, its inbox at the hub, its queue, its thread.

``Reactor.register`` makes it. The hub tells the inbox on the loop, which only queues; the
informer's thread takes the events through ``transform`` and ``where`` to the callbacks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
)
from flamepy.informers.callbacks import Call, Callbacks
from flamepy.informers.dispatch import Worker
from flamepy.informers.handling import Failure, Handling, Running
from flamepy.informers.inbox import REPLAYS, Behind, Synced
from flamepy.informers.informer import Informer
from flamepy.informers.mailbox import QUEUE_SIZE
from flamepy.types import ConnectionState, RetryPolicy
from flamepy.watching.events import SessionEvent, TaskEvent
from flamepy.watching.subscriptions import Scope

logger = logging.getLogger(__name__)

Where = Callable[[TaskEvent], object]
Transform = Callable[[TaskEvent], "TaskEvent | None"]
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How events reach one informer; the arguments of ``Reactor.register`` of the same names.

    Raises:
        InvalidArgumentError: names the value and the rule.
    """

    where: Where | None = None
    transform: Transform | None = None
    name: str | None = None
    uid: str | None = None
    queue_size: int = QUEUE_SIZE
    retry: RetryPolicy | None = None
    timeout: float | None = TIMEOUT
    replay: str = "all"
    batch_size: int = 100
    batch_delay: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("queue_size", self.queue_size), ("batch_size", self.batch_size)):
            if value < 1:
                raise InvalidArgumentError(f"{name} must be 1 or more, got {value}")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidArgumentError(
                f"timeout must be more than 0 s, got {self.timeout}; None reports no slow callback"
            )
        if not self.batch_delay >= 0:
            raise InvalidArgumentError(f"batch_delay must be 0 s or more, got {self.batch_delay}")
        if self.replay not in REPLAYS:
            raise InvalidArgumentError(
                f"replay must be one of {', '.join(map(repr, REPLAYS))}, got {self.replay!r}"
            )
        for name, function in (("where", self.where), ("transform", self.transform)):
            if function is not None and not callable(function):
                raise InvalidArgumentError(
                    f"{name} must be callable with an event, got {function!r}; see "
                    "flamepy.informers.predicates"
                )


@dataclass(frozen=True, slots=True)
class RegistrationStats:
    """Counters of one registration.

    Attributes:
        delivered: events that reached the callbacks.
        queued: events and markers that wait.
        coalesced: changes that were folded into later ones, or left out while the queue was full.
        failures: callbacks that failed for good.
        retries: callbacks called again after an error.
        slow: callbacks that ran longer than the ``timeout``.
        handler_seconds: seconds spent in callbacks.
        running_for: seconds for which the present callback has been running, else None.
    """

    delivered: int
    queued: int
    coalesced: int
    failures: int
    retries: int = 0
    slow: int = 0
    handler_seconds: float = 0.0
    running_for: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a registration tells its reactor, from the informer's thread unless noted."""

    removed: Callable[[Registration], None]  # any thread
    failed: Callable[[Failure], None]
    synced: Callable[[Registration], None]
    behind: Callable[[Registration], None]


class _Start:
    """The marker before the first event: ``informer.start()``."""


class _Close:
    """The marker behind the last event: ``informer.close()``."""


class Registration:
    """What ``Reactor.register`` returns; all methods may be called from any thread."""

    def __init__(self, informer: Informer, scope: Scope, options: Options, *, hooks: Hooks) -> None:
        self.informer = informer
        self.options = options
        self.uid = options.uid
        self.name = options.name or options.uid or type(informer).__name__
        self.callbacks = Callbacks(informer)
        self.scope = scope
        self._hooks = hooks
        self.worker = Worker(
            f"flamepy-handler-{self.name}",
            self._handle,
            limit=options.queue_size,
            due=lambda: self._due,
            idle=self._flush,
            interrupt=lambda: self._handling.asynchronous.cancel(),
            ended=lambda: self._handling.asynchronous.close(),
        )
        self._handling = Handling(
            self.name,
            retry=options.retry,
            stopping=self.worker.stopping,
            failed=hooks.failed,
            on_error=self.callbacks.get("on_error"),
        )
        self._batch: list[TaskEvent] = []
        self._due: float | None = None
        self._settled = threading.Event()  # synced, or never will be
        self._synced = False
        self._active = True
        self._delivered = 0
        self.slow = 0
        self.inbox_coalesced: Callable[[], int] = lambda: 0

    def __repr__(self) -> str:
        state = "active" if self._active else "removed"
        return f"<Registration of {self.name}, {state}, synced={self._synced}>"

    @property
    def synced(self) -> bool:
        """True once the informer was told everything that was there at its registration."""
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
    def stats(self) -> RegistrationStats:
        """Counters, as of now."""
        running = self._handling.running
        return RegistrationStats(
            delivered=self._delivered,
            queued=len(self.worker.mailbox) + len(self._batch),
            coalesced=self.worker.mailbox.coalesced + self.inbox_coalesced(),
            failures=self._handling.failures,
            retries=self._handling.retries,
            slow=self.slow,
            handler_seconds=self._handling.seconds,
            running_for=None if running is None else max(0.0, monotonic() - running.since),
        )

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until the informer was told everything that was there at its registration.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
            InvalidStateError: it was removed before, or this is the informer's own thread.
        """
        if self.worker.is_current:
            raise InvalidStateError(
                f"{self.name} cannot wait for itself: wait_synced() was called in its own callback"
            )
        if not self._settled.wait(timeout):
            raise DeadlineExceededError(
                f"{self.name} was not synced within {timeout} s; is the engine reachable?"
            )
        if not self._synced:
            raise InvalidStateError(f"{self.name} was removed before it was synced")

    def remove(self, *, wait: bool = False, timeout: float = 10.0) -> None:
        """Tell the informer nothing more; idempotent.

        Two informers may remove each other at the same time: neither waits for the other then.

        Args:
            wait: also wait until a callback that runs now has returned.
            timeout: seconds to wait for that.

        Raises:
            InvalidStateError: ``wait=True`` in the informer's own callback.
        """
        if wait and self.worker.is_current:
            raise InvalidStateError(
                f"{self.name} cannot wait for itself: remove(wait=True) in its own callback"
            )
        self._hooks.removed(self)
        self.close(0.0)
        if wait:
            self.worker.join(timeout)

    # ------------------------------------------------------------------ for the reactor

    def begin(self) -> None:
        """Have ``informer.start()`` called on its thread, before the first event."""
        if callable(getattr(self.informer, "start", None)):
            self.worker.put(_Start())

    def put(self, item: object) -> bool:
        """Queue something for the informer's thread; False if an event found no place."""
        return self.worker.put(item)

    def close(self, timeout: float) -> bool:
        """Take no more events, let the queue drain for ``timeout`` seconds; True if it did."""
        if self._active:
            self._active = False
            if self.worker.thread is not None:
                self.worker.put(_Close())
        drained = self.worker.stop(timeout)
        self._settled.set()
        return drained

    # ------------------------------------------------------------------ on its thread

    def _handle(self, item: object) -> None:
        if isinstance(item, TaskEvent):
            self._task(item)
            return
        if self._batch:
            self._flush()
        if isinstance(item, SessionEvent):
            self._delivered += 1
            for call in self.callbacks.for_session(item):
                self._handling.call(call, item)
        elif isinstance(item, Behind):
            self._hooks.behind(self)
        elif isinstance(item, Synced):
            self._synced = True
            self._plain("on_synced")
            self._settled.set()
            self._hooks.synced(self)
        elif isinstance(item, ConnectionState):
            self._plain("on_connection", item)
        elif isinstance(item, FlameError):
            self._plain("on_error", item)
        else:
            self._life(item)

    def _task(self, event: TaskEvent) -> None:
        passed = self._passed(event)
        if passed is None:
            return
        if self.callbacks.batches:
            self._batch.append(passed)
            if len(self._batch) >= self.options.batch_size:
                self._flush()
            elif self._due is None:
                self._due = monotonic() + self.options.batch_delay
            return
        self._delivered += 1
        for call in self.callbacks.for_task(passed):
            self._handling.call(call, passed)
            if self.worker.stopping.is_set():
                return

    def _passed(self, event: TaskEvent) -> TaskEvent | None:
        passed: TaskEvent | None = event
        name = "transform"
        try:
            if self.options.transform is not None:
                passed = self.options.transform(event)
            name = "where"
            if passed is None or self.options.where is None or self.options.where(passed):
                return passed
        except Exception as error:
            logger.exception("%s= of %s raised; %s is left out", name, self.name, event.key)
            self._hooks.failed(Failure(self.name, name, event, error, 1))
        return None

    def _flush(self) -> None:
        events, self._batch, self._due = self._batch, [], None
        call = self.callbacks.get("on_batch")
        if events and call is not None:
            self._delivered += len(events)
            self._handling.call(call, events)

    def _plain(self, name: str, *items: object) -> None:
        call = self.callbacks.get(name)
        if call is not None:
            self._handling.call(call, *items, plain=not items)

    def _life(self, marker: object) -> None:
        """Call ``start`` or ``close``; after ``close`` nothing else comes."""
        name = "start" if isinstance(marker, _Start) else "close"
        method = getattr(self.informer, name, None)
        if callable(method):
            self._handling.call(Call(name, method), plain=True)
