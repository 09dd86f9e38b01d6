"""Traces, metrics and logs of a Flame engine through the OpenTelemetry API: an informer plugin.

Which SDK and which exporter receive them is the program's choice. README.md has the tables of
spans, attributes and metrics.
"""

from flamepy_opentelemetry.caller import CallInterceptor, FlameInstrumentor, instrument
from flamepy_opentelemetry.identity import TaskTrace
from flamepy_opentelemetry.plugin import OpenTelemetry
from flamepy_opentelemetry.service import traced

__all__ = [
    "CallInterceptor",
    "FlameInstrumentor",
    "OpenTelemetry",
    "TaskTrace",
    "instrument",
    "traced",
]
