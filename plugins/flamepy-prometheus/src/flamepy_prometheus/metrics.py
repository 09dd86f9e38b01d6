"""What the informer counts and measures: counters and histograms, from zero in each process."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

TASK_BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
# Of what this process sees itself, from the thread that takes an event to a webhook that is down.
HANDLER_BUCKETS = (
    *(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 14400.0),
)
LAG_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(name, about, labels, registry=None)


def _histogram(name: str, about: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(name, about, labels, buckets=buckets, registry=None)


class Metrics:
    """The counters and histograms of one informer; none is in a registry yet.

    Args:
        task_buckets: upper bounds of the histograms of tasks.
    """

    def __init__(self, task_buckets: Sequence[float] = TASK_BUCKETS) -> None:
        self.transitions = _counter(
            "flame_task_transitions",
            "Observed changes of tasks, by the state they went to.",
            *("application", "state"),
        )
        self.seconds = _histogram(
            "flame_task_seconds",
            "From a task's creation to its end, by the engine's clock.",
            task_buckets,
            *("application", "state"),
        )
        self.queued = _histogram(
            "flame_task_queue_seconds",
            "From a task's creation to its start, as this process observed both.",
            task_buckets,
            "application",
        )
        self.ran = _histogram(
            "flame_task_run_seconds",
            "From a task's start to its end, as this process observed both.",
            task_buckets,
            *("application", "state"),
        )
        self.started = _histogram(
            "flame_informer_start_seconds",
            "From the observation of a change to the start of a callback with it.",
            HANDLER_BUCKETS,
            "informer",
        )
        self.ended = _histogram(
            "flame_informer_end_seconds",
            "From the observation of a change to the end of a callback with it.",
            HANDLER_BUCKETS,
            "informer",
        )
        self.lag = _histogram(
            "flame_event_lag_seconds",
            "From the observation of a change to its callback.",
            LAG_BUCKETS,
        )
        self.retries = _counter("flame_call_retries", "Calls to the engine that were made again.")
        self.bind_failures = _counter(
            "flame_bind_failures",
            "Executors that could not start a service of an application's session.",
            "application",
        )
        self.bind_limits = _counter(
            "flame_bind_limits",
            "Sessions that get no executors any more, after too many of these failures.",
            "application",
        )

    def collectors(self) -> list[Collector]:
        """Return them all."""
        return [one for one in vars(self).values() if isinstance(one, (Counter, Histogram))]
