"""``Reconciler``: subclass it to keep something in step with sessions, tasks or applications.

``reconcile(key, ctx)`` is called for keys, not for events: it reads what is there now and does what
is needed. However many events named a key meanwhile, it runs once; never twice at the same time for
one key; again after an error, later each time. ``runs`` has its threads, ``work_queue`` decides.
"""

from __future__ import annotations

import inspect
import random
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flamepy.errors import DeadlineExceededError, InvalidArgumentError, InvalidStateError
from flamepy.informers.informer import PermanentError, SessionInformer, TaskInformer, TemporaryError
from flamepy.informers.queries.applications import ApplicationLister
from flamepy.informers.queries.listers import SessionLister, TaskLister
from flamepy.informers.reconcile.runs import Outcome, Runs, RunStats
from flamepy.informers.reconcile.work_queue import Backoff, WorkQueue
from flamepy.informers.workers.async_loop import SharedLoop
from flamepy.runtime.flags import Flag
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of, text_of
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

if TYPE_CHECKING:
    from flamepy.informers.delivery.registration import Registration
    from flamepy.informers.reactor import Reactor

Keys = Hashable | Iterable[Hashable] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What ``reconcile`` may return.

    Attributes:
        requeue_after: seconds after which the key is run again without an event; None: with the
            next event. An event brings the run forward.

    Raises:
        InvalidArgumentError: it is no number of seconds, 0 or more.
    """

    requeue_after: float | None = None

    def __post_init__(self) -> None:
        given = seconds_or_none("requeue_after", self.requeue_after)
        object.__setattr__(self, "requeue_after", given)


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """What ``reconcile`` gets beside the key.

    The listers are at least as fresh as the event that named the key. They have what the
    reconciler's own registration watches; ask ``reactor.tasks`` for more.

    Attributes:
        reactor: the reactor.
        tasks: tasks by (session id, task id); empty where the class has ``watch_tasks = False``.
        sessions: sessions by id; a session that the engine no longer has is not in there.
        applications: totals by application name.
        failures: how often in a row this key has failed.
        stopping: set when the reactor stops at once; a long run looks at it, or waits on it.
    """

    reactor: Reactor
    tasks: TaskLister
    sessions: SessionLister
    applications: ApplicationLister
    failures: int
    stopping: Flag


class Reconciler(TaskInformer, SessionInformer):
    """Subclass it, write ``reconcile``, and give an instance to ``Reactor.register``.

    Runs begin when everything that is there was delivered (``wait_synced``), one for each key of
    it. A stop runs what is due by then; keys that wait for a time are dropped: the next start runs
    every key anyway, which is why a checkpoint has nothing of a reconciler.

    Attributes:
        workers: keys that run at the same time at most, on threads; coroutines share one loop.
            ``register(..., workers=N)`` raises it.
        watch_tasks: False has events of sessions alone, which cost no call for tasks.
        resync: seconds after which every key of what is there is run again; None for never.
        rate: runs that start in a second at most; None for no limit.
        backoff: how long a key waits after an error.
    """

    resume = False
    workers: int = 1
    resync: float | None = 3600.0
    rate: float | None = None
    backoff: Backoff = Backoff()

    _reactor: Reactor | None = None
    _runs: Runs[Hashable] | None = None
    _views: _Views | None = None

    def keys(self, event: TaskEvent | SessionEvent) -> Keys:
        """Return the key that an event concerns, several in a list, or None for none.

        By default the session's id. Called on the informer's thread; it must not block.
        """
        return event.session_id

    @abstractmethod
    def reconcile(self, key: Any, ctx: ReconcileContext) -> Any:  # Any: keys are the user's
        """Bring what belongs to ``key`` in step with what is there; plain or ``async def``.

        Called on a thread of the reconciler's own. What it raises is reported as of a callback, and
        the key is run again: after the back-off, after ``TemporaryError.delay`` seconds, or after
        a ``PermanentError`` with its next event.

        Returns:
            None, or a ``Result``.
        """

    def enqueue(self, key: Hashable, *, after: float | None = None) -> None:
        """Have a key run, soon or ``after`` seconds from now; from any thread.

        Raises:
            InvalidStateError: it is not registered with a running reactor.
            InvalidArgumentError: the key is None or cannot be hashed, or ``after`` is no seconds.
        """
        after = seconds_or_none("after", after)
        if self._runs is None:
            raise InvalidStateError(
                f"{type(self).__name__} has no queue yet: register it with a reactor and start that"
            )
        self._runs.add(_checked(key), after)

    def resync_now(self) -> None:
        """Have every key of what is there run again; from any thread.

        Raises:
            InvalidStateError: it is not registered with a running reactor.
        """
        if self._views is None:
            raise InvalidStateError(
                f"{type(self).__name__} has no queue yet: register it with a reactor and start that"
            )
        self._resync()

    @property
    def stats(self) -> RunStats:
        """Counters of its runs, as of now."""
        return RunStats() if self._runs is None else self._runs.stats

    # ------------------------------------------------------------------ for the reactor

    def attach(self, reactor: Reactor) -> None:
        """Check the settings; called by ``Reactor.register``."""
        name = type(self).__name__
        if type(self).reconcile is Reconciler.reconcile:
            raise InvalidArgumentError(f"{name} must define reconcile(self, key, ctx)")
        _check_takes(self, "reconcile", "key", "ctx")
        _check_takes(self, "keys", "event")
        workers: object = self.workers
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise InvalidArgumentError(
                f"{name}.workers must be a whole number, 1 or more, got {repr_of(workers)}"
            )
        seconds_or_none(f"{name}.resync", self.resync, zero=False)
        rate: object = self.rate
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if rate is not None and not (number and 0 < self.rate < float("inf")):  # type: ignore[operator]  # it is a number
            raise InvalidArgumentError(
                f"{name}.rate must be runs a second, more than 0, or None, got {repr_of(rate)}"
            )
        if not isinstance(self.backoff, Backoff):
            raise InvalidArgumentError(
                f"{name}.backoff must be a Backoff, got {repr_of(self.backoff)}"
            )
        self._reactor = reactor

    def start(self) -> None:
        """Start the threads; called on the informer's thread before the first event."""
        reactor = self._reactor
        if reactor is None:
            raise InvalidStateError(
                f"{type(self).__name__}.attach() was overridden without super().attach(reactor)"
            )
        registration = next(one for one in reactor.registrations if one.informer is self)
        views = self._views = _Views(reactor, registration)
        runner = _Runner(self, views, registration)
        queue: WorkQueue[Hashable] = WorkQueue(
            self.backoff, interval=1.0 / self.rate if self.rate else 0.0, random=random.random
        )
        runs = self._runs = Runs(
            registration.name,
            queue,
            runner.run,
            workers=max(self.workers, registration.options.workers),
            resync=self._resync,
            resync_every=self.resync,
            stopping=registration.stopping,
            ended=runner.close,
        )
        runs.begin()

    def close(self) -> None:
        """Run what is due and end the threads; called on the informer's thread, last of all."""
        if self._runs is not None:
            self._runs.close()

    def on_transition(self, event: TaskEvent) -> None:
        """Queue the keys of a task's event."""
        self._observe(event)

    def on_opened(self, event: SessionEvent) -> None:
        """Queue the keys of a session's event."""
        self._observe(event)

    def on_progress(self, counts: Any) -> None:  # Any: a SessionProgress, which has its event
        """Queue the keys of a session's event."""
        self._observe(counts.event)

    def on_closed(self, event: SessionEvent) -> None:
        """Queue the keys of a session's event."""
        self._observe(event)

    def on_deleted(self, event: Any) -> None:
        """Queue the keys of a session's event; a task's came as a transition."""
        if isinstance(event, SessionEvent):
            self._observe(event)

    def on_event(self, event: SessionEvent) -> None:
        """Queue the keys of what the engine recorded of a session."""
        self._observe(event)

    def on_synced(self) -> None:
        """Let the runs begin."""
        if self._runs is not None:
            self._runs.open()

    def _observe(self, event: TaskEvent | SessionEvent) -> None:
        runs = self._runs
        if runs is None:
            raise InvalidStateError(
                f"{type(self).__name__}.start() was overridden without super().start()"
            )
        for key in _several(self.keys(event)):
            runs.add(_checked(key))

    def _resync(self) -> None:
        """Queue the keys of everything that is there."""
        if self._views is None:
            return
        for session in self._views.sessions.list():
            self._observe(
                SessionEvent(
                    kind=SessionEventKind.PROGRESS, session=session, source=EventSource.REPLAY
                )
            )
        for task in self._views.tasks.list() if self.watch_tasks else ():
            self._observe(TaskEvent(kind=EventKind.UPDATED, task=task, source=EventSource.REPLAY))


class _Runner:
    """Calls ``reconcile`` and says how it ended; on the threads of the workers."""

    def __init__(self, reconciler: Reconciler, views: _Views, registration: Registration) -> None:
        self._reconcile = reconciler.reconcile
        self._views = views
        self._registration = registration
        self._loop = SharedLoop(registration.name, registration.given_loop)
        self.close = self._loop.close

    def run(self, key: Hashable, failures: int) -> Outcome:
        """Run one key."""
        views = self._views
        context = ReconcileContext(
            reactor=views.reactor,
            tasks=views.tasks,
            sessions=views.sessions,
            applications=views.applications,
            failures=failures,
            stopping=self._registration.stopping,
        )
        try:
            answer = self._reconcile(key, context)
            if inspect.isawaitable(answer):
                answer = self._loop.run(answer)
            return _outcome_of(answer)
        except BaseException as error:
            return self._failed(key, failures, error)

    def _failed(self, key: Hashable, failures: int, error: BaseException) -> Outcome:
        if self._registration.stopping.is_set() and isinstance(error, CancelledError):
            return Outcome(ok=False, final=True)
        self._registration.report("reconcile", key, error, attempts=failures + 1)
        kind = type(error)  # isinstance asks a __class__, which a user's exception may define
        if issubclass(kind, PermanentError):
            return Outcome(ok=False, final=True)
        delay = error.delay if isinstance(error, TemporaryError) else None
        return Outcome(ok=False, again=delay)


def _outcome_of(answer: object) -> Outcome:
    if answer is None:
        return Outcome()
    if isinstance(answer, Result):
        return Outcome(again=answer.requeue_after)
    raise TypeError(f"reconcile must return None or a Result, got {repr_of(answer)}")


class _Views:
    """The listers over what a registration watches; they read nothing of their own."""

    def __init__(self, reactor: Reactor, registration: Registration) -> None:
        self.reactor = reactor
        link, hub = reactor._running()
        self._registration = registration
        self.tasks = TaskLister(link, hub, self)
        self.sessions = SessionLister(link, hub, self)
        self.applications = ApplicationLister(link, hub, self)

    @property
    def synced(self) -> bool:
        """Whether the registration is synced."""
        return self._registration.synced

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is, or ended; False after ``timeout`` seconds."""
        try:
            self._registration.wait_synced(timeout)
        except InvalidStateError:
            return True
        except DeadlineExceededError:
            return False
        return True


def _several(keys: Keys) -> Iterable[Hashable]:
    if keys is None:
        return ()
    if isinstance(keys, (list, set, frozenset, Iterator)):
        return keys
    key: Hashable = keys  # type: ignore[assignment]  # what else is iterable is refused by hash()
    return (key,)


def _checked(key: Hashable) -> Hashable:
    try:
        hash(key)
    except TypeError as error:
        raise InvalidArgumentError(
            f"a key must be hashable, such as a text or a tuple, got {repr_of(key)}"
        ) from error
    if key is None:
        raise InvalidArgumentError("a key must not be None; return None or [] from keys() for none")
    return key


def _check_takes(reconciler: Reconciler, name: str, *arguments: str) -> None:
    method = getattr(reconciler, name)
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # a builtin or a mock: it says nothing of its signature
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise InvalidArgumentError(
            f"{type(reconciler).__name__}.{name}{signature} has the wrong signature: it is called "
            f"with ({', '.join(arguments)}) beside self ({text_of(error)})"
        ) from None
