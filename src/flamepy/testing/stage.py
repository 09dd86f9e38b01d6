"""``Stage``: a scripted engine, a reactor and the informer that ``checking`` puts into a situation.

A witness of our own is registered beside the informer and receives the same events, so that a
script can wait until they were delivered.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from flamepy.errors import FlameError
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer
from flamepy.informers.reactor import Reactor
from flamepy.informers.reconcile.reconciler import Reconciler
from flamepy.runtime.clocks import monotonic
from flamepy.testing.observed import Observed
from flamepy.testing.scripted_connection import ScriptedConnection
from flamepy.testing.scripted_source import ScriptedSource
from flamepy.texts import repr_of, text_of
from flamepy.types import ConnectionState
from flamepy.watching.state.events import EventKind, SessionEvent, TaskEvent

LOGGER = logging.getLogger("flamepy.informers.reports")
LOOK_INTERVAL = 0.005  # seconds
WAIT_LIMIT = 20.0  # seconds for one step of a script
POLL_INTERVAL = (0.005, 0.02)  # seconds, busy and idle


class NotRegistered(Exception):
    """The informer could not be made, or was refused; ``__cause__`` says why."""


class Witness(TaskInformer, SessionInformer):
    """Records what it receives: ``s/1 succeed``, ``s/1 deleted``, ``s opened``."""

    def __init__(self) -> None:
        self._received: Counter[str] = Counter()
        self._news = threading.Condition()

    def on_transition(self, event: TaskEvent) -> None:
        """Record a task's state."""
        deleted = event.kind is EventKind.DELETED
        state = "deleted" if deleted else event.task.state.name.lower()
        self._record(f"{event.task.session_id}/{event.task.id} {state}")

    def _session(self, event: SessionEvent) -> None:
        self._record(f"{event.session.id} {event.kind.value}")

    on_opened = on_drained = on_closed = on_event = _session

    def on_deleted(self, event: Any) -> None:
        """Record a session's delete; a task's is recorded by ``on_transition``."""
        if isinstance(event, SessionEvent):
            self._session(event)

    def _record(self, text: str) -> None:
        with self._news:
            self._received[text] += 1
            self._news.notify_all()

    def wait(self, wanted: Counter[str], timeout: float) -> Counter[str]:
        """Wait until all of it was received, and remove it; return what is missing."""
        with self._news:
            self._news.wait_for(lambda: not wanted - self._received, timeout)
            missing = wanted - self._received
            self._received -= wanted
        return missing


class Stage:
    """An engine, a reactor and an informer on it; a context manager that stops all of them.

    Args:
        make: returns the informer of a registration.
        options: of each registration.
        limit: seconds that a callback may take.
        payloads: as of ``Reactor``.
    """

    def __init__(
        self,
        make: Callable[[], Informer],
        options: Mapping[str, Any],
        *,
        limit: float,
        payloads: bool,
    ) -> None:
        self._make = make
        self.options = {"batch_delay": 0.05, **options}
        self._limit = limit
        self._payloads = payloads
        self._gates: list[threading.Event] = []
        self._neighbours: set[str] = set()
        self.witness = Witness()
        self.observed: list[Observed] = []
        self.registrations: list[Registration] = []
        self.connection = ScriptedConnection()
        self.reactor = self._new_reactor()

    def _new_reactor(self) -> Reactor:
        made = Reactor(
            connection=self.connection,
            plugins=(),
            poll_interval=POLL_INTERVAL,
            payloads=self._payloads,
        )
        made.register(self.witness)
        return made.start()

    # ------------------------------------------------------------------ for scripts

    def do(self, *acts: Callable[[ScriptedSource], object]) -> None:
        """Run changes in the engine, all at one moment."""
        self.connection.do(lambda source: [act(source) for act in acts])

    def register(
        self,
        *,
        cut_off: bool = False,
        prepare: Callable[[Informer], None] = lambda informer: None,
        **options: Any,
    ) -> Observed:
        """Register a new informer of the author's and observe it.

        Args:
            cut_off: the situation stops it without a drain, so that tries may be left out.
            prepare: changes the informer before it is registered.
            **options: of the registration.

        Raises:
            NotRegistered: it could not be made, or was refused.
        """
        given = {**self.options, **options}
        try:
            informer = self._make()
        except Exception as error:
            raise NotRegistered(
                f"cannot be made: {type(error).__name__}: {text_of(error)}"
            ) from error
        prepare(informer)
        try:
            observed = Observed(
                informer,
                self._limit,
                retried=given.get("retry") is not None,
                rules=given.get("rules", ()),
            )
            self.observed.append(observed)
            for name in ("where", "transform"):
                if given.get(name) is not None:
                    given[name] = observed.watched(name, given[name])
            registration = self.reactor.register(informer, **given)
        except Exception as error:
            message = error.message if isinstance(error, FlameError) else repr_of(error)
            raise NotRegistered(f"cannot be registered: {message}") from error
        observed.registered, observed.cut_off = True, cut_off
        self.registrations.append(registration)
        return observed

    def beside(self, neighbour: TaskInformer) -> None:
        """Register an informer of ours beside it; its errors are not logged."""
        self._neighbours.add(self.reactor.register(neighbour, name="a neighbour").name)

    def _is_logged(self, record: logging.LogRecord) -> bool:
        named = isinstance(record.args, tuple) and record.args[:1]
        return not (named and str(named[0]) in self._neighbours)

    def gate(self) -> threading.Event:
        """Return an event that is set when the stage ends, at the latest."""
        made = threading.Event()
        self._gates.append(made)
        return made

    def wait_for(self, *texts: str) -> None:
        """Wait until the witness received all of these events since the last call.

        Raises:
            TimeoutError: it did not: a fault of this module, or a very slow machine.
        """
        missing = self.witness.wait(Counter(texts), WAIT_LIMIT)
        if missing:
            raise TimeoutError(
                f"not delivered within {WAIT_LIMIT:g} s: {', '.join(sorted(missing))}"
            )

    def wait_connection(self, state: ConnectionState) -> None:
        """Wait until the connection is in a state.

        Raises:
            TimeoutError: it is in another one after the limit.
        """
        end = monotonic() + WAIT_LIMIT
        while self.connection.link.state is not state:
            if monotonic() > end:
                raise TimeoutError(f"the connection was not {state} within {WAIT_LIMIT:g} s")
            threading.Event().wait(LOOK_INTERVAL)

    def wait_idle(self) -> None:
        """Wait until the informers are idle, twice the limit of a callback at most."""
        end = monotonic() + 2 * self._limit
        while monotonic() < end and any(self._busy(one) for one in self.registrations):
            threading.Event().wait(LOOK_INTERVAL)

    def _busy(self, registration: Registration) -> bool:
        stats, informer = registration.stats, registration.informer
        if isinstance(informer, Reconciler):
            runs = informer.stats
            if runs.running or runs.oldest_age:
                return True
        return bool(stats.queued) or stats.running_for is not None

    def wait_called(self, observed: Observed, name: str) -> None:
        """Wait until a callback of an informer was called.

        Raises:
            TimeoutError: it was not.
        """
        end = monotonic() + WAIT_LIMIT
        while not observed.called[name]:
            if monotonic() > end:
                raise TimeoutError(f"{name} was not called within {WAIT_LIMIT:g} s")
            threading.Event().wait(LOOK_INTERVAL)

    def restart(self) -> None:
        """Stop the reactor and start another one, as a new process would."""
        self.stop()
        self.witness = Witness()
        self.registrations.clear()
        self.reactor = self._new_reactor()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the reactor; what is queued is delivered first."""
        self.reactor.stop(2 * self._limit + 0.5 if timeout is None else timeout)
        for registration in self.registrations:
            registration.remove(wait=True, timeout=self._limit)  # until close() has returned

    # ------------------------------------------------------------------ the end

    def __enter__(self) -> Stage:
        LOGGER.addFilter(self._is_logged)
        return self

    def __exit__(self, *_: object) -> None:
        for gate in self._gates:
            gate.set()
        try:
            self.stop()
            self.connection.close()
        finally:
            LOGGER.removeFilter(self._is_logged)
