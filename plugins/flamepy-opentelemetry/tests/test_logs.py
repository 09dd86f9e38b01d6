"""Log records and events, as the SDK's in-memory exporter has them, each in its task's trace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import Any

import pytest
from flamepy_opentelemetry import OpenTelemetry, TaskTrace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.informers.plugins.loading import Plugin
from flamepy.local import LocalCluster
from flamepy.testing import check_informer
from flamepy.types import Task

logger = logging.getLogger("flamepy.of_a_test")


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        raise ValueError("no good")


class Logs:
    """A plain provider of the SDK, and what it exported."""

    def __init__(self) -> None:
        self.exporter = InMemoryLogRecordExporter()
        self.provider = LoggerProvider()
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))

    def all(self) -> list[Any]:
        return [one.log_record for one in self.exporter.get_finished_logs()]

    def with_body(self, text: str) -> list[Any]:
        return [one for one in self.all() if text in str(one.body)]


@pytest.fixture
def logs() -> Iterator[Logs]:
    made = Logs()
    yield made
    made.provider.shutdown()


@pytest.fixture
def tracer() -> Iterator[TracerProvider]:
    made = TracerProvider()
    yield made
    made.shutdown()


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("app", Service)
        yield made


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "not within 20 s"
        Flag().wait(0.02)


def plugin(logs: Logs, tracer: TracerProvider, **options: Any) -> Plugin:
    one = OpenTelemetry(
        logger_provider=logs.provider, tracer_provider=tracer, metrics=False, **options
    )
    return Plugin("opentelemetry", one)


def fail(connection: Connection) -> Task:
    with connection.create_session("app") as session:
        with pytest.raises(TaskFailedError):
            session.invoke(b"secret-input", timeout=30)
        return session.get_task("1")


def test_a_failed_task_is_an_event_and_a_failing_callback_a_record_of_its_trace(
    connection: Connection, logs: Logs, tracer: TracerProvider
) -> None:
    class Works(TaskInformer):
        def on_failed(self, event: TaskEvent) -> None:
            raise ValueError("cannot handle it")

    with Reactor(connection=connection, plugins=[plugin(logs, tracer)]) as reactor:
        reactor.register(Works(), name="works").wait_synced(timeout=10)
        reactor.wait_synced(timeout=10)
        task = fail(connection)
        eventually(lambda: logs.with_body("no good"))
        eventually(lambda: [one for one in logs.all() if one.severity_text == "ERROR"][1:])
    ids = TaskTrace.of(connection.endpoint, task.session_id, task.id, task.creation_time)
    (failed,) = [one for one in logs.all() if one.event_name == "flame.task.failed"]
    assert (failed.trace_id, failed.span_id) == (ids.trace_id, ids.span_id("running"))
    assert failed.severity_number is SeverityNumber.ERROR
    assert "no good" in failed.body
    assert failed.attributes["flame.task.id"] == "1"
    (record,) = [one for one in logs.all() if one.attributes.get("flame.informer") == "works"]
    assert (record.trace_id, record.span_id) == (ids.trace_id, ids.span_id("task"))
    assert record.attributes["exception.message"] == "cannot handle it"
    assert "secret-input" not in repr([(one.body, one.attributes) for one in logs.all()])


def test_records_are_bridged_at_their_level_and_as_long_as_the_reactor_runs(
    connection: Connection, logs: Logs, tracer: TracerProvider
) -> None:
    options = {"log_level": "WARNING"}
    with Reactor(connection=connection, plugins=[plugin(logs, tracer, **options)]) as reactor:
        reactor.wait_synced(timeout=10)
        logger.info("too quiet")
        logger.warning("loud %s", "enough")
        with tracer.get_tracer("program").start_as_current_span("current") as span:
            logger.warning("inside")
    logger.warning("after it")
    (loud,), (inside,) = logs.with_body("loud enough"), logs.with_body("inside")
    assert loud.severity_number is SeverityNumber.WARN
    assert not loud.trace_id
    assert inside.trace_id == span.get_span_context().trace_id
    assert not logs.with_body("too quiet")
    assert not logs.with_body("after it")


def test_it_says_that_there_is_no_sdk(
    connection: Connection, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    one = OpenTelemetry(logger_provider=logs.provider, metrics=False)
    with Reactor(connection=connection, plugins=[Plugin("opentelemetry", one)]) as reactor:
        reactor.wait_synced(timeout=10)
        fail(connection)
    assert caplog.text.count("no tracer provider is set") == 1


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"log_level": "LOUD"}, "one of DEBUG"), ({"flush_timeout": 0}, "above 0")],
)
def test_a_wrong_option_is_named(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        OpenTelemetry(**options)


def test_it_bears_what_engines_do() -> None:
    tracer = TracerProvider()
    report = check_informer(lambda: OpenTelemetry(tracer_provider=tracer))
    assert report.ok
    tracer.shutdown()
