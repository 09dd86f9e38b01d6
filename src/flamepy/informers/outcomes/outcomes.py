"""``Outcomes``: what became of each event of one registration, noted and counted.

``dispatch`` says how the handling of an event ended; this notes it for ``reactor.explain`` and for
the gate, which quarantines an informer that fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from flamepy.informers.outcomes.gate import Gate
from flamepy.informers.outcomes.history import History, Stage
from flamepy.runtime.clocks import monotonic
from flamepy.texts import described
from flamepy.watching.state.events import SessionEvent, TaskEvent

AnyEvent = TaskEvent | SessionEvent


class Outcomes:
    """Notes outcomes; on any thread of the informer.

    Args:
        gate: learns of failures in a row.
    """

    def __init__(self, gate: Gate) -> None:
        self.history = History()
        self._gate = gate
        self._note = self.history.note
        self._counts_failures = gate.has_breaker

    def delivered(self, event: AnyEvent, started: float, *, called: bool = True) -> None:
        """Note that the callbacks of an event were called.

        Args:
            event: which.
            started: when the first one was, monotonic seconds.
            called: False if no callback takes such an event.
        """
        if not called:
            self._add(Stage.FILTERED, event, "no callback takes it")
            return
        now = monotonic()
        if isinstance(event, TaskEvent):
            task = event.task
            self._note((Stage.DELIVERED, now, task.session_id, task.id, task.state, now - started))
        else:
            self._note((Stage.DELIVERED, now, event.session.id, "", event.kind, now - started))
        if self._counts_failures:
            self._gate.succeeded()

    def delivered_batch(self, events: Sequence[AnyEvent], started: float) -> None:
        """Note that ``on_batch`` was called with these events."""
        for event in events:
            self.delivered(event, started)

    def filtered(self, event: AnyEvent, by: str) -> None:
        """Note that an option left an event out."""
        self._add(Stage.FILTERED, event, f"by {by}=")

    def known(self, event: AnyEvent) -> None:
        """Note that an earlier process delivered an event, or a batch before it will."""
        self._add(Stage.KNOWN, event, None)

    def collected(self, event: AnyEvent) -> None:
        """Note that an event waits for its batch."""
        self._add(Stage.COLLECTED, event, None)

    def retried(self, item: object, error: BaseException, attempts: int, at: float) -> None:
        """Note that a callback is called again ``at`` a monotonic second."""
        wait = max(0.0, at - monotonic())
        text = f"attempt {attempts}: {described(error)}; again in {wait:.1f} s"
        for event in _events(item):
            self._add(Stage.RETRIED, event, text)

    def failed(self, item: object, error: BaseException, attempts: int) -> None:
        """Note that an event's handling failed for good."""
        text = f"attempt {attempts}: {described(error)}"
        for event in _events(item):
            self._add(Stage.FAILED, event, text)
        if self._counts_failures:
            self._gate.failed(described(error))

    def _add(self, stage: Stage, event: AnyEvent, detail: object) -> None:
        if isinstance(event, TaskEvent):
            task = event.task
            self._note((stage, monotonic(), task.session_id, task.id, task.state, detail))
        else:
            self._note((stage, monotonic(), event.session.id, "", event.kind, detail))


def _events(item: object) -> list[AnyEvent]:
    items = item if isinstance(item, list) else [item]
    return [one for one in items if isinstance(one, (TaskEvent, SessionEvent))]
