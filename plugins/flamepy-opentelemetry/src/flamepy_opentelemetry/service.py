"""``traced``: a service whose tasks have spans in the traces of their tasks."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from flamepy.core import FlameService, SessionContext, TaskContext
from flamepy.core.client import Connection, Session
from flamepy.errors import FlameError
from flamepy.types import RetryPolicy
from flamepy_opentelemetry import names
from flamepy_opentelemetry.identity import TaskTrace
from flamepy_opentelemetry.metrics import OPERATION, meter_of
from flamepy_opentelemetry.plugin import cluster_name
from flamepy_opentelemetry.spans import Spans

logger = logging.getLogger(__name__)

LIMIT = 2.0  # seconds for the look at a task
PAUSE = 30.0  # seconds without looks after one that failed
ONCE = RetryPolicy(attempts=1)

Born = Callable[[str, str], "tuple[str, datetime]"]


def traced(
    service: FlameService,
    *,
    cluster: str | None = None,
    born: Born | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> FlameService:
    """Return a service that does what ``service`` does, with a span around each task.

    The span ``process`` is a child of the task's span ``running``, and the current one while the
    task is done, so that spans which the service makes are below it. The creation time that the
    trace id is computed from is not sent to services: it is read from the engine, one ``GetTask``
    a task. While that fails, spans are in traces of their own.

    Args:
        service: an instance.
        cluster: the engine's name in trace ids; see ``OpenTelemetry``.
        born: returns the endpoint and a task's creation time, by session id and task id; by default
            it asks the engine.
        tracer_provider: None: the process's.
        meter_provider: likewise.
    """
    return _Traced(service, cluster, born or Engine(), Spans(tracer_provider), meter_provider)


class Engine:
    """Asks the engine of the implicit connection, which executors name by ``FLAME_ENDPOINT``."""

    def __init__(self) -> None:
        self._session: Session | None = None  # a service has one at a time

    def __call__(self, session_id: str, task_id: str) -> tuple[str, datetime]:
        """Return endpoint and creation time of a task. Raises FlameError."""
        connection, session = Connection.implicit(), self._session
        if session is None or session.id != session_id:
            session = connection.get_session(session_id, timeout=LIMIT, retry=ONCE)
            self._session = session
        task = session.get_task(task_id, timeout=LIMIT, retry=ONCE)
        return connection.endpoint, task.creation_time


class _Traced(FlameService):
    """See ``traced``; its calls come one after another, on one thread."""

    def __init__(
        self,
        service: FlameService,
        cluster: str | None,
        born: Born,
        spans: Spans,
        meters: MeterProvider | None,
    ) -> None:
        self._service = service
        self._cluster = cluster
        self._born = born
        self._spans = spans
        self._application = ""
        self._silent_until = 0.0  # monotonic seconds
        self._durations = meter_of(meters).create_histogram(
            names.PROCESS_DURATION,
            "s",
            "Duration of processing a task.",
            explicit_bucket_boundaries_advisory=OPERATION,
        )

    def on_session_enter(self, context: SessionContext) -> None:
        """Note the application, and enter."""
        self._application = context.application.name
        self._service.on_session_enter(context)

    def on_session_leave(self) -> None:
        """Leave, and export: the process may be ended after that."""
        try:
            self._service.on_session_leave()
        finally:
            self._spans.flush(LIMIT)

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        """Do the task within a span."""
        begun = time.perf_counter()
        attributes: dict[str, AttributeValue] = {
            names.MESSAGING_SYSTEM: names.SYSTEM,
            names.MESSAGING_OPERATION: names.PROCESS,
            names.MESSAGING_DESTINATION: self._application,
        }
        span = self._span(context, attributes)
        try:
            with trace.use_span(span, end_on_exit=True):
                return self._service.on_task_invoke(context)
        except BaseException as error:
            attributes[names.ERROR_TYPE] = type(error).__qualname__
            raise
        finally:
            self._durations.record(time.perf_counter() - begun, attributes)

    def _span(self, context: TaskContext, common: dict[str, AttributeValue]) -> trace.Span:
        found = self._trace(context)
        attributes: dict[str, AttributeValue] = {
            **common,
            names.MESSAGING_TYPE: "process",
            names.MESSAGING_ID: f"{context.session_id}/{context.task_id}",
            names.MESSAGING_BODY_SIZE: len(context.input or b""),
            names.SESSION_ID: context.session_id,
            names.TASK_ID: context.task_id,
            names.APPLICATION: self._application,
            names.IDS_COMPUTED: found is not None,
            "process.pid": os.getpid(),
        }
        kind = SpanKind.CONSUMER
        if found is None:
            return self._spans.start_apart(names.PROCESS, attributes=attributes, kind=kind)
        return self._spans.start(
            found, names.PROCESS, parent=names.RUNNING, attributes=attributes, kind=kind
        )

    def _trace(self, context: TaskContext) -> TaskTrace | None:
        now = time.monotonic()
        if not self._spans.recording or now < self._silent_until:
            return None
        try:
            endpoint, created = self._born(context.session_id, context.task_id)
        except FlameError as error:
            self._silent_until = time.monotonic() + PAUSE
            logger.warning(
                "the trace of task %s of session %s is not known, so its span is in one of its "
                "own; the engine is asked again in %.0f s: %s",
                *(context.task_id, context.session_id, PAUSE, error),
            )
            return None
        cluster = cluster_name(self._cluster, endpoint)
        return TaskTrace.of(cluster, context.session_id, context.task_id, created)
