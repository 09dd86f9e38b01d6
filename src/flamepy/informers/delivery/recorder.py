"""``Recorder``: what is recorded of an informer's events, in the order in which they are handled.

With a checkpoint the memory stores what was delivered before the thread takes another event; what
failed for good, and what a sink is to send, is stored in the same transaction. Used on the
informer's threads; its lock is held for single operations, and no callback runs under it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.delivery.invocation import Failure
from flamepy.informers.delivery.reporter import Reporter
from flamepy.informers.delivery.transitions import is_inferred
from flamepy.informers.outbox.sink import Outlet
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.watching.state.events import SessionEvent, TaskEvent

AnyEvent = TaskEvent | SessionEvent


class Recorder:
    """Records what becomes of one informer's events.

    Args:
        reporter: of the dispatcher.

    Attributes:
        memory: what was delivered, where a checkpoint stores that.
        outlet: the outbox, of a sink.
        guard: guards the memory; no callback runs under it.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.memory: Memory | None = None
        self.outlet: Outlet | None = None
        self.guard = threading.RLock()

    @property
    def due(self) -> float | None:
        """When ``commit`` is to be called, monotonic seconds; None if nothing waits."""
        return None if self.memory is None else self.memory.due

    def commit(self) -> None:
        """Store what was recorded, if there is a checkpoint."""
        if self.memory is not None:
            with self.guard:
                self.memory.commit()

    def record(
        self,
        event: AnyEvent,
        passed: AnyEvent | None,
        failures: Sequence[Failure],
        *,
        called: bool,
        retried: int | None,
    ) -> None:
        """Record that an event was delivered, or failed for good, or was left out.

        Args:
            event: the event.
            passed: what ``transform`` made of it; None if it was left out.
            failures: callbacks that failed for good; they are stored in the same transaction.
            called: whether any callback was called.
            retried: the number of the dead letter that it comes from, if it does.
        """
        with self.guard:
            for failure in failures:
                self._reporter.dead(failure)
            sent = passed is not None and self._send(passed)
            if retried is not None:
                self._end_retried(retried, failed=bool(failures))
            elif self.memory is not None and not is_inferred(event):
                self.memory.note(event)
                if (called or failures) and not sent:
                    self.memory.commit()
                else:  # what a sink sends is stored with it: a group of them may wait for the disk
                    self.memory.commit_many()

    def _send(self, event: AnyEvent | OverdueEvent) -> bool:
        """Store an event for a sink to send; False if it is not a sink's."""
        row = None if self.outlet is None else self.outlet.take(event)
        if row is None or self.outlet is None:
            return False
        if self.memory is None:
            self.outlet.put(row)
        else:
            self.memory.outgoing(row)
        return True

    def overdue(self, event: OverdueEvent, *, retried: int | None) -> None:
        """Record an overdue event that a sink is to send.

        Args:
            event: the event.
            retried: the number of the dead letter that it comes from, if it does.
        """
        with self.guard:
            if self._send(event) and retried is not None:
                self._reporter.resolved(retried)

    def _end_retried(self, number: int, *, failed: bool) -> None:
        if not failed:
            self._reporter.resolved(number)
        elif self.memory is not None:
            self.memory.commit()

    def batch(
        self, notes: Iterable[AnyEvent], failure: Failure | None, *, retried: int | None
    ) -> None:
        """Record that a batch was delivered, or failed for good; the rest as of ``record``."""
        with self.guard:
            if failure is not None:
                self._reporter.dead(failure)
            if retried is not None:
                self._end_retried(retried, failed=failure is not None)
            elif self.memory is not None:
                for event in notes:
                    self.memory.note(event)
                self.memory.commit()

    def skip(self, event: AnyEvent) -> None:
        """Record an event that needs no delivery."""
        if self.memory is not None:
            with self.guard:
                self.memory.note(event)
                self.memory.commit_many()
