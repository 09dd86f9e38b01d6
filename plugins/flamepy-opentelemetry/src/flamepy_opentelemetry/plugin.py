"""``OpenTelemetry``: the informer. It has the events of tasks and makes spans, metrics and logs.

A task's spans are made when it has ended, with the times at which it was in its states. They are
exported before a checkpoint stores that their events were delivered.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from opentelemetry._logs import LoggerProvider
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from flamepy.informers import (
    EventKind,
    FinishedCall,
    Reactor,
    ReactorState,
    SessionEvent,
    SessionInformer,
    TaskEvent,
    TaskInformer,
    signals,
)
from flamepy.types import Task, TaskState
from flamepy_opentelemetry import names
from flamepy_opentelemetry.identity import TaskTrace
from flamepy_opentelemetry.logs import LogBridge, TaskEvents
from flamepy_opentelemetry.metrics import Source, TaskMetrics, observed_by
from flamepy_opentelemetry.spans import Spans
from flamepy_opentelemetry.timeline import Piece, Timeline

logger = logging.getLogger(__name__)

CLUSTER = "FLAME_TRACE_CLUSTER"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SECOND = 1e9  # nanoseconds


def cluster_name(given: str | None, endpoint: str) -> str:
    """Return what trace ids are computed from, as the engine's name."""
    return given or os.environ.get(CLUSTER) or endpoint


class OpenTelemetry(TaskInformer, SessionInformer):
    """Traces, metrics and logs of tasks, through the providers of the program.

    Args:
        traces: make the spans of tasks.
        callbacks: and one for each call of an informer's callback with a task.
        submit: and one of no length where the task was created: for callers without the
            interceptor, which makes a better one.
        metrics: count and measure.
        logs: give log records of flamepy, and what went wrong, to the logger provider.
        log_level: the least level of these records.
        initial: make spans of tasks that had ended before the plugin was registered, too.
        flush: have spans exported before their events count as delivered.
        flush_timeout: seconds that an export may take.
        cluster: the engine's name in trace ids, the same in every process that makes spans; by
            default the environment variable ``FLAME_TRACE_CLUSTER``, else the endpoint.
        tracer_provider, meter_provider, logger_provider: in code; None: the process's.

    Raises:
        ValueError: ``log_level`` is no level, or ``flush_timeout`` not above 0.
    """

    def __init__(
        self,
        *,
        traces: bool = True,
        callbacks: bool = True,
        submit: bool = False,
        metrics: bool = True,
        logs: bool = True,
        log_level: str = "INFO",
        initial: bool = False,
        flush: bool = True,
        flush_timeout: float = 10.0,
        cluster: str | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        if log_level not in LEVELS:
            raise ValueError(f"log_level={log_level!r}: it is one of {', '.join(LEVELS)}")
        if not flush_timeout > 0:
            raise ValueError(f"flush_timeout={flush_timeout!r}: it is a number of seconds above 0")
        self._traces, self._callbacks, self._submit = traces, callbacks, submit
        self._initial, self._flushes, self._flush_timeout = initial, flush, flush_timeout
        self._cluster = cluster
        self._spans = Spans(tracer_provider)
        self._metered, self._meter_provider = metrics, meter_provider
        self._measures: TaskMetrics | None = None
        self._source: Source | None = None
        self._events = TaskEvents(logger_provider) if logs else None
        self._bridge: LogBridge | None = None
        if logs:
            self._bridge = LogBridge(getattr(logging, log_level), self._context_of, logger_provider)
        self._reactor: Reactor | None = None
        self._undo: list[Callable[[], object]] = []
        self._own: set[str] = set()  # the names of its own registrations
        self._memo = object()  # the key in ``event.memo``: of this instance

    # ------------------------------------------------------------------ its life

    def attach(self, reactor: Reactor) -> None:
        """Observe a reactor: its health, its calls, its logs."""
        self._reactor = reactor
        if self._metered:
            self._measures = TaskMetrics(self._meter_provider)
            observed = observed_by(self._meter_provider)
            source = self._source = Source(reactor)
            observed.add(source)
            self._undo.append(lambda: observed.remove(source))
            signals.retry_scheduled.connect(self._retried)
            self._undo.append(lambda: signals.retry_scheduled.disconnect(self._retried))
        if self._metered or (self._traces and self._callbacks):
            self._undo.append(reactor.observe_calls(self._called))
        if self._bridge is not None:
            bridge, root = self._bridge, logging.getLogger("flamepy")
            root.addHandler(bridge)
            self._undo.append(lambda: root.removeHandler(bridge))

    def start(self) -> None:
        """Say so if there is no SDK; begin to read the sessions."""
        reactor = self._reactor
        if self._traces and not self._spans.recording:
            logger.warning(
                "no tracer provider is set, so no span is recorded: configure the SDK of "
                "OpenTelemetry before the reactor starts, or run the program by "
                "opentelemetry-instrument"
            )
        if reactor is not None:
            self._own = {one.name for one in reactor.registrations if one.informer is self}
            if self._source is not None:
                self._source.follow()

    def close(self) -> None:
        """Have what was recorded exported, and observe no more."""
        flush = getattr(self._meter_provider or get_meter_provider(), "force_flush", None)
        if self._metered and flush is not None:
            flush(int(self._flush_timeout * 1000))  # a reactor that has ended is read no more
        while self._undo:
            self._undo.pop()()
        self._flush()

    # ------------------------------------------------------------------ events

    def on_batch(self, events: Sequence[TaskEvent]) -> None:
        """Make spans and metrics of changes, and have them exported."""
        ended = False
        for event in events:
            ended |= self._take(event)
        if ended:
            self._flush()

    def on_event(self, event: SessionEvent) -> None:
        """Emit what the engine recorded of a session: 1001, 1002."""
        recorded = event.event
        if self._events is None or recorded is None or event.initial:
            return
        attributes: dict[str, AttributeValue] = {
            names.SESSION_ID: event.session.id,
            names.APPLICATION: event.session.application,
            "flame.event.code": int(recorded.code),
        }
        at = _observed_at(event)
        self._events.emit("flame.session.event", recorded.message or "", at, attributes)

    def _take(self, event: TaskEvent) -> bool:
        """Record one event; return True if spans were made."""
        task, at = event.task, _observed_at(event)
        gone = event.kind is EventKind.DELETED
        if self._measures is not None and not event.initial:
            state = "deleted" if gone else task.state.name.lower()
            self._measures.changed(event.application, state, event.lag)
        if not gone and not task.state.is_terminal:
            live = event.kind is EventKind.ADDED and not event.initial
            pieces = self._timeline(event).saw(task.state, at, inferred=event.inferred, live=live)
            self._requeued(event, pieces, at)
            return bool(pieces) and self._emit(event, pieces, "")
        if (gone and event.final_state_known) or (event.initial and not self._initial):
            return False
        line = event.memo.pop(self._memo, None) or Timeline()
        pieces = line.ended(task, at)
        state = "unknown" if gone else task.state.name.lower()
        if self._measures is not None and not gone:
            self._measures.spent(event.application, state, pieces)
        self._failed(event, at)
        return self._emit(event, pieces, state)

    def _timeline(self, event: TaskEvent) -> Timeline:
        line: Timeline = event.memo.setdefault(self._memo, Timeline())
        return line

    # ------------------------------------------------------------------ spans

    def _emit(self, event: TaskEvent, pieces: Sequence[Piece], state: str) -> bool:
        if not (self._traces and self._spans.recording):
            return False
        trace = self._trace_of(event)
        failed = (event.task.error or "") if event.task.state is TaskState.FAILED else None
        common = _about(event)
        for piece in pieces:
            attributes = {
                **common,
                names.START_SOURCE: piece.start.source,
                names.END_SOURCE: piece.end.source,
                names.INFERRED: piece.inferred,
            }
            if piece.requeued:
                attributes[names.REQUEUED] = True
            elif state:
                attributes[names.TASK_STATE] = state
            of_failure = failed is not None and piece.name in (names.TASK, names.RUNNING)
            if of_failure and not piece.requeued:
                attributes[names.ERROR_TYPE] = "flame.task.failed"
            self._spans.emit(
                trace,
                piece.name,
                piece.start.at,
                piece.end.at,
                identity=piece.identity,
                parent=None if piece.name == names.TASK else names.TASK,
                attributes=attributes,
                error=failed if of_failure and not piece.requeued else None,
            )
        if self._submit and state:
            self._emit_submit(trace, pieces[0].start.at, common)
        return True

    def _emit_submit(self, trace: TaskTrace, at: int, common: dict[str, AttributeValue]) -> None:
        sources: dict[str, AttributeValue] = {
            names.START_SOURCE: "inferred",
            names.END_SOURCE: "engine",
            names.INFERRED: True,
        }
        self._spans.emit(
            trace,
            names.SUBMIT,
            at,
            at,
            identity=names.SUBMIT,
            parent=names.TASK,
            attributes={**common, **sources},
            kind=SpanKind.PRODUCER,
        )

    def _called(self, call: FinishedCall) -> None:
        """Measure a call of another informer's callback, and make a span of it."""
        if call.informer in self._own:
            return
        if self._measures is not None:
            self._measures.called(call)
        if not (self._traces and self._callbacks and self._spans.recording):
            return
        now, monotonic = time.time_ns(), time.monotonic()
        start = now - int((monotonic - call.started) * SECOND)
        end = now - int((monotonic - call.ended) * SECOND)
        for event in call.events:
            if isinstance(event, TaskEvent) and not event.initial:
                self._spans.emit(
                    self._trace_of(event),
                    names.CALLBACK,
                    start,
                    end,
                    identity=None,
                    parent=names.TASK,
                    attributes={
                        **_about(event),
                        names.INFORMER: call.informer,
                        names.CALLBACK_NAME: call.callback,
                        names.EVENT_KEY: event.key,
                        "messaging.batch.message_count": len(call.events),
                    },
                    kind=SpanKind.CONSUMER,
                    error="" if call.failed else None,
                )

    def _trace_of(self, event: TaskEvent) -> TaskTrace:
        return self._trace(event.endpoint, event.task)

    def _trace(self, endpoint: str, task: Task) -> TaskTrace:
        cluster = cluster_name(self._cluster, endpoint)
        return TaskTrace.of(cluster, task.session_id, task.id, task.creation_time)

    def _flush(self) -> None:
        if self._flushes and self._traces and not self._spans.flush(self._flush_timeout):
            logger.warning(
                "the tracer provider did not export within %.0f s: spans may be lost if this "
                "process is killed",
                self._flush_timeout,
            )

    # ------------------------------------------------------------------ logs and signals

    def _failed(self, event: TaskEvent, at: int) -> None:
        if self._events is not None and event.task.state is TaskState.FAILED:
            context = self._spans.context(self._trace_of(event), names.RUNNING)
            body = event.task.error or "the task failed without a text"
            attributes = _about(event)
            self._events.emit(
                "flame.task.failed", body, at, attributes, context=context, error=True
            )

    def _requeued(self, event: TaskEvent, pieces: Sequence[Piece], at: int) -> None:
        if self._events is not None and pieces:
            context = self._spans.context(self._trace_of(event))
            body = "the engine put a running task back into its queue"
            self._events.emit("flame.task.requeued", body, at, _about(event), context=context)

    def _context_of(self, session_id: str, task_id: str) -> Context | None:
        """Return the context of a task that a log record names, if the task is known."""
        reactor = self._reactor
        if reactor is None or reactor.state is not ReactorState.RUNNING:
            return None
        task = reactor.tasks.get(session_id, task_id)
        endpoint = reactor.health().endpoint
        return None if task is None else self._spans.context(self._trace(endpoint, task))

    def _retried(self, sender: str, **_: object) -> None:
        reactor, measures = self._reactor, self._measures
        if reactor is not None and measures is not None and sender == reactor.health().endpoint:
            measures.retried(sender)


def _about(event: TaskEvent) -> dict[str, AttributeValue]:
    return {
        names.SESSION_ID: event.task.session_id,
        names.TASK_ID: event.task.id,
        names.APPLICATION: event.application,
    }


def _observed_at(event: TaskEvent | SessionEvent) -> int:
    """Return when an event was observed, as nanoseconds since the epoch."""
    return time.time_ns() - int(event.lag * SECOND)
