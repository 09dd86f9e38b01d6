"""The informer: counts transitions, measures tasks and lag, and serves it all over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.registry import Collector

from flamepy.errors import PluginError
from flamepy.informers import (
    EventKind,
    FinishedCall,
    Reactor,
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TaskInformer,
    signals,
)
from flamepy.types import Task, TaskState
from flamepy_prometheus.collector import STATES, ReactorCollector, SessionCollector
from flamepy_prometheus.machines import MachineCollector
from flamepy_prometheus.metrics import TASK_BUCKETS, Metrics
from flamepy_prometheus.server import MetricsServer

logger = logging.getLogger(__name__)

DEFAULT_PORT = 9464
BIND_FAILED, RETRY_LIMIT = 1001, 1002  # codes of a session's events
CLOCK = 1.0  # seconds: what an engine on sqlite or fs rounds its times to
MEMO = "flamepy_prometheus"


class Prometheus(TaskInformer, SessionInformer):
    """Metrics of an engine's tasks and sessions, and of the informers of this process.

    Args:
        port: where to serve; 0 picks a free one, None serves nothing (``registry`` does).
        host: the address to listen on.
        registry: "own" for one that has nothing else, "default" for the process's, or an object.
        task_buckets: upper bounds of the histogram of task seconds.

    Attributes:
        metrics: what it counts and measures.
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
        self.metrics = Metrics(task_buckets)
        self._registered: list[Collector] = []
        self._reactor: Reactor | None = None
        self._undo: Callable[[], None] = lambda: None
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
        asked = (self._sessions, ReactorCollector(reactor), MachineCollector(reactor))
        for collector in (*self.metrics.collectors(), *asked):
            self.registry.register(collector)
            self._registered.append(collector)
        self._reactor = reactor
        self._undo = reactor.observe_calls(self._called)
        signals.retry_scheduled.connect(self._retried)

    def start(self) -> None:
        """Say where it serves."""
        if self._address is not None:
            logger.info("metrics at http://%s:%s/metrics", self._address[1], self.port)

    def close(self) -> None:
        """Serve no more."""
        signals.retry_scheduled.disconnect(self._retried)
        self._undo()
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._registered:
            self.registry.unregister(self._registered.pop())

    def _retried(self, sender: str, **_: object) -> None:
        # The endpoint is known from the start of the reactor on, which may come after ``attach``.
        if self._reactor is not None and sender == self._reactor.health().endpoint:
            self.metrics.retries.inc()

    def _called(self, call: FinishedCall) -> None:
        for event in call.events:
            if not event.initial:
                self.metrics.started.labels(call.informer).observe(
                    max(call.started - event.observed_at, 0.0)
                )
                self.metrics.ended.labels(call.informer).observe(
                    max(call.ended - event.observed_at, 0.0)
                )

    def _measure(self, event: TaskEvent) -> None:
        """Measure a task's time in the queue, and its run, where begin and end were observed.

        The engine says when a task was created and when it ended, not when it started.
        """
        memo = event.memo
        ended = event.task.state.is_terminal
        since: dict[TaskState, float] = memo.pop(MEMO, {}) if ended else memo.setdefault(MEMO, {})
        state, now = event.task.state, event.observed_at
        if state is TaskState.PENDING:
            since[state] = now
            since.pop(TaskState.RUNNING, None)
        elif state is TaskState.RUNNING:
            since[state] = now
            begin = since.pop(TaskState.PENDING, None)
            if begin is not None:
                self.metrics.queued.labels(event.application).observe(max(now - begin, 0.0))
        elif ended:
            begin = since.pop(TaskState.RUNNING, None)
            if begin is not None:
                labels = event.application, state.name.lower()
                self.metrics.ran.labels(*labels).observe(max(now - begin, 0.0))

    def on_transition(self, event: TaskEvent) -> None:
        """Count a change; the initial state is in the gauges only."""
        if event.initial:
            return
        self.metrics.lag.observe(event.lag)
        deleted = event.kind is EventKind.DELETED
        state = "deleted" if deleted else event.task.state.name.lower()
        self.metrics.transitions.labels(event.application, state).inc()
        if deleted:
            return
        self._measure(event)
        took = _seconds(event.task)
        if took is not None:
            self.metrics.seconds.labels(event.application, state).observe(took)

    def _session(self, event: SessionEvent) -> None:
        self._sessions.note(event)
        for state in STATES:  # from zero on: Prometheus sees no increase in a first sample
            self.metrics.transitions.labels(event.session.application, state)
        self.metrics.queued.labels(event.session.application)
        self.metrics.bind_failures.labels(event.session.application)
        self.metrics.bind_limits.labels(event.session.application)
        for state in ("succeed", "failed"):
            self.metrics.ran.labels(event.session.application, state)

    on_opened = on_drained = on_closed = _session

    def on_progress(self, counts: SessionProgress) -> None:
        """Take a session's counters."""
        if counts.event is not None:
            self._sessions.note(counts.event)

    def on_event(self, event: SessionEvent) -> None:
        """Count services that did not start, and sessions that get no executors any more."""
        if event.initial or event.event is None:
            return
        if event.event.code == BIND_FAILED:
            self.metrics.bind_failures.labels(event.application).inc()
        elif event.event.code == RETRY_LIMIT:
            self.metrics.bind_limits.labels(event.application).inc()

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        """Take a deleted session; a deleted task comes to ``on_transition`` as well."""
        if isinstance(event, SessionEvent):
            self._sessions.note(event)


def _seconds(task: Task) -> float | None:
    """Return the seconds from creation to end; None for a task that has not ended.

    Times without a fraction are of an engine that stores whole seconds: "0" may be anything up to
    one, so it is counted as one, and no bucket below that is.
    """
    ended = task.completion_time
    if not task.state.is_terminal or ended is None:
        return None
    took = max((ended - task.creation_time).total_seconds(), 0.0)
    whole = not task.creation_time.microsecond and not ended.microsecond
    return max(took, CLOCK) if whole else took


def _registry(given: CollectorRegistry | str) -> CollectorRegistry:
    if isinstance(given, CollectorRegistry):
        return given
    if given not in ("own", "default"):
        raise ValueError(f"registry={given!r}: it is 'own', 'default' or a CollectorRegistry")
    return REGISTRY if given == "default" else CollectorRegistry()
