"""Nodes and executors: read from the engine when Prometheus asks, in the background."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flamepy.errors import FlameError, InvalidStateError
from flamepy.informers import Reactor
from flamepy.types import Executor, Node, NodeState

ANSWER_LIMIT = 2.0  # seconds that a scrape waits for the engine

Machines = tuple[list[Node], list[Executor]]


class MachineCollector(Collector):
    """Gauges of nodes and executors; none of them while the engine does not answer in time."""

    def __init__(self, reactor: Reactor, limit: float = ANSWER_LIMIT) -> None:
        self._reactor = reactor
        self._limit = limit

    def _read(self) -> Machines | None:
        answered = threading.Event()
        found: list[Machines] = []

        def done(answer: Machines | None, error: FlameError | None) -> None:
            if answer is not None:
                found.append(answer)
            answered.set()

        try:
            self._reactor.engine.machines(done)
        except InvalidStateError:
            return None  # it does not run yet, or no longer
        answered.wait(self._limit)
        return found[0] if found else None

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        machines = self._read()
        if machines is None:
            return
        nodes, executors = machines
        states = Counter({one.name.lower(): 0 for one in NodeState})
        states.update(one.state.name.lower() for one in nodes)
        gauge = GaugeMetricFamily("flame_nodes", "Nodes by state.", labels=["state"])
        for state, count in states.items():
            gauge.add_metric([state], count)
        yield gauge
        places = Counter((one.node, one.state.name.lower()) for one in executors)
        about = "Executors by node and state."
        gauge = GaugeMetricFamily("flame_executors", about, labels=["node", "state"])
        for (node, state), count in places.items():
            gauge.add_metric([node, state], count)
        yield gauge

    def describe(self) -> list[Metric]:
        """Name nothing at registration: the engine is not asked then."""
        return []
