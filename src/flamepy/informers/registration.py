"""One registered informer: its subscription at the hub, its queue, its thread.

``Reactor.register`` makes it. The hub calls ``InformerSink`` on the loop, which only queues; the
informer's thread takes the events to the callbacks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from flamepy.errors import DeadlineExceededError, FlameError, InvalidStateError
from flamepy.informers.dispatch import QUEUE_SIZE, Worker
from flamepy.informers.informer import Callbacks, TaskInformer
from flamepy.types import ConnectionState
from flamepy.watching.events import SessionEvent, TaskEvent
from flamepy.watching.subscriptions import Scope

logger = logging.getLogger(__name__)

Where = Callable[[TaskEvent], bool]


class Synced:
    """The marker that follows the last event of what was there before."""


@dataclass(frozen=True, slots=True)
class RegistrationStats:
    """Counters of one registration."""

    delivered: int
    queued: int
    coalesced: int
    failures: int


class Registration:
    """What ``Reactor.register`` returns; all methods may be called from any thread."""

    def __init__(
        self,
        informer: TaskInformer,
        scope: Scope,
        *,
        where: Where | None = None,
        name: str | None = None,
        queue_size: int = QUEUE_SIZE,
        removed: Callable[[Registration], None],
    ) -> None:
        self.informer = informer
        self.scope = scope
        self.name = name or type(informer).__name__
        self._where = where
        self._removed = removed
        self._worker = Worker(f"flamepy-handler-{self.name}", self._handle, limit=queue_size)
        self._callbacks = Callbacks(informer, self._worker.call)
        self._settled = threading.Event()  # synced, or never will be
        self._synced = False
        self._active = True
        self._delivered = 0

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
    def stats(self) -> RegistrationStats:
        """Counters, as of now."""
        return RegistrationStats(
            delivered=self._delivered,
            queued=len(self._worker.mailbox),
            coalesced=self._worker.mailbox.coalesced,
            failures=self._callbacks.failures,
        )

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until the informer was told everything that was there at its registration.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
            InvalidStateError: it was removed before, or this is the informer's own thread.
        """
        if self._worker.is_current:
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

        Args:
            wait: also wait until a callback that runs now has returned.
            timeout: seconds to wait for that.

        Raises:
            InvalidStateError: ``wait=True`` in the informer's own callback.
        """
        if wait and self._worker.is_current:
            raise InvalidStateError(
                f"{self.name} cannot wait for itself: remove(wait=True) in its own callback"
            )
        self._removed(self)
        self.close(0.0)
        if wait:
            self._worker.stop(timeout)

    # ------------------------------------------------------------------ for the reactor

    def put(self, item: object) -> None:
        """Queue something for the informer's thread."""
        self._worker.put(item)

    def close(self, timeout: float) -> bool:
        """Take no more events, let the queue drain for ``timeout`` seconds; True if it did."""
        self._active = False
        drained = self._worker.stop(timeout)
        self._settled.set()
        return drained

    def _handle(self, item: object) -> None:
        if isinstance(item, TaskEvent):
            if self._passes(item):
                self._delivered += 1
                self._callbacks.event(item)
        elif isinstance(item, Synced):
            self._synced = True
            self._callbacks.call("on_synced")
            self._settled.set()
        elif isinstance(item, ConnectionState):
            self._callbacks.call("on_connection", item)
        elif isinstance(item, FlameError):
            self._callbacks.call("on_error", item)

    def _passes(self, event: TaskEvent) -> bool:
        if self._where is None:
            return True
        try:
            return bool(self._where(event))
        except Exception:
            logger.exception("the where= of %s raised; the event is left out", self.name)
            return False


class InformerSink:
    """The registration as the hub sees it; called on the loop."""

    def __init__(self, registration: Registration) -> None:
        self._put = registration.put

    def task_event(self, event: TaskEvent) -> None:
        """Queue a task's event."""
        self._put(event)

    def session_event(self, event: SessionEvent) -> None:
        """Leave out: a task informer is not told of sessions."""

    def synced(self) -> None:
        """Queue the marker behind what was there before."""
        self._put(Synced())

    def failed(self, error: FlameError) -> None:
        """Queue a lost connection."""
        self._put(error)
