"""An informer and a signal receiver see every task, whichever client made it."""

import threading

from flamepy.core import FlameService, TaskContext, TaskInformer, connect
from flamepy.informers import Reactor, TaskEvent, signals
from flamepy.local import LocalCluster


class Picky(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"spinach":
            raise ValueError("no spinach, please")
        return b"thanks"


class Outcomes(TaskInformer):
    """Counts what ended and says when everything it waits for has."""

    def __init__(self, expected: int) -> None:
        self.ended: dict[str, str] = {}
        self.expected = expected
        self.done = threading.Event()

    def on_succeeded(self, event: TaskEvent) -> None:
        self.ended[event.task.id] = "succeeded"

    def on_failed(self, event: TaskEvent) -> None:
        self.ended[event.task.id] = f"failed: {event.task.error}"

    def on_terminal(self, event: TaskEvent) -> None:
        if len(self.ended) == self.expected:
            self.done.set()


complaints: list[str] = []


@signals.task_failed.connect
def complain(application: str, *, event: TaskEvent, **_: object) -> None:
    complaints.append(f"{application}: {event.task.error}")


with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("picky", Picky)
    outcomes = Outcomes(expected=3)
    with Reactor(connection=connection) as reactor:
        reactor.register(outcomes, application="picky").wait_synced(timeout=10)
        with connection.create_session("picky", max_instances=1) as session:
            for dish in (b"pasta", b"spinach", b"cake"):
                session.run(dish)
            outcomes.done.wait(timeout=30)

for task_id, outcome in sorted(outcomes.ended.items()):
    print(task_id, outcome)
print(complaints)
