"""What a reactor of an embedded cluster makes of tasks, in the SDK's in-memory exporter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
from flamepy_opentelemetry import CallInterceptor, OpenTelemetry, TaskTrace, traced
from flamepy_opentelemetry.identity import EPOCH
from flamepy_opentelemetry.timeline import SECOND, nanoseconds
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from flamepy.core import (
    ApplicationContext,
    Connection,
    FlameService,
    SessionContext,
    TaskContext,
    connect,
)
from flamepy.errors import TaskFailedError, UnavailableError
from flamepy.informers import EventKind, Reactor, TaskEvent, TaskInformer
from flamepy.informers.plugins.loading import Plugin
from flamepy.local import LocalCluster
from flamepy.service import FlameInstance
from flamepy.types import Task, TaskState

BORN = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Recorded:
    """A plain provider of the SDK, and what it exported."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def of(self, task: Task, endpoint: str) -> dict[str, ReadableSpan]:
        wanted = TaskTrace.of(endpoint, task.session_id, task.id, task.creation_time)
        found = [one for one in self.all() if one.context.trace_id == wanted.trace_id]
        return {one.name: one for one in found}


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("no good")
        Flag().wait(0.2)
        return b"fine"


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "not within 20 s"
        Flag().wait(0.02)


@pytest.fixture
def spans() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.provider.shutdown()


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as made:
        made.register_service("app", Service)
        yield made


@pytest.fixture
def connection(cluster: LocalCluster) -> Iterator[Connection]:
    with connect(cluster.endpoint) as made:
        yield made


def plugin(spans: Recorded, **options: Any) -> Plugin:
    options = {"metrics": False, "logs": False, **options}
    return Plugin("opentelemetry", OpenTelemetry(tracer_provider=spans.provider, **options))


def task_event(state: TaskState, **changes: Any) -> TaskEvent:
    ended = BORN + timedelta(seconds=5) if state.is_terminal else None
    task = Task(id="1", session_id="s", state=state, creation_time=BORN, completion_time=ended)
    return TaskEvent(kind=EventKind.UPDATED, task=task, application="app", endpoint="e", **changes)


def run_tasks(connection: Connection, *inputs: bytes) -> list[Task]:
    with connection.create_session("app") as session:
        for one in inputs:
            try:
                session.invoke(one, timeout=30)
            except TaskFailedError:
                continue
        return list(session.list_tasks())


class TestATask:
    def test_its_spans_are_one_trace_with_computed_ids(
        self, connection: Connection, spans: Recorded
    ) -> None:
        with Reactor(connection=connection, plugins=[plugin(spans)]) as reactor:
            reactor.wait_synced(timeout=10)
            (task,) = run_tasks(connection, b"good")
            eventually(lambda: len(spans.all()) >= 3)
        found = spans.of(task, connection.endpoint)
        assert set(found) == {"task", "queued", "running"}
        ids = TaskTrace.of(connection.endpoint, task.session_id, task.id, task.creation_time)
        for name, span in found.items():
            assert span.context.span_id == ids.span_id(name)
            assert dict(span.attributes or {})["flame.application"] == "app"
        root = found["task"]
        assert root.parent is None
        for name in ("queued", "running"):
            parent = found[name].parent
            assert parent is not None
            assert parent.span_id == root.context.span_id
        assert task.completion_time is not None
        for at, stored in (
            (root.start_time, task.creation_time),
            (root.end_time, task.completion_time),
        ):
            assert at is not None
            assert 0 <= at - nanoseconds(stored) < SECOND  # the engine stores whole seconds
        assert found["queued"].start_time == root.start_time
        assert found["queued"].end_time == found["running"].start_time
        assert found["running"].end_time == root.end_time
        assert (root.attributes or {})["flame.task.state"] == "succeed"

    def test_a_failed_one_has_the_error_and_the_engines_own_times(
        self, connection: Connection, spans: Recorded
    ) -> None:
        with Reactor(connection=connection, plugins=[plugin(spans)]) as reactor:
            reactor.wait_synced(timeout=10)
            (task,) = run_tasks(connection, b"bad")
            eventually(lambda: len(spans.all()) >= 3)
        found = spans.of(task, connection.endpoint)
        for name in ("task", "running"):
            assert found[name].status.status_code is StatusCode.ERROR
            assert "no good" in (found[name].status.description or "")
        assert found["queued"].status.status_code is StatusCode.UNSET
        attributes = found["running"].attributes or {}
        assert attributes["flame.span.start.source"] == "engine"
        assert attributes["flame.span.inferred"] is False

    def test_callbacks_of_other_informers_have_spans_in_its_trace(
        self, connection: Connection, spans: Recorded
    ) -> None:
        class Works(TaskInformer):
            def on_succeeded(self, event: TaskEvent) -> None:
                Flag().wait(0.05)

            def on_failed(self, event: TaskEvent) -> None:
                raise ValueError("cannot")

        logging.disable(logging.ERROR)
        try:
            with Reactor(connection=connection, plugins=[plugin(spans)]) as reactor:
                reactor.register(Works(), name="works").wait_synced(timeout=10)
                tasks = run_tasks(connection, b"good", b"bad")
                eventually(lambda: len(spans.all()) >= 8)
        finally:
            logging.disable(logging.NOTSET)
        for task, name, code in zip(
            tasks,
            ("on_succeeded", "on_failed"),
            (StatusCode.UNSET, StatusCode.ERROR),
            strict=True,
        ):
            found = spans.of(task, connection.endpoint)
            attributes = found["callback"].attributes or {}
            assert attributes["flame.informer"] == "works"
            assert attributes["flame.callback"] == name
            assert found["callback"].status.status_code is code
            assert found["callback"].parent is not None
            assert found["callback"].parent.span_id == found["task"].context.span_id
            start, end = found["callback"].start_time, found["callback"].end_time
            assert start is not None
            assert end is not None
            assert start < end
        assert len(spans.all()) == 8, "no span of the plugin's own callbacks"

    def test_without_callers_that_make_it_there_is_a_submit_span_on_request(
        self, connection: Connection, spans: Recorded
    ) -> None:
        with Reactor(connection=connection, plugins=[plugin(spans, submit=True)]) as reactor:
            reactor.wait_synced(timeout=10)
            (task,) = run_tasks(connection, b"bad")
            eventually(lambda: len(spans.all()) >= 4)
        submit = spans.of(task, connection.endpoint)["submit"]
        assert (submit.attributes or {})["flame.span.inferred"] is True
        assert submit.start_time == submit.end_time


class TestEnds:
    """Which ends have spans: each once, as far as is known."""

    def test_the_present_state_has_none_unless_asked_for(
        self, connection: Connection, spans: Recorded
    ) -> None:
        (task,) = run_tasks(connection, b"bad")
        for initial in (False, True):
            options = {"callbacks": False, "initial": initial}
            with Reactor(connection=connection, plugins=[plugin(spans, **options)]) as reactor:
                reactor.wait_synced(timeout=10)
            assert bool(spans.of(task, connection.endpoint)) is initial

    def test_with_a_checkpoint_each_has_them_once_over_restarts(
        self, connection: Connection, spans: Recorded, tmp_path: Path
    ) -> None:
        def watch(wanted: int) -> None:
            state = tmp_path / "state.db"
            with Reactor(
                connection=connection, checkpoint=state, plugins=[plugin(spans)]
            ) as reactor:
                reactor.wait_synced(timeout=10)
                eventually(lambda: len(spans.all()) >= wanted)

        watch(0)
        first = run_tasks(connection, b"bad", b"good")
        watch(6)
        second = run_tasks(connection, b"bad")
        watch(9)
        watch(9)
        assert len(spans.all()) == 9, "none is repeated"
        for task in (*first, *second):
            ids = TaskTrace.of(connection.endpoint, task.session_id, task.id, task.creation_time)
            for name, span in spans.of(task, connection.endpoint).items():
                assert span.context.span_id == ids.span_id(name)

    def test_they_are_exported_before_the_checkpoint_says_that_they_were_delivered(
        self, connection: Connection, tmp_path: Path
    ) -> None:
        order: list[str] = []

        class Slow(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                order.append("made")

            def force_flush(self, timeout_millis: int = 30000) -> bool:
                order.append("exported")
                return True

        provider = TracerProvider()
        provider.add_span_processor(Slow())
        one = OpenTelemetry(tracer_provider=provider, metrics=False, logs=False)
        made = task_event(TaskState.SUCCEED)
        one.on_batch([made])
        assert order == ["made", "made", "made", "exported"]
        order.clear()
        other = OpenTelemetry(tracer_provider=provider, metrics=False, logs=False, flush=False)
        other.on_batch([made])
        assert order == ["made", "made", "made"]


class TestACaller:
    def test_submit_links_to_its_current_span_and_is_not_its_child(
        self, cluster: LocalCluster, spans: Recorded
    ) -> None:
        interceptor = CallInterceptor(tracer_provider=spans.provider)
        tracer = spans.provider.get_tracer("program")
        with (
            connect(cluster.endpoint, interceptors=[interceptor]) as connection,
            connection.create_session("app") as session,
        ):
            with tracer.start_as_current_span("request") as request:
                session.run(b"bad")
                session.run_many([b"bad", b"bad"])
                list(session.map([b"bad", b"bad"], return_exceptions=True))
            session.run(b"bad").exception(timeout=30)
            tasks = list(session.list_tasks())
        caller = request.get_span_context()
        found = [spans.of(task, cluster.endpoint)["submit"] for task in tasks]
        for span in found[:5]:
            (link,) = span.links
            assert (link.context.trace_id, link.context.span_id) == (
                caller.trace_id,
                caller.span_id,
            )
            assert span.context.trace_id != caller.trace_id
            assert span.kind is SpanKind.PRODUCER
        assert not found[5].links
        for task, span in zip(tasks, found, strict=True):
            ids = TaskTrace.of(cluster.endpoint, task.session_id, task.id, task.creation_time)
            assert span.context.span_id == ids.span_id("submit")
            attributes = dict(span.attributes or {})
            assert attributes["messaging.destination.name"] == "app"
            assert attributes["messaging.message.body.size"] == 3
            assert b"bad" not in repr(attributes).encode()


class TestAService:
    def test_the_span_of_a_task_is_below_running_and_around_its_work(
        self, cluster: LocalCluster, spans: Recorded
    ) -> None:
        tracer = spans.provider.get_tracer("program")

        class Works(FlameService):
            def on_task_invoke(self, context: TaskContext) -> bytes:
                with tracer.start_as_current_span("inner"):
                    if context.input == b"bad":
                        raise ValueError("no good")
                return b"fine"

        with connect(cluster.endpoint) as connection:

            def born(session_id: str, task_id: str) -> Any:
                task = connection.get_session(session_id).get_task(task_id)
                return connection.endpoint, task.creation_time

            cluster.register_service(
                "traced", lambda: traced(Works(), born=born, tracer_provider=spans.provider)
            )
            with connection.create_session("traced") as session:
                assert session.invoke(b"good", timeout=30) == b"fine"
                with pytest.raises(TaskFailedError, match="no good"):
                    session.invoke(b"bad", timeout=30)
                tasks = list(session.list_tasks())
        for task, code in zip(tasks, (StatusCode.UNSET, StatusCode.ERROR), strict=True):
            found = spans.of(task, cluster.endpoint)
            ids = TaskTrace.of(cluster.endpoint, task.session_id, task.id, task.creation_time)
            assert set(found) == {"process", "inner"}
            process = found["process"]
            assert process.parent is not None
            assert process.parent.span_id == ids.span_id("running")
            assert process.kind is SpanKind.CONSUMER
            assert process.status.status_code is code
            assert found["inner"].parent is not None
            assert found["inner"].parent.span_id == process.context.span_id

    def test_a_typed_service_is_one_and_what_it_recorded_is_exported_when_it_leaves(
        self, spans: Recorded
    ) -> None:
        instance, left = FlameInstance(), Recorded()
        batches = BatchSpanProcessor(left.exporter, schedule_delay_millis=3_600_000)
        spans.provider.add_span_processor(batches)

        @instance.entrypoint
        def work() -> None:
            assert instance.session_id == "s"

        service = traced(instance, born=lambda *_: ("e", BORN), tracer_provider=spans.provider)
        service.on_session_enter(SessionContext(None, "s", ApplicationContext("typed")))
        assert service.on_task_invoke(TaskContext("1", "s", None)) is None
        assert not left.all()
        service.on_session_leave()
        assert instance.session_id is None
        (span,) = left.all()
        assert (span.attributes or {})["messaging.destination.name"] == "typed"

    def test_while_the_engine_does_not_answer_it_has_a_trace_of_its_own(
        self, spans: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked: list[str] = []

        def born(session_id: str, task_id: str) -> Any:
            asked.append(task_id)
            raise UnavailableError("nothing answers")

        service = traced(Service(), born=born, tracer_provider=spans.provider)
        for number in ("1", "2"):
            assert service.on_task_invoke(TaskContext(number, "s", b"x")) == b"fine"
        assert asked == ["1"], "it is not asked again at once"
        assert "nothing answers" in caplog.text
        for span in spans.all():
            assert (span.attributes or {})["flame.trace.computed"] is False


class TestAProvider:
    def test_a_sampler_by_ratio_decides_alike_for_all_spans_of_a_task(
        self, cluster: LocalCluster
    ) -> None:
        spans = Recorded(sampler=ParentBased(TraceIdRatioBased(0.5)))
        interceptor = CallInterceptor(tracer_provider=spans.provider)
        with (
            connect(cluster.endpoint, interceptors=[interceptor]) as connection,
            Reactor(connection=connection, plugins=[plugin(spans)]) as reactor,
        ):
            reactor.wait_synced(timeout=10)
            tasks = run_tasks(connection, *[b"bad"] * 30)
        by_task = [set(spans.of(task, cluster.endpoint)) for task in tasks]
        whole = {"task", "submit", "queued", "running"}
        assert all(one in (set(), whole) for one in by_task), by_task
        assert 0 < sum(map(bool, by_task)) < 30
        spans.provider.shutdown()

    def test_its_other_tracers_keep_their_ids(self, spans: Recorded) -> None:
        made = TaskTrace.of("e", "s", "1", EPOCH)
        own = OpenTelemetry(tracer_provider=spans.provider, metrics=False, logs=False)
        own._spans.emit(made, "task", 1, 2, identity="task", parent=None, attributes={})
        with spans.provider.get_tracer("program").start_as_current_span("other"):
            pass
        task, other = spans.all()
        assert (task.context.trace_id, task.context.span_id) == (
            made.trace_id,
            made.span_id("task"),
        )
        assert other.context.trace_id != made.trace_id

    def test_one_whose_tracers_take_no_ids_still_gets_the_trace(
        self, spans: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Other(trace.TracerProvider):
            def get_tracer(self, *arguments: Any, **named: Any) -> trace.Tracer:
                return Wrapped(spans.provider.get_tracer("inside"))

        class Wrapped(trace.Tracer):
            def __init__(self, inner: trace.Tracer) -> None:
                self.inner = inner

            def start_span(self, *arguments: Any, **named: Any) -> trace.Span:
                return self.inner.start_span(*arguments, **named)

            start_as_current_span: Any = None

        made = TaskTrace.of("e", "s", "1", EPOCH)
        own = OpenTelemetry(tracer_provider=Other(), metrics=False, logs=False)
        for name, parent in (("task", None), ("running", "task")):
            own._spans.emit(made, name, 1, 2, identity=name, parent=parent, attributes={})
        assert {one.context.trace_id for one in spans.all()} == {made.trace_id}
        assert caplog.text.count("takes no ids") == 1
