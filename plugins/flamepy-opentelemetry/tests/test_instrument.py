"""Whole processes are observed by one call, or by opentelemetry-instrument; what never leaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from collector import Collector
from flamepy_opentelemetry import FlameInstrumentor, instrument
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flamepy import aio
from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.informers.plugins.loading import discover
from flamepy.local import LocalCluster

SECRETS = ("canary-token", "canary-metadata", "canary-input", "canary-output", "canary-common")


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("no good")
        return b"canary-output"


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as made:
        made.register_service("app", Service)
        yield made


@pytest.fixture
def exporter() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    made, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    yield provider, made
    provider.shutdown()


def one_task(connection: Connection) -> None:
    with connection.create_session("app") as session:
        session.invoke(b"good", timeout=30)


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "opentelemetry"]
    assert (info.distribution, info.problem) == ("flamepy-opentelemetry", None)


def test_instrument_observes_connections_made_after_it_of_either_kind(
    cluster: LocalCluster, exporter: Any
) -> None:
    provider, spans = exporter

    async def with_aio() -> None:
        async with (
            await aio.connect(cluster.endpoint) as connection,
            await connection.create_session("app") as session,
        ):
            with provider.get_tracer("program").start_as_current_span("request"):
                await session.create_task(b"good")

    undo = instrument(tracer_provider=provider)
    try:
        with connect(cluster.endpoint) as connection:
            one_task(connection)
        asyncio.run(with_aio())
    finally:
        undo()
    with connect(cluster.endpoint) as connection:
        one_task(connection)
    first, second, request = spans.get_finished_spans()
    assert (first.name, second.name, request.name) == ("submit", "submit", "request")
    assert not first.links
    (link,) = second.links
    assert link.context.span_id == request.context.span_id


def test_the_instrumentor_does_so_once_and_is_found(cluster: LocalCluster, exporter: Any) -> None:
    provider, spans = exporter
    (found,) = entry_points(group="opentelemetry_instrumentor", name="flamepy")
    assert found.load() is FlameInstrumentor
    FlameInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
    FlameInstrumentor().instrument(tracer_provider=provider)
    try:
        with connect(cluster.endpoint) as connection:
            one_task(connection)
    finally:
        FlameInstrumentor().uninstrument()
    with connect(cluster.endpoint) as connection:
        one_task(connection)
    assert [one.name for one in spans.get_finished_spans()] == ["submit"]


PROGRAM = """
import sys
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from flamepy_opentelemetry import instrument
from flamepy.core import connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor

trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
instrument()
secrets = {"token": "canary-token", "metadata": {"x-key": "canary-metadata"}}
plugins = {"opentelemetry": {"log_level": "DEBUG", "submit": True}}
with connect(sys.argv[1], **secrets) as connection:
    with Reactor(connection=connection, plugins=plugins) as reactor:
        reactor.wait_synced(timeout=20)
        with connection.create_session("app", b"canary-common") as session:
            session.invoke(b"canary-input", timeout=30)
            try:
                session.invoke(b"bad", timeout=30)
            except TaskFailedError:
                pass
"""


def test_no_payload_and_no_secret_is_in_what_is_exported(cluster: LocalCluster) -> None:
    collector = Collector()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, cluster.endpoint],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        collector.close()
    assert done.returncode == 0, done.stderr
    names = {one["name"] for one in collector.spans()}
    assert {"task", "submit", "queued", "running"} <= names
    assert collector.metrics()
    assert collector.logs()
    assert any(b"no good" in body for body in collector.bodies), "texts of failures are seen"
    for body in collector.bodies:
        assert not [secret for secret in SECRETS if secret.encode() in body]
