"""The classes that users subclass: ``TaskInformer`` and ``SessionInformer``.

Every callback is optional to override. Callbacks of one informer run one after another, in
observation order per task or session, on the informer's own thread; an ``async def`` callback is
awaited, on a loop of the informer's own, before the next one starts. ``register(workers=N)`` has
those of different tasks, sessions or applications run side by side. What a callback raises, or
that it blocks, affects no other informer (docs/delivery.md).

An informer may also have ``start()`` and ``close()``, called once on its thread, before the first
event and after the last, ``reopen()``, called there when ``flamepy run`` gets SIGHUP, and
``attach(reactor)``, called when it is registered. ``callbacks`` looks
the overridden methods up; a class may inherit from both informers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from flamepy.errors import FlameError
from flamepy.informers.expect import Rule
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.runtime.seconds import seconds_or_none
from flamepy.types import ConnectionState, SessionInfo, Task, TaskCounts
from flamepy.watching.state.events import SessionEvent, TaskEvent


class TemporaryError(Exception):
    """An error of a callback that asks for another call with the same event.

    Args:
        *args: as of any exception.
        delay: seconds until the next try; None leaves it to the registration's ``retry``.
    """

    def __init__(self, *args: object, delay: float | None = None) -> None:
        super().__init__(*args)
        self.delay = seconds_or_none("delay", delay)


class PermanentError(Exception):
    """An error of a callback that says that another call with the same event is of no use."""


class Informer:
    """What both informers have; subclass one of them, not this.

    Attributes:
        resume: whether a checkpoint stores what was delivered to it; False for one that counts,
            and needs everything again in each process. ``Reactor.register`` can say otherwise.
        watch_tasks: False leaves out the events of tasks, and the calls that they cost, of a class
            that is an informer of tasks and of sessions.
        rules: what is expected to happen in time, made by ``flamepy.informers.expect``; those of
            ``Reactor.register`` come in addition.
        derived_callbacks: names of callbacks that the class calls itself, from others.
        optional_callbacks: names of callbacks of this class that are called only where ``events``
            of the registration asks for them, or where a subclass overrides them.
    """

    resume = True
    watch_tasks: bool = True
    rules: Sequence[Rule] = ()
    derived_callbacks: frozenset[str] = frozenset()
    optional_callbacks: frozenset[str] = frozenset()

    def on_error(self, error: FlameError) -> Awaitable[None] | None:
        """Called with a lost connection, or with what a callback of this informer raised.

        The event of that callback is ``error.event`` of an ``InformerError``; an override with a
        parameter ``event=None`` gets it there as well.
        A task's failure never comes here: see ``TaskInformer.on_failed``.
        """

    def on_synced(self) -> Awaitable[None] | None:
        """Called once everything present at the registration was delivered."""

    def on_overdue(self, event: OverdueEvent) -> Awaitable[None] | None:
        """Called with what did not happen in time; see ``rules`` and ``flamepy.informers.expect``.

        Once for each task or session and rule, until the rule holds again.
        """

    def on_connection(self, state: ConnectionState) -> Awaitable[None] | None:
        """Called when the connection's state changed."""


class TaskInformer(Informer):
    """The base of informers of tasks: override the callbacks that you need.

    ``on_transition`` is the one primitive; the others are conveniences over it. ``on_update`` and
    ``on_error`` keep the form of the official SDK. Override ``on_batch`` instead of the others to
    take events by the hundred.
    """

    def on_update(self, task: Task) -> Awaitable[None] | None:
        """Called with a task's new state: when it is first seen, and at each observed change."""

    def on_transition(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called with every event: ``event.old`` to ``event.task``, adds and deletes included."""

    def on_added(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a task is first seen; ``event.initial`` if it existed at the registration."""

    def on_deleted(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when the engine no longer has a task; see ``event.final_state_known``."""

    def on_running(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a task started to run."""

    def on_succeeded(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a task succeeded."""

    def on_failed(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a service failed a task; the service's text is ``event.task.error``."""

    def on_cancelled(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a task was cancelled by its session's close."""

    def on_terminal(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when a task ended, in any terminal state."""

    def on_requeued(self, event: TaskEvent) -> Awaitable[None] | None:
        """Called when the engine put a running task back into its queue."""

    def on_batch(self, events: Sequence[TaskEvent]) -> Awaitable[None] | None:
        """Called with several events at once, in order; see ``batch_size``, ``batch_delay``."""


class SessionInformer(Informer):
    """The base of informers of sessions: override the callbacks that you need.

    A registration of a class that is no ``TaskInformer`` and has no ``on_drained`` costs no task
    call at all: events of sessions come from their counters.
    """

    def on_opened(self, event: SessionEvent) -> Awaitable[None] | None:
        """Called when a session is first seen; ``event.initial`` if it existed before."""

    def on_progress(self, counts: SessionProgress) -> Awaitable[None] | None:
        """Called when a session's counters changed; ``counts.session`` is that session."""

    def on_drained(self, event: SessionEvent) -> Awaitable[None] | None:
        """Called when all tasks of a session have ended; new tasks may un-drain it.

        Overriding it costs the calls that show the tasks' ends, as a ``TaskInformer`` does.
        """

    def on_closed(self, event: SessionEvent) -> Awaitable[None] | None:
        """Called when a session was closed."""

    # Any: a SessionEvent; a class of both informers gets a TaskEvent here as well, and type
    # checkers refuse two bases that disagree.
    def on_deleted(self, event: Any) -> Awaitable[None] | None:
        """Called when the engine no longer has a session (deleted, evicted, or lost).

        ``event`` is a ``SessionEvent``.
        """

    def on_event(self, event: SessionEvent) -> Awaitable[None] | None:
        """Called with ``event.event``: 1001, a service did not start; 1002, out of retries."""


@dataclass(frozen=True, slots=True, eq=False)
class SessionProgress(TaskCounts):
    """A session's counters after they moved, and the event that they came with.

    Equal to a ``TaskCounts`` of the same numbers.
    """

    event: SessionEvent | None = None

    @classmethod
    def of(cls, event: SessionEvent) -> SessionProgress:
        """Return the counters of an event's session."""
        now = event.counts
        return cls(now.pending, now.running, now.succeed, now.failed, now.cancelled, event)

    @property
    def session(self) -> SessionInfo:
        """The session whose counters moved."""
        assert self.event is not None  # ``of`` makes them
        return self.event.session

    @property
    def counts(self) -> TaskCounts:
        """The plain counters."""
        return TaskCounts(self.pending, self.running, self.succeed, self.failed, self.cancelled)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SessionProgress):
            return self.counts == other.counts
        return self.counts == other if isinstance(other, TaskCounts) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.counts)
