"""The metrics: what is counted at each event, and what is read when the SDK collects.

``TaskMetrics`` is called by the informer. ``Observed`` has the instruments that are read: the API
cannot remove one, so a meter has them once, for all reactors that are observed by it now.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from flamepy.informers import FinishedCall, Health, Reactor
from flamepy.types import ConnectionState, SessionInfo
from flamepy_opentelemetry import names
from flamepy_opentelemetry.timeline import SECOND, Piece

STATES = ("pending", "running", "succeed", "failed", "cancelled")
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
QUICK = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
OPERATION = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

Labels = Mapping[str, str]


def meter_of(provider: MeterProvider | None) -> Meter:
    """Return the plugin's meter of a provider; None: of the process's."""
    return metrics.get_meter(names.SCOPE, names.VERSION, provider, names.SCHEMA)


class TaskMetrics:
    """Counts and measures tasks and callbacks. From any thread."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        meter = meter_of(provider)
        self._transitions = meter.create_counter(
            "flame.task.transitions", "{transition}", "Observed changes of tasks, by new state."
        )
        self._durations = {
            names.TASK: _histogram(meter, "flame.task.duration", "From creation to end.", BUCKETS),
            names.QUEUED: _histogram(
                meter, "flame.task.queue.duration", "From creation to start.", BUCKETS
            ),
            names.RUNNING: _histogram(
                meter, "flame.task.run.duration", "From start to end.", BUCKETS
            ),
        }
        self._lag = _histogram(
            meter, "flame.event.lag", "From the observation of a change to the informer.", QUICK
        )
        self._callbacks = _histogram(
            meter, "flame.informer.callback.duration", "Calls of informers' callbacks.", QUICK
        )
        self._retries = meter.create_counter(
            "flame.call.retries", "{call}", "Calls to the engine that were made again."
        )

    def changed(self, application: str, state: str, lag: float) -> None:
        """Count a change that was observed ``lag`` seconds ago."""
        self._transitions.add(1, {names.APPLICATION: application, names.TASK_STATE: state})
        self._lag.record(lag, {names.APPLICATION: application})

    def spent(self, application: str, state: str, pieces: Iterable[Piece]) -> None:
        """Measure the spans of a task that ended; those with an inferred edge are left out."""
        for piece in pieces:
            if not piece.inferred:
                seconds = (piece.end.at - piece.start.at) / SECOND
                labels = {names.APPLICATION: application, names.TASK_STATE: state}
                self._durations[piece.name].record(seconds, labels)

    def called(self, call: FinishedCall) -> None:
        """Measure a call of an informer's callback."""
        labels = {names.INFORMER: call.informer, names.CALLBACK_NAME: call.callback}
        if call.failed:
            labels[names.ERROR_TYPE] = "_OTHER"
        self._callbacks.record(call.ended - call.started, labels)

    def retried(self, endpoint: str) -> None:
        """Count a call that is made again."""
        self._retries.add(1, {names.ENDPOINT: endpoint})


def _histogram(meter: Meter, name: str, about: str, buckets: tuple[float, ...]) -> Any:
    """Return a histogram of seconds. Any: the API's type is a class with more than is used."""
    return meter.create_histogram(name, "s", about, explicit_bucket_boundaries_advisory=buckets)


# ---------------------------------------------------------------------- what is read

COUNTERS = (
    ("delivered", "flame.informer.events", "{event}", "Events given to an informer."),
    ("coalesced", "flame.informer.coalesced", "{event}", "Events coalesced by a full queue."),
    ("dead", "flame.informer.dead_letters", "{event}", "Events that could not be handled."),
    ("missed", "flame.informer.missed", "{event}", "Ends that could not be read."),
    ("failures", "flame.informer.failures", "{call}", "Callbacks that failed for good."),
    ("retries", "flame.informer.retries", "{call}", "Callbacks called again after an error."),
    ("slow", "flame.informer.slow", "{call}", "Callbacks over their time limit."),
)
GAUGES = (
    ("queued", "flame.informer.queue.depth", "{event}", "Events accepted and not handled.", sum),
    ("oldest_age", "flame.informer.queue.age", "s", "Age of the oldest of them.", max),
    ("running_for", "flame.informer.running", "s", "Age of the oldest running callback.", max),
    ("stuck", "flame.informer.stuck", "{call}", "Callbacks over their time limit now.", sum),
)


def by_informer(health: Health, attribute: str) -> dict[str, list[float]]:
    """Return a value of the informers' stats by name: several informers may have the same one."""
    found: dict[str, list[float]] = {}
    for one in health.informers:
        found.setdefault(one.name, []).append(getattr(one.stats, attribute) or 0.0)
    return found


class Source:
    """A reactor that is read: its health, and the sessions from ``follow`` on until it stops."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.sessions: Callable[[], Sequence[SessionInfo]] = list

    def follow(self) -> None:
        """Begin to read the sessions; not at a collection, which must not wait for the engine."""
        self.sessions = self.reactor.sessions.list


def of_tasks(source: Source) -> Iterator[tuple[float, Labels]]:
    """Yield the tasks of each application and state, by the counters of the sessions."""
    found: Counter[tuple[str, str]] = Counter()
    for session in source.sessions():
        for state in STATES:
            found[session.application, state] += getattr(session.counts, state)
    for (application, state), count in found.items():
        yield count, {names.APPLICATION: application, names.TASK_STATE: state}


def of_sessions(source: Source) -> Iterator[tuple[float, Labels]]:
    """Yield the sessions of each application and state."""
    found = Counter((one.application, one.state.name.lower()) for one in source.sessions())
    for (application, state), count in found.items():
        yield count, {names.APPLICATION: application, names.SESSION_STATE: state}


def of_connection(source: Source) -> Iterator[tuple[float, Labels]]:
    """Yield 1 for the state that the connection is in, 0 for the others."""
    now = source.reactor.health().connection
    for known in ConnectionState:
        yield float(known is now), {names.CONNECTION_STATE: known.value}


def of_health(attribute: str) -> Callable[[Source], Iterator[tuple[float, Labels]]]:
    """Return a function that yields one value of a reactor's health."""

    def read(source: Source) -> Iterator[tuple[float, Labels]]:
        value = float(getattr(source.reactor.health(), attribute))
        if value != float("inf"):
            yield value, {}

    return read


def of_informers(
    attribute: str, together: Callable[[list[float]], float]
) -> Callable[[Source], Iterator[tuple[float, Labels]]]:
    """Return a function that yields a value of each informer's stats."""

    def read(source: Source) -> Iterator[tuple[float, Labels]]:
        for informer, values in by_informer(source.reactor.health(), attribute).items():
            yield together(values), {names.INFORMER: informer}

    return read


class Observed:
    """The instruments of one provider that are read at each collection.

    A reactor may be added by several plugins; it is read once, until each has removed it.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._sources: list[Source] = []
        meter = meter_of(provider)
        for attribute, name, unit, about in COUNTERS:
            meter.create_observable_counter(
                name, [self._reader(of_informers(attribute, sum))], unit, about
            )
        for attribute, name, unit, about, together in GAUGES:
            meter.create_observable_gauge(
                name, [self._reader(of_informers(attribute, together))], unit, about
            )
        sums: tuple[tuple[str, Any, str, str], ...] = (
            ("flame.tasks", of_tasks, "{task}", "Tasks by the engine's own counters."),
            ("flame.sessions", of_sessions, "{session}", "Sessions that the engine knows."),
            ("flame.connection.state", of_connection, "1", "1 for the state it is in."),
        )
        for name, read, unit, about in sums:
            meter.create_observable_up_down_counter(name, [self._reader(read)], unit, about)
        for attribute, unit, about in (
            ("synced", "1", "1 if every informer is synced."),
            ("ready", "1", "1 if the engine answers and what is known of it is recent."),
            ("freshness", "s", "Age of the last answer that showed every session."),
            (
                "missed",
                "{event}",
                "Ends of tasks that were not read before their session was gone.",
            ),
        ):
            name = f"flame.reactor.{attribute}"
            meter.create_observable_gauge(name, [self._reader(of_health(attribute))], unit, about)

    def add(self, source: Source) -> None:
        """Read a reactor from now on."""
        self._sources.append(source)

    def remove(self, source: Source) -> None:
        """Read it no more."""
        if source in self._sources:
            self._sources.remove(source)

    def _reader(
        self, read: Callable[[Source], Iterable[tuple[float, Labels]]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for source in {one.reactor: one for one in self._sources}.values():
                endpoint = source.reactor.health().endpoint
                for value, labels in read(source):
                    yield Observation(value, {names.ENDPOINT: endpoint, **labels})

        return observe


_observed: weakref.WeakKeyDictionary[MeterProvider, Observed] = weakref.WeakKeyDictionary()


def observed_by(provider: MeterProvider | None) -> Observed:
    """Return the instruments of a provider; None: the process's."""
    own = provider or metrics.get_meter_provider()
    return _observed.setdefault(own, _observed.get(own) or Observed(own))
