"""A request that makes tasks, a service that does them, an informer: one trace per task."""

import sys
from pathlib import Path

from flamepy_opentelemetry import TaskTrace, instrument
from opentelemetry import trace
from telemetry import configure

from flamepy.core import ApplicationAttributes, connect
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.local import LocalCluster

HERE = Path(__file__).parent


class Bell(TaskInformer):
    """An informer of the program's own: its callbacks are spans of the tasks' traces, too."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def on_succeeded(self, event: TaskEvent) -> None:
        self.rung.append(event.task.id)


bell = Bell()
configure("restaurant")
instrument()  # before the first call to the engine

with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
    connection.register_application(
        "kitchen",
        ApplicationAttributes(command=sys.executable, arguments=[str(HERE / "service.py")]),
    )
    with Reactor(connection=connection, plugins=["opentelemetry"]) as reactor:
        reactor.register(bell, application="kitchen").wait_synced(timeout=10)
        with connection.create_session("kitchen", max_instances=1) as session:
            with trace.get_tracer("restaurant").start_as_current_span("dinner"):
                futures = [session.run(dish) for dish in (b"pasta", b"spinach")]
            for future in futures:
                print(future.exception(timeout=60) or "served")
            for task in session.list_tasks():
                ids = TaskTrace.of(
                    connection.endpoint, task.session_id, task.id, task.creation_time
                )
                print(f"task {task.id} is trace {ids.trace_id:032x}")
print("the bell rang for", *bell.rung)
