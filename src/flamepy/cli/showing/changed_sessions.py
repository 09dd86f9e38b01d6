"""The sessions that changed, without a call for any task: what ``--watch`` and ``--summary`` read.

The informer keeps the newest event of each session only, so what is not read in time costs no
memory beyond the sessions, and a reader sees the present state.
"""

from __future__ import annotations

from contextlib import suppress

from flamepy.informers.informer import SessionInformer, SessionProgress
from flamepy.watching.state.events import SessionEvent


class ChangedSessions(SessionInformer):
    """Collects the newest event of each session; ``take`` may be called on any thread."""

    def __init__(self) -> None:
        self._newest: dict[str, SessionEvent] = {}

    def take(self) -> list[SessionEvent]:
        """Return the newest event of each session that changed since the last time."""
        taken = []
        with suppress(KeyError):
            while self._newest:
                taken.append(self._newest.popitem()[1])
        return sorted(taken, key=lambda one: one.sequence)

    def _keep(self, event: SessionEvent) -> None:
        self._newest[event.session.id] = event

    def on_progress(self, counts: SessionProgress) -> None:
        """Keep the event of a session whose counters moved."""
        assert counts.event is not None  # it comes from one
        self._keep(counts.event)

    on_opened = on_closed = on_event = _keep

    def on_deleted(self, event: SessionEvent) -> None:
        """Keep the event of a session that is gone."""
        self._keep(event)
