"""Which subscription covers which sessions, and when it has received the initial state.

``hub`` emits through ``Subscribers``; ``informers`` implements ``Sink``. Runs on the link's loop,
holds no lock and calls sinks directly: a sink only queues.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from flamepy.errors import FlameError
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.records import SessionRecord

_NONE = TaskCounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which sessions a subscription covers; None means any.

    Without ``tasks`` only events of the sessions themselves, which cost no call for a task.
    """

    application: str | None = None
    session: str | None = None
    tasks: bool = True

    def covers(self, session_id: str, application: str) -> bool:
        """Return True if the session is in the scope."""
        if self.session is not None and self.session != session_id:
            return False
        return self.application is None or self.application == application


class Sink(Protocol):
    """Where a subscription's events go; called on the loop, must return at once."""

    def task_event(self, event: TaskEvent) -> None:
        """Receive one event of a task in the scope, in order."""

    def session_event(self, event: SessionEvent) -> None:
        """Receive one event of a session in the scope."""

    def synced(self) -> None:
        """Called once everything present at the subscription was delivered."""

    def failed(self, error: FlameError) -> None:
        """Called when the engine stopped answering; once per outage."""

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        """Called when the engine lost a session, which may come again, in that epoch.

        Called once per reset, before the deletes of what was in it.
        """

    def drift(self, event: TaskEvent, delivered: TaskState) -> None:
        """Called when the engine shows another end for ``event.task`` than the delivered one.

        The first end stays; ``delivered`` is its state. Once per other state.
        """

    def stalled(self, event: TaskEvent) -> None:
        """Called when a task stays pending while later ones finish. Once per task."""

    def missed(self, missed: MissedEnds) -> None:
        """Record ends of tasks that could not be read before their session was gone."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber.

    Attributes:
        awaiting: sessions still to be brought up to date for it; None before its first poll.
        present: of each session in that poll its epoch and its counters. Ids are dense, so
            they say which tasks are initial.
        pictured: ``present`` is known; before its first poll from the last poll before it came.
        needed_since: finished tasks and deletes whose events are newer than this sequence
            number are kept for it (``Store.changed_since``, ``deleted_since``); None if it
            needs nothing kept. To be set by its owner, on the loop; ``Hub.reader_moved`` is
            called then.
    """

    scope: Scope
    sink: Sink
    awaiting: set[str] | None = None
    present: dict[str, tuple[int, TaskCounts]] = field(default_factory=dict)
    pictured: bool = False
    synced: bool = False
    needed_since: int | None = None

    def initial_up_to(self, session_id: str, epoch: int) -> float:
        """Return the highest number of a session's tasks that were there before it."""
        if not self.pictured:
            return float("inf")
        known, counts = self.present.get(session_id, (epoch, _NONE))
        return counts.total if known == epoch else 0

    def had(self, event: SessionEvent) -> bool:
        """Return True if a session reported as drained was so before the subscription."""
        if event.kind is not SessionEventKind.DRAINED:
            return False
        return self.present.get(event.session.id) == (event.epoch, event.session.counts)


class Subscribers:
    """All subscriptions of a hub.

    Attributes:
        pictured: the last poll showed to one of them every session, of ``pictured_application``.
        pictured_application: the only application whose sessions it showed; None for all.
    """

    def __init__(self) -> None:
        self._all: list[Subscription] = []
        self.pictured = False
        self.pictured_application: str | None = None

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def all_pictured(self) -> bool:
        """True when ``pictured``, and it is known for each of them what is initial."""
        return self.pictured and all(one.pictured for one in self._all)

    @property
    def application(self) -> str | None:
        """The only application whose sessions any of them covers; None if there are others."""
        names = {one.scope.application for one in self._all}
        return names.pop() if len(names) == 1 else None

    def pictures(self, scope: Scope) -> bool:
        """Return True if the last poll showed every session of a scope."""
        shown = self.pictured_application
        return self.pictured and (shown is None or shown == scope.application)

    def add(self, subscription: Subscription) -> None:
        """Deliver everything to it from now on."""
        self._all.append(subscription)

    def remove(self, subscription: Subscription) -> bool:
        """Stop delivering to it; return False if it had been removed already."""
        if subscription not in self._all:
            return False
        self._all.remove(subscription)
        self.pictured = self.pictured and bool(self._all)
        return True

    def clear(self) -> None:
        """Stop delivering to every subscription."""
        self._all.clear()

    def follow(self, record: SessionRecord) -> bool:
        """Return True if a subscription covers the session's tasks."""
        application = record.application
        for one in self._all:  # no generator: asked at every observation
            if one.scope.tasks and one.scope.covers(record.id, application):
                return True
        return False

    def may_follow(self, record: SessionRecord) -> bool:
        """Return True if one does, or may once the session itself was seen."""
        return self.follow(record) or (record.info is None and bool(self._all))

    def emit(self, event: TaskEvent) -> None:
        """Deliver to the subscriptions whose scope covers the task's session."""
        for one in self._all:
            if one.scope.tasks and one.scope.covers(event.task.session_id, event.application):
                initial = event.kind is EventKind.ADDED and int(event.task.id) <= one.initial_up_to(
                    event.task.session_id, event.epoch
                )
                one.sink.task_event(replace(event, initial=True) if initial else event)

    def initial_up_to(self, record: SessionRecord) -> float:
        """Return the highest number of a session's tasks that is initial for any of them."""
        return max(
            (one.initial_up_to(record.id, record.epoch) for one in self._following(record)),
            default=0,
        )

    def adding(self, record: SessionRecord) -> Callable[[TaskEvent], None]:
        """Return what delivers events of tasks that a list shows for the first time.

        Who follows the session, and what is initial for it, is decided now for all of them; see
        ``initial_up_to``.
        """
        following = [
            (one.sink, one.initial_up_to(record.id, record.epoch))
            for one in self._following(record)
        ]

        def emit(event: TaskEvent) -> None:
            for sink, last in following:
                initial = event.initial and int(event.task.id) <= last
                sink.task_event(
                    event if initial == event.initial else replace(event, initial=initial)
                )

        return emit

    def _following(self, record: SessionRecord) -> list[Subscription]:
        application = record.application
        return [
            one for one in self._all if one.scope.tasks and one.scope.covers(record.id, application)
        ]

    def emit_session(self, event: SessionEvent) -> None:
        """Deliver to the subscriptions whose scope covers the session."""
        for one in self._all:
            if one.scope.covers(event.session.id, event.session.application):
                initial = not one.pictured or one.had(event)
                one.sink.session_event(replace(event, initial=True) if initial else event)
            if event.kind is SessionEventKind.DELETED:
                one.present.pop(event.session.id, None)

    def failed(self, error: FlameError) -> None:
        """Notify all that the engine does not answer."""
        for one in self._all:
            one.sink.failed(error)

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        """Notify those whose scope covers a session that the engine lost it."""
        for one in self._all:
            if one.scope.covers(session_id, application):
                one.sink.engine_reset(session_id, application, epoch)

    def drift(self, event: TaskEvent, delivered: TaskState) -> None:
        """Notify those whose scope covers the task that it ended a second time."""
        for one in self._all:
            if one.scope.tasks and one.scope.covers(event.task.session_id, event.application):
                one.sink.drift(event, delivered)

    def stalled(self, event: TaskEvent) -> None:
        """Notify those whose scope covers the task that it does not start."""
        for one in self._all:
            if one.scope.tasks and one.scope.covers(event.task.session_id, event.application):
                one.sink.stalled(event)

    def missed(self, missed: MissedEnds) -> bool:
        """Report missed ends to those whose scope covers the session; return False if none does."""
        session = missed.session
        covering = [
            one
            for one in self._all
            if one.scope.tasks and one.scope.covers(session.id, session.application)
        ]
        for one in covering:
            one.sink.missed(missed)
        return bool(covering)

    def needed_since(self) -> int | None:
        """Return the lowest sequence number after which events must be kept, if any."""
        needed = [one.needed_since for one in self._all if one.needed_since is not None]
        return min(needed, default=None)

    def newcomers(self) -> list[Subscription]:
        """Return those that no poll was made for yet."""
        return [one for one in self._all if one.awaiting is None]

    def polled(
        self, one: Subscription, records: Iterable[SessionRecord], outdated: Container[str]
    ) -> None:
        """Record that a poll was made for ``one``.

        Args:
            one: a new subscription.
            records: what the poll showed.
            outdated: ids of the sessions that are not up to date yet.
        """
        covered = [record for record in records if one.scope.covers(record.id, record.application)]
        one.awaiting = {
            record.id for record in covered if one.scope.tasks and record.id in outdated
        }
        if not one.pictured:
            self.picture(one, covered)
        self._check(one)

    def picture(self, one: Subscription, records: Iterable[SessionRecord]) -> None:
        """Record the initial state of a subscription."""
        one.pictured = True
        one.present = {
            record.id: (record.epoch, record.info.counts)
            for record in records
            if record.info and one.scope.covers(record.id, record.application)
        }

    def awaits(self, session_id: str) -> bool:
        """Return True if a subscription waits for what a poll has shown of a session."""
        return any(one.awaiting is None or session_id in one.awaiting for one in self._all)

    def session_current(self, session_id: str) -> None:
        """Record that all that a poll had shown of a session was delivered."""
        for one in self._all:
            if one.awaiting:
                one.awaiting.discard(session_id)
                self._check(one)

    def _check(self, one: Subscription) -> None:
        if not one.awaiting and not one.synced:
            one.synced = True
            one.sink.synced()
