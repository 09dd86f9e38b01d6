"""Real scrapes, parsed: what a reactor of an embedded cluster makes the plugin serve."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Event

import pytest
from flamepy_prometheus import Prometheus
from flamepy_prometheus.machines import MachineCollector
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import (
    EventKind,
    Reactor,
    TaskEvent,
    TaskInformer,
    TemporaryError,
    signals,
)
from flamepy.informers.plugins.loading import Plugin, discover
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine, check_informer
from flamepy.types import Task, TaskState
from flamepy.watching.state.memo import MemoHolder

BORN = datetime(2026, 1, 1, tzinfo=timezone.utc)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("bad")
        return b"fine"


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("app", Service)
        yield made


def work(connection: Connection) -> None:
    with connection.create_session("app") as session:
        for _ in range(3):
            session.invoke(b"good", timeout=30)
        with pytest.raises(TaskFailedError):
            session.invoke(b"bad", timeout=30)


def parsed(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(plugin: Prometheus) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{plugin.port}/metrics", timeout=10) as answer:
        return parsed(answer.read().decode())


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "not within 20 s"
        Event().wait(0.05)


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "prometheus"]
    assert (info.distribution, info.problem) == ("flamepy-prometheus", None)


def test_a_scrape_tells_what_happened(connection: Connection) -> None:
    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.wait_synced(timeout=10)
        work(connection)
        ended = {"application": "app", "state": "succeed"}
        eventually(lambda: value(scrape(plugin), "flame_tasks", **ended) == 3)
        eventually(lambda: value(scrape(plugin), "flame_task_seconds_count", **ended) == 3)
        eventually(
            lambda: value(scrape(plugin), "flame_sessions", application="app", state="closed") == 1
        )
        found = scrape(plugin)
    failed = {"application": "app", "state": "failed"}
    assert value(found, "flame_task_transitions_total", **ended) == 3
    assert value(found, "flame_task_transitions_total", **failed) == 1
    assert value(found, "flame_task_seconds_bucket", le="+Inf", **failed) == 1
    assert value(found, "flame_tasks", **failed) == 1
    assert value(found, "flame_tasks", application="app", state="pending") == 0
    assert value(found, "flame_connection_state", state="connected") == 1
    assert value(found, "flame_connection_state", state="disconnected") == 0
    assert value(found, "flame_synced") == 1
    assert (value(found, "flame_event_lag_seconds_count") or 0) >= 4
    assert value(found, "flame_call_retries_total") == 0
    assert value(found, "flame_events_missed_total") == 0
    for name in ("missed_total", "coalesced_total", "failures_total"):
        assert value(found, f"flame_informer_{name}", informer="prometheus") == 0, name
    assert (value(found, "flame_informer_events_total", informer="prometheus") or 0) > 4
    assert (value(found, "flame_informer_handler_seconds_total", informer="prometheus") or 0) > 0


def event_of(
    state: TaskState, at: float, *, holder: MemoHolder, old: TaskState | None = None
) -> TaskEvent:
    def task(state: TaskState) -> Task:
        return Task("1", "s", state, BORN)

    return TaskEvent(
        kind=EventKind.UPDATED if old is not None else EventKind.ADDED,
        task=task(state),
        old=None if old is None else task(old),
        application="app",
        observed_at=at,
        memo_holder=holder,
    )


def test_queue_and_run_are_apart_and_measured_where_both_ends_were_observed() -> None:
    plugin = Prometheus(port=None)
    P, R, S = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED
    holder = MemoHolder()
    plugin.on_transition(event_of(P, 10.0, holder=holder))
    plugin.on_transition(event_of(R, 12.0, holder=holder, old=P))
    plugin.on_transition(event_of(P, 20.0, holder=holder, old=R))  # put back: both begin again
    plugin.on_transition(event_of(R, 21.0, holder=holder, old=P))
    plugin.on_transition(event_of(S, 26.0, holder=holder, old=R))
    assert not holder.memo, "nothing is kept of what has ended"
    unseen = MemoHolder()
    plugin.on_transition(event_of(P, 10.0, holder=unseen))
    plugin.on_transition(event_of(S, 12.0, holder=unseen, old=P))  # it was never seen running
    found = parsed(generate_latest(registry_of(plugin.metrics.queued, plugin.metrics.ran)).decode())
    queued, ran = "flame_task_queue_seconds", "flame_task_run_seconds"
    assert value(found, f"{queued}_count", application="app") == 2
    assert value(found, f"{queued}_sum", application="app") == 3.0
    assert value(found, f"{ran}_count", application="app", state="succeed") == 1
    assert value(found, f"{ran}_sum", application="app", state="succeed") == 5.0


def registry_of(*collectors: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    for one in collectors:
        registry.register(one)
    return registry


@pytest.mark.parametrize(
    ("created", "ended", "shown"),
    [(0.0, 0.0, 1.0), (0.0, 3.0, 3.0), (0.25, 0.25, 0.0), (0.0, 0.25, 0.25), (0.25, 1.0, 0.75)],
)
def test_no_task_is_shown_shorter_than_the_clock_of_its_engine(
    created: float, ended: float, shown: float
) -> None:
    """Whole seconds are what an engine on sqlite or fs stores."""
    plugin = Prometheus(port=None)
    task = Task("1", "s", TaskState.SUCCEED, BORN + timedelta(seconds=created))
    task = replace(task, completion_time=BORN + timedelta(seconds=ended))
    plugin.on_transition(TaskEvent(kind=EventKind.ADDED, task=task, application="app"))
    found = parsed(generate_latest(registry_of(plugin.metrics.seconds)).decode())
    assert value(found, "flame_task_seconds_sum", application="app", state="succeed") == shown


def test_times_of_handlers_retries_and_stuck_callbacks(connection: Connection) -> None:
    gate = Event()

    class Slow(TaskInformer):
        failed = False

        def on_terminal(self, event: TaskEvent) -> None:
            if not self.failed:
                self.failed = True
                raise TemporaryError(delay=0)
            gate.wait(60)

    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.register(Slow(), name="slow", timeout=0.01)
        reactor.wait_synced(timeout=10)
        with connection.create_session("app") as session:
            session.invoke(b"good", timeout=30)
        eventually(lambda: value(scrape(plugin), "flame_informer_stuck", informer="slow") == 1)
        gate.set()
        ended = "flame_informer_end_seconds_count"
        eventually(lambda: value(scrape(plugin), ended, informer="slow") == 2)
        found = scrape(plugin)
        assert value(found, "flame_informer_start_seconds_count", informer="slow") == 2
        assert value(found, "flame_informer_retries_total", informer="slow") == 1
        assert value(found, "flame_informer_stuck", informer="slow") == 0
        sums = [
            value(found, f"flame_informer_{name}_seconds_sum", informer="slow") or 0.0
            for name in ("start", "end")
        ]
        assert 0 < sums[0] < sums[1]
    assert not reactor._reports.observers, "nothing is measured for a plugin that has ended"


def test_nodes_and_executors_are_read_when_prometheus_asks(connection: Connection) -> None:
    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.wait_synced(timeout=10)
        with connection.create_session("app") as session:
            session.invoke(b"good", timeout=30)
            samples = scrape(plugin)
            executors = connection.list_executors()
            (node,) = connection.list_nodes()
            assert value(samples, "flame_nodes", state=node.state.name.lower()) == 1
            assert value(samples, "flame_nodes", state="not_ready") == 0
            shown = {
                labels: count
                for (name, labels), count in samples.items()
                if name == "flame_executors"
            }
            assert sum(shown.values()) == len(executors) > 0
            assert {dict(one)["node"] for one in shown} == {node.name}


def test_an_engine_that_does_not_answer_delays_a_scrape_by_no_more_than_the_limit() -> None:
    class Silent:
        def machines(self, done: object) -> None:
            return

    class Running:
        engine = Silent()

    assert list(MachineCollector(Running(), limit=0.01).collect()) == []
    assert list(MachineCollector(Reactor(endpoint="http://127.0.0.1:9")).collect()) == []


def test_services_that_do_not_start_are_counted() -> None:
    with FakeEngine() as engine:
        engine.add_session("before", application="app")
        engine.add_session_event("before", 1001, "failed to bind")
        plugin = Prometheus(port=0)
        plugins = [Plugin("prometheus", plugin)]
        with Reactor(endpoint=engine.endpoint, plugins=plugins) as reactor:
            reactor.wait_synced(timeout=10)
            engine.add_session("s", application="app")
            eventually(
                lambda: (
                    value(scrape(plugin), "flame_sessions", application="app", state="open") == 2
                )
            )
            for _ in range(3):
                engine.add_session_event("s", 1001, "failed to bind")
            engine.add_session_event("s", 1002, "")
            eventually(
                lambda: value(scrape(plugin), "flame_bind_limits_total", application="app") == 1
            )
            assert value(scrape(plugin), "flame_bind_failures_total", application="app") == 3


def test_informers_that_are_quarantined_or_paused(connection: Connection) -> None:
    class Broken(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            raise ValueError("no paper")

    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.register(Broken(), name="broken", max_failures=1, probe_delay=600)
        other = reactor.register(TaskInformer(), name="other")
        reactor.wait_synced(timeout=10)
        with connection.create_session("app") as session:
            session.invoke(b"good", timeout=30)
        other.pause("maintenance")
        quarantined, paused = "flame_informer_quarantined", "flame_informer_paused"
        eventually(lambda: value(scrape(plugin), quarantined, informer="broken") == 1)
        found = scrape(plugin)
        assert value(found, quarantined, informer="other") == 0
        assert value(found, paused, informer="other") == 1
        assert value(found, paused, informer="broken") == 0
        other.resume()
        eventually(lambda: value(scrape(plugin), paused, informer="other") == 0)


def test_depth_and_age_of_a_queue(connection: Connection) -> None:
    """What its thread has taken counts as well, and so does the one in the callback."""
    gate, entered = Event(), Event()

    class Slow(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            entered.set()
            gate.wait(60)

    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        registration = reactor.register(Slow(), name="slow")
        reactor.wait_synced(timeout=10)
        work(connection)
        assert entered.wait(30)
        depth = lambda: value(scrape(plugin), "flame_informer_queue_depth", informer="slow")  # noqa: E731
        eventually(lambda: (depth() or 0) >= 3)
        assert (
            value(scrape(plugin), "flame_informer_oldest_age_seconds", informer="slow") or 0
        ) > 0
        gate.set()
        eventually(lambda: registration.stats.queued == 0)
        eventually(
            lambda: value(scrape(plugin), "flame_informer_oldest_age_seconds", informer="slow") == 0
        )


def test_informers_of_one_name_are_one_series(connection: Connection) -> None:
    """Prometheus refuses a scrape's second sample with the same labels."""

    class Twin(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            raise ValueError("both fail")

    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        twins = [reactor.register(Twin()) for _ in range(2)]
        reactor.wait_synced(timeout=10)
        work(connection)
        eventually(lambda: [one.stats.failures for one in twins] == [4, 4])
        samples = [
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in plugin.registry.collect()
            for sample in family.samples
        ]
        assert len(samples) == len(set(samples))
        assert value(scrape(plugin), "flame_informer_failures_total", informer="Twin") == 8


def test_what_was_there_is_in_the_gauges_only(connection: Connection) -> None:
    work(connection)
    plugin = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.wait_synced(timeout=10)
        found = scrape(plugin)
    assert value(found, "flame_tasks", application="app", state="succeed") == 3
    counted = {
        name: found[name, labels] for name, labels in found if "task_transitions_total" in name
    }
    assert set(counted.values()) == {0.0}


def test_an_engine_that_is_away_is_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # no server listens
        plugin = Prometheus(port=0)
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with Reactor(endpoint=endpoint, plugins=[Plugin("prometheus", plugin)]):
            eventually(
                lambda: value(scrape(plugin), "flame_connection_state", state="disconnected") == 1
            )
            eventually(lambda: (value(scrape(plugin), "flame_call_retries_total") or 0) >= 1)
            for _ in range(1000):
                signals.retry_scheduled.send("http://another:1", details=None, endpoint="another")
            assert (value(scrape(plugin), "flame_call_retries_total") or 0) < 1000
            assert value(scrape(plugin), "flame_connection_state", state="connected") == 0
            assert value(scrape(plugin), "flame_synced") == 0


def test_after_the_stop_nothing_is_served_or_registered(connection: Connection) -> None:
    registry = CollectorRegistry()
    plugin = Prometheus(port=0, registry=registry)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", plugin)]) as reactor:
        reactor.wait_synced(timeout=10)
        port = plugin.port
        assert b"flame_tasks" in generate_latest(registry)
    assert b"flame" not in generate_latest(registry)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_the_processs_registry_serves_it_as_well(connection: Connection) -> None:
    options = {"prometheus": {"port": None, "registry": "default"}}
    with Reactor(connection=connection, plugins=options) as reactor:
        reactor.wait_synced(timeout=10)
        found = parsed(generate_latest(REGISTRY).decode())
        assert value(found, "flame_synced") == 1
        assert "process_cpu_seconds_total" in {name for name, _ in found}
    assert b"flame" not in generate_latest(REGISTRY)


def test_an_unknown_registry_is_refused() -> None:
    with pytest.raises(ValueError, match="'own', 'default' or a CollectorRegistry"):
        Prometheus(registry="onw")


def test_it_bears_everything_that_engines_do() -> None:
    check_informer(lambda: Prometheus(port=0, registry=CollectorRegistry()))
