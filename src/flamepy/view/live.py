"""``LiveView``: a ``ClusterView`` of a running reactor. The thin shell around the model.

It starts no thread: its owner calls ``refresh`` some times a second, on one thread, and reads the
model between. What comes meanwhile waits in the reactor's stream, which is bounded: what does not
fit is read from the reactor's store later, so that nothing is lost and memory does not grow.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flamepy.errors import DeadlineExceededError, FlameError, InvalidStateError
from flamepy.informers.delivery.invocation import FinishedCall
from flamepy.informers.expect import Rule
from flamepy.informers.queries.engine_calls import EngineCalls, EngineStatus
from flamepy.informers.rules.rule_book import Now, RuleBook
from flamepy.runtime.clocks import monotonic, wall
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of, text_of
from flamepy.types import Executor, Node, Task
from flamepy.view.model import ClusterView, Connection, ViewLimits
from flamepy.view.rows import Page, TaskRow
from flamepy.view.task_query import TaskQuery
from flamepy.watching.state.events import SessionEvent, TaskEvent

if TYPE_CHECKING:
    from flamepy.informers.delivery.registration import Registration
    from flamepy.informers.delivery.stream import EventStream
    from flamepy.informers.reactor import Reactor

logger = logging.getLogger(__name__)
_repeated = RepeatedLog(logger)

QUEUE_SIZE = 50_000  # events that wait for ``refresh``
BUDGET = 0.05  # seconds of one ``refresh``
MACHINES_EVERY = 2.0  # seconds between two looks at nodes and executors
HANDLERS_EVERY = 0.5  # seconds between two looks at the informers
CALLS_KEPT = 50_000  # ended calls of callbacks that wait for ``refresh``

Looked = tuple["tuple[list[Node], list[Executor]] | None", "FlameError | None"]


class LiveView:
    """A model of a reactor's engine, and what keeps it current. For one thread.

    Args:
        reactor: started, or about to be; it stays its owner's.
        limits: how much the model keeps.
        rules: what is expected (``flamepy.informers.expect``), for the reasons of sessions; by
            default those with which the reactor's informers were registered by now.
        machines_every: seconds between two looks at nodes and executors, two calls each.

    Raises:
        InvalidArgumentError: ``machines_every`` is no number of seconds above 0.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        limits: ViewLimits | None = None,
        rules: Iterable[Rule] | None = None,
        machines_every: float = MACHINES_EVERY,
    ) -> None:
        self.reactor = reactor
        self.model = ClusterView(limits)
        chosen = rules_of(reactor.registrations) if rules is None else tuple(rules)
        self._book = RuleBook(chosen, forget=self.model.on_time) if chosen else None
        self._every = seconds("machines_every", machines_every, zero=False)
        self._looked: deque[Looked] = deque(maxlen=4)
        self._looking = False
        self._next_look = self._next_handlers = -math.inf
        self._calls: deque[FinishedCall] = deque(maxlen=CALLS_KEPT)
        self._stream: EventStream | None = None
        self._unobserve: Callable[[], None] = lambda: None
        self._away = False

    def open(self) -> LiveView:
        """Begin to collect; before or after the reactor's start."""
        if self._stream is None:
            self._stream = self.reactor.stream(sessions=True, queue_size=QUEUE_SIZE)
            self._unobserve = self.reactor.observe_calls(self._calls.append)
        return self

    def close(self) -> None:
        """Stop; idempotent. The model stays as it is."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._unobserve()

    def __enter__(self) -> LiveView:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ keeping it current

    def refresh(self, budget: float = BUDGET) -> bool:
        """Record what has happened since the last time.

        Args:
            budget: seconds after which it returns though more waits.

        Returns:
            True if more waits.
        """
        limit = monotonic() + seconds("budget", budget)
        more = self._take_events(limit)
        self._take_calls()
        now, at = monotonic(), wall()
        self._check_rules(now, at)
        engine = self._engine()
        if engine is not None:
            self._look_at_machines(engine, now, at)
            status = engine.status()
            self._note_outage(status, at)
            self.model.tick(connection_of(status, synced=not more), at)
        if now >= self._next_handlers:
            self._next_handlers = now + HANDLERS_EVERY
            registrations = self.reactor.registrations
            self.model.observe_handlers([described(one) for one in registrations], at)
        return more

    def _engine(self) -> EngineCalls | None:
        try:
            return self.reactor.engine
        except InvalidStateError:
            return None  # not started yet, or stopped

    def _take_events(self, limit: float) -> bool:
        stream = self._stream
        if stream is None:
            return False
        offset = wall() - monotonic()
        with suppress(DeadlineExceededError):
            while (event := stream.next(0.0)) is not None:
                self._observe(event, event.observed_at + offset)
                if monotonic() >= limit:
                    return True
        return False

    def _observe(self, event: TaskEvent | SessionEvent, at: float) -> None:
        self.model.observe(event, at)
        if self._book is not None:
            try:
                self._book.observe(event, Now(monotonic(), at))
            except Exception as error:  # a rule's own ``where``
                text = "a rule raised for %s: %s"
                _repeated.log(
                    *(logging.WARNING, kind_of(error), text, event.key, repr_of(error)), error=error
                )

    def _check_rules(self, now: float, at: float) -> None:
        if self._book is not None:
            for event in self._book.overdue(Now(now, at)):
                self.model.overdue(event)

    def _take_calls(self) -> None:
        offset, calls = wall() - monotonic(), self._calls
        for _ in range(len(calls)):
            call = calls.popleft()
            late = max(0.0, call.started - max(one.observed_at for one in call.events))
            ended = call.ended + offset
            self.model.call_ended(call.informer, ended, call.ended - call.started, late)
            if call.failed:
                self.model.handler_failed(call.informer, ended, f"{call.callback}: {call.error}")

    def _look_at_machines(self, engine: EngineCalls, now: float, at: float) -> None:
        while self._looked:
            found, error = self._looked.popleft()
            self._looking = False
            if found is not None:
                self.model.observe_machines(*found, at)
            elif error is not None:
                logger.debug("nodes and executors could not be read: %s", text_of(error))
        if not self._looking and now >= self._next_look:
            self._looking, self._next_look = True, now + self._every
            engine.machines(lambda found, error: self._looked.append((found, error)))

    def _note_outage(self, status: EngineStatus, at: float) -> None:
        away = status.away_for is not None
        if away and not self._away:
            self.model.notice(at, "engine away", status.away_reason)
        elif self._away and not away:
            self.model.notice(at, "engine back", "")
        self._away = away

    # ------------------------------------------------------------------ tasks

    def tasks(self, query: TaskQuery) -> Page[TaskRow]:
        """Return a part of the tasks that the reactor knows.

        Finished ones beyond the reactor's ``retain_terminal`` are counted and not listed; the page
        says so.

        Raises:
            InvalidStateError: the reactor does not run.
        """
        lister = self.reactor.tasks
        found: Sequence[Task]
        if query.session:
            found = lister.by_index("session", query.session)
        elif len(query.states) == 1:
            found = lister.by_index("state", query.states[0])
        elif query.application:
            found = lister.by_index("application", query.application)
        else:
            found = lister.list()
        if query.application:
            name_of = self.model.sessions_known.application_of
            found = [one for one in found if name_of(one.session_id) == query.application]
        return self.model.tasks(query, found)


def rules_of(registrations: Iterable[Registration]) -> tuple[Rule, ...]:
    """Return the rules of some informers, each once."""
    found: list[Rule] = []
    for one in registrations:
        found += [rule for rule in one.options.rules if rule not in found]
    return tuple(found)


def described(registration: Registration) -> tuple[dict[str, object], str]:
    """Return how an informer is, and where its stuck callback is."""
    shown = registration.describe()
    return shown, registration.stack() if shown["stuck"] else ""


def connection_of(status: EngineStatus, *, synced: bool) -> Connection:
    """Return what the model keeps of a connection."""
    return Connection(
        endpoint=status.endpoint,
        state=status.state.value,
        away_for=status.away_for,
        away_reason=status.away_reason,
        age=None if math.isinf(status.freshness) else status.freshness,
        synced=synced,
        polls=status.polls,
        calls=status.stats.calls,
        call_failures=status.stats.failures,
        drifts=status.drifts,
        missed=status.missed,
    )
