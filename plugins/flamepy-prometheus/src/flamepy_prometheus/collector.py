"""What is read at each scrape: sessions and their counters, and the reactor's health.

Gauges that are read when asked for cannot be out of date, and need no bookkeeping per event.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flamepy.informers import Health, Reactor, SessionEvent
from flamepy.types import ConnectionState, SessionInfo

STATES = ("pending", "running", "succeed", "failed", "cancelled")
COUNTERS = (
    ("delivered", "flame_informer_events", "Events given to an informer."),
    ("coalesced", "flame_informer_coalesced", "Events coalesced by a full queue."),
    ("dead", "flame_informer_dead_letters", "Events that an informer could not handle."),
    ("missed", "flame_informer_missed", "Ends in an informer's scope that it could not be given."),
    ("failures", "flame_informer_failures", "Exceptions of an informer's callbacks."),
    ("retries", "flame_informer_retries", "Callbacks of an informer called again after an error."),
    ("slow", "flame_informer_slow", "Callbacks of an informer that ran over their time limit."),
    ("handler_seconds", "flame_informer_handler_seconds", "Time spent in an informer."),
)
GAUGES: tuple[tuple[str, str, str, Callable[[list[float]], float]], ...] = (
    (
        "queued",
        "flame_informer_queue_depth",
        "Events accepted for an informer and not handled.",
        sum,
    ),
    (
        "oldest_age",
        "flame_informer_oldest_age_seconds",
        "Age of the oldest event that waits for an informer; 0 if none waits.",
        max,
    ),
    (
        "running_for",
        "flame_informer_running_seconds",
        "How long an informer's oldest running callback has been running; 0 if none runs.",
        max,
    ),
    (
        "stuck",
        "flame_informer_stuck",
        "Callbacks of an informer that run over their time limit now.",
        sum,
    ),
)


def _by_name(health: Health, attribute: str) -> dict[str, list[float]]:
    """Return what informers have of an attribute, by name: several may have the same one.

    Prometheus takes no two samples with the same labels.
    """
    found: dict[str, list[float]] = {}
    for one in health.informers:
        found.setdefault(one.name, []).append(getattr(one.stats, attribute) or 0.0)
    return found


def _held(health: Health) -> Iterator[Metric]:
    """Yield how many informers of a name are left alone after failures, and how many are paused."""
    for state in ("quarantined", "paused"):
        about = f"Informers of a name that are {state}: their events wait."
        gauge = GaugeMetricFamily(f"flame_informer_{state}", about, labels=["informer"])
        found: Counter[str] = Counter()
        for one in health.informers:
            found[one.name] += one.state.startswith(f"{state}:")
        for informer, count in found.items():
            gauge.add_metric([informer], count)
        yield gauge


class SessionCollector(Collector):
    """Tasks and sessions by application and state, from the sessions' own counters."""

    def __init__(self) -> None:
        self._guard = threading.Lock()  # guards _sessions: the informer writes, a scrape reads
        self._sessions: dict[str, SessionInfo] = {}

    def note(self, event: SessionEvent) -> None:
        """Take a session's new state."""
        with self._guard:
            if event.kind == "deleted":
                self._sessions.pop(event.session.id, None)
            else:
                self._sessions[event.session.id] = event.session

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        with self._guard:
            sessions = list(self._sessions.values())
        tasks: Counter[tuple[str, str]] = Counter()
        states: Counter[tuple[str, str]] = Counter()
        for session in sessions:
            states[session.application, session.state.name.lower()] += 1
            for state in STATES:
                tasks[session.application, state] += getattr(session.counts, state)
        labels = ["application", "state"]
        for name, about, counted in (
            ("flame_tasks", "Tasks that the engine counts, in sessions it knows.", tasks),
            ("flame_sessions", "Sessions that the engine knows.", states),
        ):
            gauge = GaugeMetricFamily(name, about, labels=labels)
            for key, value in counted.items():
                gauge.add_metric(list(key), value)
            yield gauge


class ReactorCollector(Collector):
    """The connection's state and every informer's queue, from ``reactor.health()``."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def collect(self) -> Iterator[Metric]:
        """Yield gauges and counters."""
        health = self._reactor.health()
        state = GaugeMetricFamily(
            "flame_connection_state", "1 for the state it is in.", labels=["state"]
        )
        for known in ConnectionState:
            state.add_metric([known.value], float(known is health.connection))
        yield state
        yield GaugeMetricFamily("flame_synced", "1 if every informer is synced.", health.synced)
        yield GaugeMetricFamily(
            "flame_ready",
            "1 if the engine answers and every informer has what is recent of it.",
            health.ready,
        )
        yield GaugeMetricFamily(
            "flame_freshness_seconds",
            "Age of the last answer that showed every session; +Inf before the first.",
            health.freshness,
        )
        yield from _held(health)
        for attribute, name, about, together in GAUGES:
            gauge = GaugeMetricFamily(name, about, labels=["informer"])
            for informer, values in _by_name(health, attribute).items():
                gauge.add_metric([informer], together(values))
            yield gauge
        yield CounterMetricFamily(
            "flame_events_missed",
            "Ends of tasks that could not be read before their session was gone.",
            health.missed,
        )
        for attribute, name, about in COUNTERS:
            counter = CounterMetricFamily(name, about, labels=["informer"])
            for informer, values in _by_name(health, attribute).items():
                counter.add_metric([informer], sum(values))
            yield counter

    def describe(self) -> list[Metric]:
        """Name nothing at registration: the reactor may not run yet."""
        return []
