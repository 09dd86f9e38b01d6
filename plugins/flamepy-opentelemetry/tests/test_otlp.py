"""By OTLP to a stand-in of a collector, from processes that are killed as well."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag

import pytest
from collector import Collector
from flamepy_opentelemetry import OpenTelemetry, TaskTrace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.informers.plugins.loading import Plugin
from flamepy.local import LocalCluster

WATCHER = str(Path(__file__).with_name("watcher.py"))
KILLS, TASKS = 4, 600
BATCH = 100  # events: what is repeated after a kill at most


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("no good")
        return b"fine"


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < limit, "not within 40 s"
        Flag().wait(0.02)


def test_traces_metrics_and_logs_arrive_at_a_collector_that_is_busy_at_first(
    collector: Collector,
) -> None:
    collector.busy = 1
    tracer, logger = TracerProvider(), LoggerProvider()
    tracer.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{collector.endpoint}/v1/traces"))
    )
    logger.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{collector.endpoint}/v1/logs"))
    )
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{collector.endpoint}/v1/metrics"), 3_600_000
    )
    meter = MeterProvider([reader])
    plugin = OpenTelemetry(tracer_provider=tracer, meter_provider=meter, logger_provider=logger)
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("app", Service)
        plugins = [Plugin("opentelemetry", plugin)]
        with Reactor(connection=connection, plugins=plugins) as reactor:
            reactor.wait_synced(timeout=10)
            with connection.create_session("app") as session:
                session.run(b"bad").exception(timeout=30)
                eventually(collector.spans)
    for provider in (meter, logger, tracer):
        provider.shutdown()
    assert collector.refused == 1
    assert {one["name"] for one in collector.spans()} == {"task", "queued", "running"}
    assert {one["scope"] for one in collector.spans()} == {"flamepy_opentelemetry"}
    assert {"flame.task.duration", "flame.task.transitions"} <= collector.metrics()
    (failed,) = [one for one in collector.logs() if one["event"] == "flame.task.failed"]
    assert failed["trace"] == collector.spans()[0]["trace"]


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, WATCHER, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "synced\n"
            yield process
        finally:
            process.kill()


def test_a_process_that_is_killed_loses_no_span_and_repeats_the_same_ids(
    collector: Collector, tmp_path: Path
) -> None:
    def roots() -> Counter[str]:
        return Counter(one["span"] for one in collector.spans() if one["name"] == "task")

    moments = iter((0.5, 1.0, 1.5, 2.0))  # before, while and after batches are delivered
    state = str(tmp_path / "state.db")
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("app", Service)
        arguments = (cluster.endpoint, state, collector.endpoint)
        with watching(*arguments):
            pass  # from this first start on the checkpoint knows what was there
        with connection.create_session("app") as session:
            for _ in range(KILLS):
                with watching(*arguments):
                    session.run_many([b"x"] * (TASKS // KILLS))
                    Flag().wait(next(moments))
            with watching(*arguments) as process:
                eventually(lambda: len(roots()) >= TASKS)
                process.communicate(timeout=30)
                assert process.returncode == 0
            traces = [
                TaskTrace.of(cluster.endpoint, one.session_id, one.id, one.creation_time)
                for one in session.list_tasks()
            ]
    wanted = {f"{one.span_id('task'):016x}" for one in traces}
    found = roots()
    assert set(found) == wanted, "none is lost, none has another id"
    assert sum(found.values()) - TASKS <= KILLS * BATCH
