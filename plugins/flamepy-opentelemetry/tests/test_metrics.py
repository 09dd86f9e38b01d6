"""What the SDK's in-memory reader collects of a reactor, its clients and its services."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from threading import Event as Flag
from typing import Any

import pytest
from flamepy_opentelemetry import CallInterceptor, OpenTelemetry, names, traced
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from flamepy.core import FlameService, TaskContext, connect
from flamepy.errors import FlameError, TaskFailedError
from flamepy.informers import EventKind, Reactor, TaskEvent, TaskInformer
from flamepy.informers.plugins.loading import Plugin
from flamepy.local import LocalCluster
from flamepy.types import Task, TaskState

BORN = datetime(2026, 1, 1, tzinfo=timezone.utc)
Points = dict[frozenset[tuple[str, Any]], Any]


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("no good")
        return b"fine"


class Meters:
    """A plain provider of the SDK, and what it collects."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def read(self) -> dict[str, Points]:
        data = self.reader.get_metrics_data()
        found: dict[str, Points] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        points[frozenset((point.attributes or {}).items())] = point
        return found


def point(found: dict[str, Points], name: str, **labels: Any) -> Any:
    """Return the one point that has these attributes, written with _ for a dot."""
    wanted = {(key.replace("_", "."), value) for key, value in labels.items()}
    chosen = [one for key, one in found.get(name, {}).items() if wanted <= key]
    assert len(chosen) == 1, (name, labels, list(found.get(name, {})))
    return chosen[0]


@pytest.fixture
def meters() -> Iterator[Meters]:
    made = Meters()
    yield made
    made.provider.shutdown()


def plugin(meters: Meters, **options: Any) -> OpenTelemetry:
    return OpenTelemetry(meter_provider=meters.provider, traces=False, logs=False, **options)


def test_a_collection_has_what_happened(meters: Meters) -> None:
    class Works(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            raise ValueError("cannot")

    logging.disable(logging.ERROR)
    interceptor = CallInterceptor(meter_provider=meters.provider)
    try:
        with (
            LocalCluster() as cluster,
            connect(cluster.endpoint, interceptors=[interceptor]) as connection,
        ):
            cluster.register_service("app", Service)
            plugins = [Plugin("opentelemetry", plugin(meters))]
            with Reactor(connection=connection, plugins=plugins) as reactor:
                reactor.register(Works(), name="works").wait_synced(timeout=10)
                reactor.wait_synced(timeout=10)
                with connection.create_session("app") as session:
                    for _ in range(3):
                        session.invoke(b"good", timeout=30)
                    with pytest.raises(TaskFailedError):
                        session.invoke(b"bad", timeout=30)
                with pytest.raises(FlameError):
                    connection.get_session("nothing")
                assert reactor.stop(timeout=10) is None
                endpoint = cluster.endpoint
            found = meters.read()
    finally:
        logging.disable(logging.NOTSET)
    for state, count in (("succeed", 3), ("failed", 1)):
        labels = {"flame_application": "app", "flame_task_state": state}
        assert point(found, "flame.task.transitions", **labels).value == count
        assert point(found, "flame.task.duration", **labels).count == count
    calls = point(
        found,
        "flame.informer.callback.duration",
        flame_informer="works",
        flame_callback="on_terminal",
    )
    assert calls.count == 4
    assert calls.attributes["error.type"] == "_OTHER"
    host, _, port = endpoint.rpartition(":")
    created = dict(found["rpc.client.call.duration"])
    (making,) = [
        one for key, one in created.items() if ("rpc.method", "flame.v1.Frontend/CreateTask") in key
    ]
    assert making.count == 4
    assert making.attributes["rpc.response.status_code"] == "OK"
    assert making.attributes["server.port"] == int(port)
    assert host.endswith(making.attributes["server.address"])
    (refused,) = [
        one
        for key, one in created.items()
        if ("rpc.method", "flame.v1.Frontend/GetSession") in key and "error.type" in dict(key)
    ]
    assert refused.attributes["error.type"] == "NOT_FOUND"
    sent = point(found, "messaging.client.sent.messages", messaging_system="flame")
    assert sent.value == 4
    assert sent.attributes["messaging.destination.name"] == "app"


def test_what_is_read_is_there_while_the_reactor_runs_and_gone_after_it(meters: Meters) -> None:
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("app", Service)
        for _ in range(2):  # a second reactor is read by the same instruments, without a warning
            one = plugin(meters)
            with Reactor(connection=connection, plugins=[Plugin("otel", one)]) as reactor:
                reactor.wait_synced(timeout=10)
                with connection.create_session("app") as session:
                    session.invoke(b"good", timeout=30)
                    eventually(lambda: counted(reactor, session.id) > 0)
                    found = meters.read()
                    assert point(
                        found, "flame.connection.state", flame_connection_state="connected"
                    )
                    assert point(found, "flame.reactor.synced").value == 1
                    assert point(found, "flame.reactor.ready").value == 1
                    assert point(found, "flame.informer.events", flame_informer="otel").value > 0
                    depth = point(found, "flame.informer.queue.depth", flame_informer="otel")
                    assert depth.value >= 0
                    opened = {"flame_application": "app", "flame_session_state": "open"}
                    assert point(found, "flame.sessions", **opened).value == 1
                    done = {"flame_application": "app", "flame_task_state": "succeed"}
                    assert point(found, "flame.tasks", **done).value > 0
            after = meters.read()
            assert not after.get("flame.connection.state")
            assert not after.get("flame.tasks")


def counted(reactor: Reactor, session_id: str) -> int:
    session = reactor.sessions.get(session_id)
    return 0 if session is None else session.counts.succeed


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "not within 20 s"
        Flag().wait(0.02)


def test_the_last_values_are_exported_before_a_reactor_is_read_no_more(meters: Meters) -> None:
    flushed: list[dict[str, Points]] = []

    class Flushing:
        """A meter provider that keeps what there is when it is flushed."""

        def get_meter(self, *arguments: Any, **named: Any) -> Any:
            return meters.provider.get_meter(*arguments, **named)

        def force_flush(self, timeout_millis: float) -> bool:
            flushed.append(meters.read())
            return True

    one = OpenTelemetry(meter_provider=Flushing(), traces=False, logs=False)  # type: ignore[arg-type]  # what is used of it
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("app", Service)
        with Reactor(connection=connection, plugins=[Plugin("otel", one)]) as reactor:
            reactor.wait_synced(timeout=10)
            with connection.create_session("app") as session:
                session.invoke(b"good", timeout=30)
                eventually(lambda: counted(reactor, session.id) > 0)
    (last,) = flushed
    assert point(last, "flame.informer.events", flame_informer="otel").value > 0


def test_a_service_measures_its_tasks(meters: Meters) -> None:
    tracer = TracerProvider()
    service = traced(
        Service(),
        born=lambda session, task: ("e", BORN),
        tracer_provider=tracer,
        meter_provider=meters.provider,
    )
    service.on_task_invoke(TaskContext("1", "s", b"good"))
    with pytest.raises(ValueError, match="no good"):
        service.on_task_invoke(TaskContext("2", "s", b"bad"))
    points = meters.read()["messaging.process.duration"].values()
    errors = {dict(one.attributes).get("error.type"): one.count for one in points}
    assert errors == {None: 1, "ValueError": 1}
    tracer.shutdown()


@pytest.mark.parametrize("running", ["observed", "inferred"])
def test_a_duration_with_an_inferred_edge_is_left_out(meters: Meters, running: str) -> None:
    one = plugin(meters)
    with Reactor(plugins=(), endpoint="127.0.0.1:1") as reactor:
        one.attach(reactor)
        events = [event(TaskState.RUNNING)] if running == "observed" else []
        memo = event(TaskState.PENDING).memo
        for made in (*events, event(TaskState.SUCCEED)):
            made.memo.update(memo)
            one.on_batch([made])
            memo = made.memo
        one.close()
    found = meters.read()
    assert ("flame.task.run.duration" in found) is (running == "observed")
    assert "flame.task.duration" in found


def event(state: TaskState) -> TaskEvent:
    ended = BORN + timedelta(seconds=5) if state.is_terminal else None
    task = Task(id="1", session_id="s", state=state, creation_time=BORN, completion_time=ended)
    return TaskEvent(kind=EventKind.UPDATED, task=task, application="app", endpoint="e")


class TestNames:
    """The names that the semantic conventions have are theirs."""

    @pytest.mark.parametrize(
        ("module", "constant", "ours"),
        [
            ("metrics.rpc_metrics", "RPC_CLIENT_CALL_DURATION", names.RPC_CALL_DURATION),
            ("metrics.messaging_metrics", "MESSAGING_PROCESS_DURATION", names.PROCESS_DURATION),
            ("metrics.messaging_metrics", "MESSAGING_CLIENT_SENT_MESSAGES", names.SENT_MESSAGES),
            ("attributes.rpc_attributes", "RPC_SYSTEM_NAME", names.RPC_SYSTEM),
            ("attributes.rpc_attributes", "RPC_METHOD", names.RPC_METHOD),
            ("attributes.rpc_attributes", "RPC_RESPONSE_STATUS_CODE", names.RPC_STATUS),
            ("attributes.messaging_attributes", "MESSAGING_SYSTEM", names.MESSAGING_SYSTEM),
            (
                "attributes.messaging_attributes",
                "MESSAGING_DESTINATION_NAME",
                names.MESSAGING_DESTINATION,
            ),
            (
                "attributes.messaging_attributes",
                "MESSAGING_OPERATION_NAME",
                names.MESSAGING_OPERATION,
            ),
            ("attributes.messaging_attributes", "MESSAGING_OPERATION_TYPE", names.MESSAGING_TYPE),
            ("attributes.messaging_attributes", "MESSAGING_MESSAGE_ID", names.MESSAGING_ID),
            (
                "attributes.messaging_attributes",
                "MESSAGING_MESSAGE_BODY_SIZE",
                names.MESSAGING_BODY_SIZE,
            ),
        ],
    )
    def test_a_name(self, module: str, constant: str, ours: str) -> None:
        found = importlib.import_module(f"opentelemetry.semconv._incubating.{module}")
        assert getattr(found, constant) == ours
