"""Measure flamepy-opentelemetry: ``python benchmarks/tracing.py [PART]...``, by default all parts.

- ``cpu``: the CPU that an event of a task costs its informer, by what is switched on; the SDK's own
  work is part of it, exporting is not;
- ``agree``: 10,000 tasks of one process, seen by an informer in a second one that is killed
  half-way and started again, both exporting by OTLP to a stand-in of a collector: how many trace
  ids are the same, lost and repeated;
- ``size``: what an installation adds, with and without the SDK.

Needs the plugin and its extra ``sdk``: ``pip install "./plugins/flamepy-opentelemetry[sdk]"``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flamepy.informers import TaskEvent

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "plugins" / "flamepy-opentelemetry"
TASKS, BATCH, ROUNDS = 10_000, 100, 3
KILL_AT = TASKS // 2
LIMIT = 300.0  # seconds until ``agree`` counts as stuck
CALLER = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from flamepy_opentelemetry import instrument
from flamepy.core import FlameService, connect

endpoint, collector, count = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(
    BatchSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces"), max_queue_size=100_000)
)
trace.set_tracer_provider(provider)
instrument()
with connect(endpoint) as connection, connection.create_session("app") as session:
    for future in session.run_many(b"x" for _ in range(int(count))):
        future.result(timeout=300)
    print("done", flush=True)
    sys.stdin.read()
"""


def main() -> None:
    """Run the parts that are asked for, by default all."""
    parts: dict[str, Callable[[], None]] = {"cpu": cpu, "agree": agree, "size": size}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="by default all")
    for name in parser.parse_args().parts or parts:
        print(f"\n{name}")
        parts[name]()


# ---------------------------------------------------------------------- cpu


def events() -> list[list[TaskEvent]]:
    """Return batches of the three events of each task."""
    from flamepy.informers import EventKind, TaskEvent
    from flamepy.types import Task, TaskState
    from flamepy.watching.state.memo import MemoHolder

    born = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=timezone.utc)
    made = []
    for number in range(TASKS):
        holder = MemoHolder()
        for state in (TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED):
            ended = born + timedelta(seconds=5) if state.is_terminal else None
            task = Task(str(number), "s", state, born, completion_time=ended)
            kind = EventKind.UPDATED if state is not TaskState.PENDING else EventKind.ADDED
            given: dict[str, Any] = {"application": "app", "endpoint": "http://flame:8080"}
            made.append(TaskEvent(kind=kind, task=task, memo_holder=holder, **given))
    return [made[first : first + BATCH] for first in range(0, len(made), BATCH)]


def cpu() -> None:
    """Print microseconds of CPU an event, the best of some rounds."""
    from flamepy_opentelemetry import OpenTelemetry, TaskTrace
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from flamepy.informers import Reactor

    def measured(tracer: Any, meter: Any, **options: bool) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            one = OpenTelemetry(tracer_provider=tracer, meter_provider=meter, logs=False, **options)
            one.attach(Reactor(plugins=()))
            batches = events()
            begun = time.process_time()
            for batch in batches:
                one.on_batch(batch)
            best = min(best, time.process_time() - begun)
            one.close()
        return best / (3 * TASKS) * 1e6

    tracer, unsampled = TracerProvider(), TracerProvider(sampler=ALWAYS_OFF)
    tracer.add_span_processor(SpanProcessor())
    meter = MeterProvider([InMemoryMetricReader()])
    rows = {
        "nothing": measured(tracer, NoOpMeterProvider(), traces=False, metrics=False),
        "metrics": measured(tracer, meter, traces=False),
        "traces, none sampled": measured(unsampled, meter, metrics=False),
        "traces": measured(tracer, meter, metrics=False),
        "traces and metrics": measured(tracer, meter),
    }
    for name, micros in rows.items():
        print(f"  {name:24} {micros:6.1f} us an event")
    born = datetime(2026, 1, 1, tzinfo=timezone.utc)
    begun = time.process_time()
    for number in range(TASKS):
        TaskTrace.of("http://flame:8080", "s", str(number), born).span_id("running")
    spent = (time.process_time() - begun) / TASKS * 1e6
    print(f"  {'a trace id and a span id':24} {spent:6.1f} us")


# ---------------------------------------------------------------------- agree


def agree() -> None:
    """Print how far the ids of two processes agree over a kill."""
    sys.path.insert(0, str(PLUGIN / "tests"))
    from collector import Collector

    from flamepy.core import FlameService
    from flamepy.local import LocalCluster

    class Service(FlameService):
        def on_task_invoke(self, context: object) -> bytes:
            return b"fine"

    collector = Collector()

    def traces(name: str) -> Counter[str]:
        return Counter(one["trace"] for one in collector.spans() if one["name"] == name)

    with tempfile.TemporaryDirectory() as folder, LocalCluster(executors=4) as cluster:
        cluster.register_service("app", Service)
        watcher = [sys.executable, str(PLUGIN / "tests" / "watcher.py")]
        watcher += [cluster.endpoint, f"{folder}/state.db", collector.endpoint]
        caller = [sys.executable, "-c", CALLER, cluster.endpoint, collector.endpoint, str(TASKS)]
        first = start(watcher, "synced")
        calling = start(caller)
        wait_until(lambda: len(traces("task")) >= KILL_AT)
        first.kill()
        first.wait()
        second = start(watcher, "synced")
        wait_until(lambda: len(traces("task")) >= TASKS)
        for one in (calling, second):
            one.communicate(timeout=LIMIT)
    collector.close()
    submitted, ended = traces("submit"), traces("task")
    print(
        f"  tasks {TASKS}, trace ids of the caller {len(submitted)}, of the informer {len(ended)}"
    )
    print(f"  the same in both: {len(submitted.keys() & ended.keys())}")
    print(f"  lost: {len(submitted.keys() - ended.keys())}, repeated: {ended.total() - len(ended)}")


def start(command: list[str], wanted: str | None = None) -> subprocess.Popen[str]:
    """Start a program; return when it has printed a line that is waited for."""
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    if wanted is not None and made.stdout.readline().strip() != wanted:
        raise SystemExit(f"{command[1]} has not printed {wanted}")
    return made


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition. Raises SystemExit when it takes too long."""
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise SystemExit(f"not within {LIMIT:.0f} s")
        Flag().wait(0.5)


# ---------------------------------------------------------------------- size


def size() -> None:
    """Print what the plugin adds to an environment that has flamepy-informers."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        before = weight(Path(folder))
        install(folder, str(ROOT))
        library = weight(Path(folder))
        install(folder, str(PLUGIN))
        plugin = weight(Path(folder))
        install(folder, f"{PLUGIN}[sdk]")
        print(f"  flamepy-informers        {library - before:6.1f} MB")
        print(f"  + flamepy-opentelemetry  {plugin - library:6.1f} MB")
        print(f"  + its extra sdk          {weight(Path(folder)) - plugin:6.1f} MB")


def install(folder: str, what: str) -> None:
    """Install a package into an environment, without compiling it."""
    pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", what]
    subprocess.run(pip, check=True)


def weight(folder: Path) -> float:
    """Return the size of a folder's files in megabytes."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) / 1e6


if __name__ == "__main__":
    main()
