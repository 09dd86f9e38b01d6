"""A service with a span per task, and one of its own below it: one call makes the first."""

from flamepy_opentelemetry import traced
from opentelemetry import trace
from telemetry import configure

from flamepy.core import FlameService, TaskContext, run


class Kitchen(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        with trace.get_tracer("kitchen").start_as_current_span("cook"):
            if context.input == b"spinach":
                raise ValueError("no spinach, please")
            return b"served"


if __name__ == "__main__":
    configure("kitchen")
    run(traced(Kitchen()))
