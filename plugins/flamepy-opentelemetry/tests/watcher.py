"""A process that exports by OTLP what a reactor sees, until its standard input ends."""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from flamepy.informers import Reactor

endpoint, checkpoint, collector = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces")))
trace.set_tracer_provider(provider)
plugins = {"opentelemetry": {"metrics": False, "logs": False}}
with Reactor(endpoint=endpoint, checkpoint=checkpoint, plugins=plugins) as reactor:
    reactor.wait_synced(timeout=20)
    print("synced", flush=True)
    sys.stdin.read()
