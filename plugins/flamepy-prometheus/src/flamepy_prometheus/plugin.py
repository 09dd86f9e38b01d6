"""The informer: counts transitions, measures tasks and lag, and serves it all over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector

from flamepy.errors import PluginError
from flamepy.informers import (
    EventKind,
    Reactor,
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TaskInformer,
    signals,
)
from flamepy_prometheus.collector import STATES, ReactorCollector, SessionCollector
from flamepy_prometheus.server import MetricsServer

logger = logging.getLogger(__name__)

DEFAULT_PORT = 9464
TASK_BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
LAG_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)


class Prometheus(TaskInformer, SessionInformer):
    """Metrics of an engine's tasks and sessions, and of the informers of this process.

    Args:
        port: where to serve; 0 picks a free one, None serves nothing (``registry`` does).
        host: the address to listen on.
        registry: "own" for one that has nothing else, "default" for the process's, or an object.
        task_buckets: upper bounds of the histogram of task seconds.
    """

    resume = False  # counters begin at zero in each process

    def __init__(
        self,
        *,
        port: int | None = DEFAULT_PORT,
        host: str = "127.0.0.1",
        registry: CollectorRegistry | str = "own",
        task_buckets: Sequence[float] = TASK_BUCKETS,
    ) -> None:
        self.registry = _registry(registry)
        self._address = None if port is None else (port, host)
        self._sessions = SessionCollector()
        self._transitions = Counter(
            "flame_task_transitions",
            "Observed changes of tasks, by the state they went to.",
            ["application", "state"],
            registry=None,
        )
        self._seconds = Histogram(
            "flame_task_seconds",
            "From a task's creation to its end, by the engine's clock.",
            ["application", "state"],
            buckets=task_buckets,
            registry=None,
        )
        self._lag = Histogram(
            "flame_event_lag_seconds",
            "From the observation of a change to its callback.",
            buckets=LAG_BUCKETS,
            registry=None,
        )
        self._retries = Counter(
            "flame_call_retries", "Calls to the engine that were made again.", registry=None
        )
        self._registered: list[Collector] = []
        self._reactor: Reactor | None = None
        self._server: MetricsServer | None = None

    @property
    def port(self) -> int | None:
        """The port that is served, None while none is."""
        return None if self._server is None else self._server.port

    def attach(self, reactor: Reactor) -> None:
        """Serve from now on, also while the engine cannot be reached.

        Raises:
            PluginError: the address cannot be listened on.
        """
        if self._address is not None:
            port, host = self._address
            try:
                self._server = MetricsServer(host, port, self.registry)
            except (OSError, RuntimeError) as error:
                raise PluginError(f"cannot serve metrics at {host}:{port}: {error}") from error
        own = (self._transitions, self._seconds, self._lag, self._retries, self._sessions)
        for collector in (*own, ReactorCollector(reactor)):
            self.registry.register(collector)
            self._registered.append(collector)
        self._reactor = reactor
        signals.retry_scheduled.connect(self._retried)

    def start(self) -> None:
        """Say where it serves."""
        if self._address is not None:
            logger.info("metrics at http://%s:%s/metrics", self._address[1], self.port)

    def close(self) -> None:
        """Serve no more."""
        signals.retry_scheduled.disconnect(self._retried)
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._registered:
            self.registry.unregister(self._registered.pop())

    def _retried(self, sender: str, **_: object) -> None:
        # The endpoint is known from the start of the reactor on, which may come after ``attach``.
        if self._reactor is not None and sender == self._reactor.health().endpoint:
            self._retries.inc()

    def on_transition(self, event: TaskEvent) -> None:
        """Count a change; the initial state is in the gauges only."""
        if event.initial:
            return
        self._lag.observe(event.lag)
        deleted = event.kind is EventKind.DELETED
        state = "deleted" if deleted else event.task.state.name.lower()
        self._transitions.labels(event.application, state).inc()
        ended = event.task.completion_time
        if event.task.state.is_terminal and ended is not None and not deleted:
            took = (ended - event.task.creation_time).total_seconds()
            self._seconds.labels(event.application, state).observe(max(took, 0.0))

    def _session(self, event: SessionEvent) -> None:
        self._sessions.note(event)
        for state in STATES:  # from zero on: Prometheus sees no increase in a first sample
            self._transitions.labels(event.session.application, state)

    on_opened = on_drained = on_closed = _session

    def on_progress(self, counts: SessionProgress) -> None:
        """Take a session's counters."""
        if counts.event is not None:
            self._sessions.note(counts.event)

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        """Take a deleted session; a deleted task comes to ``on_transition`` as well."""
        if isinstance(event, SessionEvent):
            self._sessions.note(event)


def _registry(given: CollectorRegistry | str) -> CollectorRegistry:
    if isinstance(given, CollectorRegistry):
        return given
    if given not in ("own", "default"):
        raise ValueError(f"registry={given!r}: it is 'own', 'default' or a CollectorRegistry")
    return REGISTRY if given == "default" else CollectorRegistry()
