"""``CallInterceptor``: what a client's own calls to the engine show.

Around ``CreateTask`` it makes the span ``submit`` in the task's trace, with a link to the span that
was current where ``session.run`` was called: a task may end long after that one, so it is no
parent. Every call is measured. ``instrument`` puts it around the calls of the whole process.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from flamepy.core import install_interceptor
from flamepy.errors import FlameError
from flamepy.types import OutgoingCall, SessionInfo, Task
from flamepy_opentelemetry import names
from flamepy_opentelemetry.identity import TaskTrace
from flamepy_opentelemetry.metrics import OPERATION, meter_of
from flamepy_opentelemetry.plugin import cluster_name
from flamepy_opentelemetry.spans import Spans

logger = logging.getLogger(__name__)

STREAMS = frozenset({"ListTask", "WatchTask"})  # an interceptor is around their opening only
KNOWN_SESSIONS = 10_000
Proceed = Callable[[OutgoingCall], Awaitable[Any]]  # Any: the reply


class CallInterceptor:
    """An interceptor for ``connect(interceptors=[CallInterceptor()])``.

    Args:
        cluster: the engine's name in trace ids; see ``OpenTelemetry``.
        tracer_provider, meter_provider: None: the process's.
    """

    def __init__(
        self,
        *,
        cluster: str | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._cluster = cluster
        self._spans = Spans(tracer_provider)
        self._applications: OrderedDict[str, str] = OrderedDict()  # by session; on many loops
        meter = meter_of(meter_provider)
        self._durations = meter.create_histogram(
            names.RPC_CALL_DURATION,
            "s",
            "Duration of an outgoing remote procedure call.",
            explicit_bucket_boundaries_advisory=OPERATION,
        )
        self._sent = meter.create_counter(
            names.SENT_MESSAGES, "{message}", "Tasks that the engine acknowledged."
        )

    async def __call__(self, call: OutgoingCall, proceed: Proceed) -> Any:
        """Continue the call, and record how it went."""
        start, begun = time.time_ns(), time.perf_counter()
        try:
            reply = await proceed(call)
        except BaseException as error:
            self._measure(call, time.perf_counter() - begun, error)
            raise
        seconds = time.perf_counter() - begun
        try:
            self._measure(call, seconds, None)
            self._note(call, reply, start, start + int(seconds * 1e9))
        except Exception:  # the task is made: telemetry must not fail its caller
            logger.exception("telemetry of %s", call.rpc)
        return reply

    def _note(self, call: OutgoingCall, reply: object, start: int, end: int) -> None:
        if isinstance(reply, SessionInfo):
            self._applications[reply.id] = reply.application
            if len(self._applications) > KNOWN_SESSIONS:
                self._applications.popitem(last=False)
        elif isinstance(reply, Task) and call.rpc == "CreateTask":
            application = self._applications.get(reply.session_id, "")
            self._sent.add(1, _messaging(application))
            if self._spans.recording:
                self._submitted(call, reply, application, start, end)

    def _submitted(
        self, call: OutgoingCall, task: Task, application: str, start: int, end: int
    ) -> None:
        cluster = cluster_name(self._cluster, call.endpoint)
        current = trace.get_current_span().get_span_context()
        size = len(call.request) if isinstance(call.request, bytes) else 0
        attributes: dict[str, AttributeValue] = {
            **_messaging(application),
            names.MESSAGING_TYPE: "send",
            names.MESSAGING_ID: f"{task.session_id}/{task.id}",
            names.MESSAGING_BODY_SIZE: size,
            names.SESSION_ID: task.session_id,
            names.TASK_ID: task.id,
            names.START_SOURCE: "observed",
            names.END_SOURCE: "observed",
            names.INFERRED: False,
        }
        if application:
            attributes[names.APPLICATION] = application
        self._spans.emit(
            TaskTrace.of(cluster, task.session_id, task.id, task.creation_time),
            names.SUBMIT,
            start,
            end,
            identity=names.SUBMIT,
            parent=names.TASK,
            attributes=attributes,
            kind=SpanKind.PRODUCER,
            links=[Link(current)] if current.is_valid else (),
        )

    def _measure(self, call: OutgoingCall, seconds: float, error: BaseException | None) -> None:
        if call.rpc in STREAMS:
            return
        attributes = {
            names.RPC_SYSTEM: "grpc",
            names.RPC_METHOD: f"{names.FRONTEND}/{call.rpc}",
            **_server(call.endpoint),
        }
        if error is None:
            attributes[names.RPC_STATUS] = "OK"
        else:
            code = error.grpc_code if isinstance(error, FlameError) else None
            if code is not None:
                attributes[names.RPC_STATUS] = code
            attributes[names.ERROR_TYPE] = code or type(error).__qualname__
        self._durations.record(seconds, attributes)


def instrument(
    *,
    cluster: str | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """Observe the calls of every connection of this process that is made from now on.

    Call it once, before the first call to the engine. Returns the undo. The arguments are those of
    ``CallInterceptor``.
    """
    return install_interceptor(
        CallInterceptor(
            cluster=cluster, tracer_provider=tracer_provider, meter_provider=meter_provider
        )
    )


class FlameInstrumentor:
    """``instrument`` in the form that ``opentelemetry-instrument`` calls, once a process."""

    _undo: Callable[[], None] | None = None

    def instrument(self, **options: Any) -> None:
        """Observe the calls of this process; the tracer and meter provider may be given."""
        taken = ("cluster", "tracer_provider", "meter_provider")
        if FlameInstrumentor._undo is None:
            given = {name: value for name, value in options.items() if name in taken}
            FlameInstrumentor._undo = instrument(**given)

    def uninstrument(self, **_: object) -> None:
        """Undo it, for connections made later."""
        undo, FlameInstrumentor._undo = FlameInstrumentor._undo, None
        if undo is not None:
            undo()


def _messaging(application: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.MESSAGING_SYSTEM: names.SYSTEM,
        names.MESSAGING_OPERATION: names.SUBMIT,
    }
    if application:
        attributes[names.MESSAGING_DESTINATION] = application
    return attributes


def _server(endpoint: str) -> dict[str, str | int]:
    parts = urlsplit(endpoint)
    found: dict[str, str | int] = {names.SERVER_ADDRESS: parts.hostname or endpoint}
    if parts.port is not None:
        found[names.SERVER_PORT] = parts.port
    return found
