"""``RuleWatch``: the rules of one informer, for its threads, with the machine's clocks.

``rules.rule_book`` decides; this has the lock, the clocks and what a checkpoint remembers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.expect import Rule
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.informers.rules.rule_book import Now, RuleBook
from flamepy.runtime.clocks import monotonic, wall
from flamepy.watching.state.events import SessionEvent, TaskEvent

AnyEvent = TaskEvent | SessionEvent


class RuleWatch:
    """Observes events and says what is overdue; on any thread of the informer.

    Args:
        rules: the rules.
        report: called with an event and what a rule's ``where`` raised for it.
        recording: guards the memory.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        report: Callable[[AnyEvent, BaseException], None],
        recording: threading.RLock,
    ) -> None:
        self._rules = rules
        self._report = report
        self._recording = recording
        self._memory: Memory | None = None
        # Guards the book. A rule's ``where`` runs under it, which the docs of ``expect`` say.
        self._guard = threading.RLock()
        self._book = RuleBook(rules)

    def remember(self, memory: Memory) -> None:
        """Report nothing that an earlier process reported; before the first event."""
        self._memory = memory
        self._book = RuleBook(self._rules, remembered=memory.broken, forget=self._holds_again)

    def _holds_again(self, key: str) -> None:
        if self._memory is not None:
            with self._recording:
                self._memory.overdue(key, False)

    def observe(self, event: AnyEvent) -> None:
        """Arm and clear rules by an event."""
        try:
            with self._guard:
                self._book.observe(event, _now())
        except BaseException as error:  # the event is delivered nevertheless
            self._report(event, error)

    def due(self) -> float | None:
        """Return the monotonic second at which ``overdue`` may have something; None for never."""
        with self._guard:
            return self._book.next_due()

    def overdue(self) -> list[OverdueEvent]:
        """Return what is overdue by now, each once."""
        with self._guard:
            return list(self._book.overdue(_now()))

    def delivered(self, event: OverdueEvent) -> None:
        """Record that ``on_overdue`` was called; a restart does not call it again."""
        if self._memory is not None:
            with self._recording:
                self._memory.overdue(event.key, True)
                self._memory.commit()


def _now() -> Now:
    return Now(monotonic(), wall())
