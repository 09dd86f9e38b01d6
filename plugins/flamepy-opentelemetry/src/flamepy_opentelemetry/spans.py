"""``Spans``: makes spans with computed ids, through the API and the program's provider.

The API takes no ids for a span. What it has: a parent's context, which gives the trace id, and the
``id_generator`` of the SDK's tracer, which gives the others. The plugin's own tracer (no other
library has one of its scope) gets a generator that gives out computed ids where asked to. Sampler,
processors, limits and resource stay the provider's. A tracer of another implementation has no such
generator: then the trace ids hold, and the ids of spans are random.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceFlags, Tracer
from opentelemetry.util.types import AttributeValue

from flamepy_opentelemetry import names
from flamepy_opentelemetry.identity import TaskTrace

logger = logging.getLogger(__name__)

RANDOM = 0x02  # the flag of trace ids whose last 56 bits are evenly distributed
Attributes = dict[str, AttributeValue]


class IdGenerator(Protocol):
    """What the SDK's tracers ask for ids."""

    def generate_span_id(self) -> int:
        """Return 64 bits."""

    def generate_trace_id(self) -> int:
        """Return 128 bits."""


class ComputedIds:
    """Gives out the ids chosen for the next span of a thread, else those of another generator."""

    def __init__(self, other: IdGenerator) -> None:
        self._other = other
        self._next = threading.local()

    def choose(self, trace_id: int, span_id: int) -> None:
        """Choose the ids of the next span that this thread makes."""
        self._next.ids = trace_id, span_id

    def drop(self) -> None:
        """Choose none."""
        self._next.ids = None

    def generate_trace_id(self) -> int:
        """Return the chosen trace id, which stays chosen until the span's."""
        ids: tuple[int, int] | None = getattr(self._next, "ids", None)
        return self._other.generate_trace_id() if ids is None else ids[0]

    def generate_span_id(self) -> int:
        """Return the chosen span id, once."""
        ids: tuple[int, int] | None = getattr(self._next, "ids", None)
        if ids is None:
            return self._other.generate_span_id()
        self._next.ids = None
        return ids[1]

    def is_trace_id_random(self) -> bool:
        """Return True: computed ids are as evenly distributed as random ones."""
        return True


class Spans:
    """Makes the spans of tasks. From any thread.

    Args:
        provider: None: the process's, as it is when a span is made.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._provider = provider
        self._known: tuple[trace.TracerProvider, Tracer] | None = None
        self._warned = False

    @property
    def provider(self) -> trace.TracerProvider:
        """The provider that receives the spans."""
        return self._provider or trace.get_tracer_provider()

    @property
    def recording(self) -> bool:
        """False while the program has no SDK: then nothing need be made."""
        return not isinstance(self.provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider))

    def emit(
        self,
        task: TaskTrace,
        name: str,
        start: int,
        end: int,
        *,
        identity: str | None,
        parent: str | None,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        error: str | None = None,
    ) -> None:
        """Make a span that is over.

        Args:
            task: whose trace.
            name: the span's.
            start: nanoseconds since the epoch.
            end: likewise.
            identity: what its id is computed from; None for an execution, which has a random one.
            parent: the identity of its parent; None for the root.
            attributes: as of the API.
            kind: likewise.
            links: likewise.
            error: the text of an error status.
        """
        span = self._start(task, name, start, identity, parent, attributes, kind, links)
        if error is not None:
            span.set_status(trace.StatusCode.ERROR, error)
        span.end(end)

    def start(
        self, task: TaskTrace, name: str, *, parent: str, attributes: Attributes, kind: SpanKind
    ) -> Span:
        """Return a span of an execution, which begins now."""
        return self._start(task, name, None, None, parent, attributes, kind, ())

    def start_apart(self, name: str, *, attributes: Attributes, kind: SpanKind) -> Span:
        """Return a span in a trace of its own, for a task whose trace is not known."""
        return self._tracer().start_span(name, Context(), kind, attributes)

    def context(self, task: TaskTrace, identity: str = names.TASK) -> Context:
        """Return a context in which one of the task's computed spans is the current one."""
        flags = RANDOM | (TraceFlags.SAMPLED if self._sampled(task) else TraceFlags.DEFAULT)
        parent = SpanContext(
            task.trace_id, task.span_id(identity), is_remote=True, trace_flags=TraceFlags(flags)
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())

    def flush(self, timeout: float) -> bool:
        """Have the provider export what it has; False if it does not say that it did."""
        flush = getattr(self.provider, "force_flush", None)
        return flush is None or bool(flush(int(timeout * 1000)))

    def _start(
        self,
        task: TaskTrace,
        name: str,
        start: int | None,
        identity: str | None,
        parent: str | None,
        attributes: Attributes,
        kind: SpanKind,
        links: Sequence[Link],
    ) -> Span:
        tracer = self._tracer()
        ids = getattr(tracer, "id_generator", None)
        computed = ids if isinstance(ids, ComputedIds) else None
        if computed is None and parent is None:
            parent = names.TASK  # the trace id at least, by a root that is not there
        context = Context() if parent is None else self.context(task, parent)
        if computed is None or identity is None:
            return tracer.start_span(name, context, kind, attributes, links, start)
        computed.choose(task.trace_id, task.span_id(identity))
        try:
            return tracer.start_span(name, context, kind, attributes, links, start)
        finally:
            computed.drop()  # a tracer that is switched off has not taken it

    def _sampled(self, task: TaskTrace) -> bool:
        """Return what the provider's sampler decides of the task's root, in every process."""
        sampler = getattr(self._tracer(), "sampler", None)
        if sampler is None:
            return True
        return bool(sampler.should_sample(None, task.trace_id, names.TASK).decision.is_sampled())

    def _tracer(self) -> Tracer:
        provider = self.provider
        known = self._known
        if known is not None and known[0] is provider:
            return known[1]
        tracer: Any = provider.get_tracer(
            names.SCOPE, names.VERSION, names.SCHEMA
        )  # Any: the SDK's
        ids = getattr(tracer, "id_generator", None)
        if ids is not None and not isinstance(ids, ComputedIds):
            tracer.id_generator = ComputedIds(ids)
        elif ids is None and self.recording and not self._warned:
            self._warned = True
            logger.warning(
                "the tracer of %s takes no ids: trace ids are computed, ids of spans are random "
                "and the span %r has a parent that is not there",
                *(type(provider).__qualname__, names.TASK),
            )
        self._known = provider, tracer
        return tracer  # type: ignore[no-any-return]  # see above
