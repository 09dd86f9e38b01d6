"""Totals of applications: what their sessions have pending, running and ended, summed.

``ApplicationLister`` (``reactor.applications``) sums what the store has at each query. ``Totals``
is pure and keeps the sums current by events, for ``ApplicationInformer``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from flamepy.informers.queries.indexes import Index, SessionSource
from flamepy.informers.queries.listers import Find, Lister, View
from flamepy.rpc.link import Link
from flamepy.types import SessionInfo, SessionState, TaskCounts
from flamepy.watching.hub import Hub
from flamepy.watching.state.events import SessionEvent, SessionEventKind


@dataclass(frozen=True, slots=True)
class ApplicationTotals:
    """What the known sessions of one application have together.

    Sums of the engine's own counters of each session, as fresh as the last poll: sessions that the
    engine has deleted, or evicted after their end, are not in it.

    Attributes:
        name: the application's.
        open_sessions: sessions that take tasks.
        closed_sessions: sessions that were closed and that the engine still has.
        counts: tasks by state, over all these sessions.
    """

    name: str
    open_sessions: int = 0
    closed_sessions: int = 0
    counts: TaskCounts = field(default_factory=TaskCounts)

    @property
    def pending(self) -> int:
        """Tasks that wait."""
        return self.counts.pending

    @property
    def running(self) -> int:
        """Tasks that run."""
        return self.counts.running

    @property
    def succeed(self) -> int:
        """Tasks that succeeded."""
        return self.counts.succeed

    @property
    def failed(self) -> int:
        """Tasks that failed."""
        return self.counts.failed

    @property
    def cancelled(self) -> int:
        """Tasks that were cancelled."""
        return self.counts.cancelled

    @property
    def sessions(self) -> int:
        """Sessions that the engine has, open and closed."""
        return self.open_sessions + self.closed_sessions

    def plus(self, session: SessionInfo, sign: int = 1) -> ApplicationTotals:
        """Return the totals with a session added, or with ``sign=-1`` taken away."""
        is_open = session.state is SessionState.OPEN
        now, more = self.counts, session.counts
        return replace(
            self,
            open_sessions=self.open_sessions + sign * is_open,
            closed_sessions=self.closed_sessions + sign * (not is_open),
            counts=TaskCounts(
                pending=now.pending + sign * more.pending,
                running=now.running + sign * more.running,
                succeed=now.succeed + sign * more.succeed,
                failed=now.failed + sign * more.failed,
                cancelled=now.cancelled + sign * more.cancelled,
            ),
        )


def totals_of(sessions: Iterable[SessionInfo]) -> dict[str, ApplicationTotals]:
    """Return the totals by application of some sessions."""
    found: dict[str, ApplicationTotals] = {}
    for session in sessions:
        name = session.application
        found[name] = found.get(name, ApplicationTotals(name)).plus(session)
    return found


class Totals:
    """Keeps the totals of applications current by the events of their sessions. Pure."""

    def __init__(self) -> None:
        self._sessions: dict[str, SessionInfo] = {}
        self._totals: dict[str, ApplicationTotals] = {}

    def observe(self, event: SessionEvent) -> tuple[ApplicationTotals, ApplicationTotals] | None:
        """Return the application's totals before and after an event; None if they are equal."""
        session = event.session
        name = session.application
        before = self._totals.get(name, ApplicationTotals(name))
        after = before
        known = self._sessions.pop(session.id, None)
        if known is not None:
            after = after.plus(known, -1)
        if event.kind is not SessionEventKind.DELETED:
            self._sessions[session.id] = session
            after = after.plus(session)
        if after.sessions:
            self._totals[name] = after
        else:
            self._totals.pop(name, None)
        return None if after == before else (before, after)


class ApplicationLister(Lister[str, ApplicationTotals]):
    """Totals by application name; of applications that have a session. A query sums them anew."""

    def __init__(self, link: Link, hub: Hub, followed: View) -> None:
        super().__init__(link, hub, followed)
        self._source = SessionSource(hub.store)
        self._sessions = Index(self._source, lambda session: session.application)

    def get(self, name: str) -> ApplicationTotals:
        """Return the totals of an application; zeros if it has no session."""
        sessions = [session for _, session in self._sessions.find(name)]
        return totals_of(sessions).get(name, ApplicationTotals(name))

    def _items(self) -> Iterator[tuple[str, ApplicationTotals]]:
        yield from totals_of(session for _, session in self._source.all()).items()

    def _find_by(self, function: Callable[[ApplicationTotals], Any]) -> Find[ApplicationTotals]:
        # Totals are no records: they are summed anew, of every session.
        return lambda wanted: [one for _, one in self._items() if function(one) == wanted]
