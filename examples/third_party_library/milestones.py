"""A small library for Flame users: reports milestones in the number of finished tasks.

It needs flamepy only for its signals. It subclasses nothing, starts no thread, and works in any
program that runs a Reactor.
"""

from collections.abc import Callable
from typing import Any

from flamepy.informers import signals

Report = Callable[[str], None]


class Milestones:
    """Calls ``report`` at every ``every``-th end of a task of an application.

    Args:
        application: whose tasks are counted.
        every: how many ends make a milestone.
        report: takes a line of text; called on the receiver's own thread.
    """

    def __init__(self, application: str, *, every: int, report: Report) -> None:
        self.application = application
        self.every = every
        self.succeeded = self.failed = 0
        self.reasons: dict[str, int] = {}
        self._report = report

    def connect(self) -> None:
        """Count from now on."""
        signals.task_succeeded.connect(self._succeeded, sender=self.application)
        signals.task_failed.connect(self._failed, sender=self.application)

    def disconnect(self) -> None:
        """Count no more."""
        signals.task_succeeded.disconnect(self._succeeded, sender=self.application)
        signals.task_failed.disconnect(self._failed, sender=self.application)

    def _succeeded(self, application: str, *, event: Any, **_: object) -> None:
        self.succeeded += 1
        self._milestone()

    def _failed(self, application: str, *, event: Any, **_: object) -> None:
        self.failed += 1
        reason = event.task.error or "no reason given"
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self._milestone()

    def _milestone(self) -> None:
        ended = self.succeeded + self.failed
        if ended % self.every == 0:
            self._report(f"{self.application}: {ended} tasks ended")
