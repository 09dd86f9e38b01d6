"""``ApplicationInformer``: events of whole applications, from those of their sessions."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from flamepy.informers.informer import SessionInformer
from flamepy.informers.queries.applications import ApplicationTotals, Totals
from flamepy.watching.state.events import SessionEvent


@dataclass(frozen=True, slots=True)
class ApplicationEvent:
    """One change of the totals of one application.

    Attributes:
        totals: what its sessions have together now.
        old: what they had before; zeros when its first session was seen.
        event: the event of the session that changed it.
    """

    totals: ApplicationTotals
    old: ApplicationTotals
    event: SessionEvent

    @property
    def application(self) -> str:
        """Name of the application."""
        return self.totals.name

    @property
    def initial(self) -> bool:
        """True for what was there before the registration."""
        return self.event.initial


class ApplicationInformer(SessionInformer):
    """Subclass it and override ``on_application``, which gets the totals of whole applications.

    Costs no call for tasks. The totals are of the sessions in the registration's scope. They are
    summed anew in each process, so a checkpoint has nothing of it.
    """

    resume = False
    derived_callbacks = frozenset({"on_application"})

    _totals: Totals | None = None

    def on_application(self, event: ApplicationEvent) -> Awaitable[None] | None:
        """Called when the sums of an application's sessions changed."""

    def on_opened(self, event: SessionEvent) -> Awaitable[None] | None:
        """Add a session."""
        return self._observe(event)

    def on_progress(self, counts: Any) -> Awaitable[None] | None:  # Any: as of SessionInformer
        """Add what moved in a session."""
        return self._observe(counts.event)

    def on_closed(self, event: SessionEvent) -> Awaitable[None] | None:
        """Count a session as closed."""
        return self._observe(event)

    def on_deleted(self, event: Any) -> Awaitable[None] | None:  # Any: as of SessionInformer
        """Take a session away."""
        return self._observe(event) if isinstance(event, SessionEvent) else None

    def _observe(self, event: SessionEvent) -> Awaitable[None] | None:
        if self._totals is None:  # here, since subclasses need not call super().__init__()
            self._totals = Totals()
        changed = self._totals.observe(event)
        if changed is None:
            return None
        before, after = changed
        return self.on_application(ApplicationEvent(after, before, event))
