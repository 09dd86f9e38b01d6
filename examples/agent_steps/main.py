"""An agent's steps as events: its tools run as tasks, and a watcher sees each of them."""

import json
import threading
from collections.abc import Generator

from tools import Tools

from flamepy.core import connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor, SessionEvent, SessionInformer, TaskEvent, TaskInformer
from flamepy.local import LocalCluster


class Steps(TaskInformer, SessionInformer):
    """Shows each step of every agent; it runs anywhere, and no agent knows of it."""

    def __init__(self) -> None:
        self.finished = threading.Event()

    def on_running(self, event: TaskEvent) -> None:
        step = json.loads(event.task.input or b"{}")
        print(f"{event.session_id} step {event.task.id}: {step['tool']} {step['input']}")

    def on_succeeded(self, event: TaskEvent) -> None:
        print(
            f"{event.session_id} step {event.task.id} said: {json.loads(event.task.output or b'')}"
        )

    def on_failed(self, event: TaskEvent) -> None:
        print(f"{event.session_id} step {event.task.id} failed: {event.task.error}")

    def on_closed(self, event: SessionEvent) -> None:
        failed, steps = event.counts.failed, event.counts.failed + event.counts.succeed
        print(f"{event.session_id} ended: {steps} steps, {failed} of them failed")
        self.finished.set()


def model() -> Generator[dict[str, object], bytes, None]:
    """Stands in for a language model: what it does next, given what the last step said."""
    yield {"tool": "search", "input": "tower height"}
    yield {"tool": "divide", "input": [330, 0]}
    yield {"tool": "search", "input": "stairs"}
    yield {"tool": "divide", "input": [330, 3]}


def run_agent(session) -> None:
    """Do what the model says, step by step; a step that fails is an answer as well."""
    steps = model()
    step = next(steps)
    while step is not None:
        try:
            answer = session.invoke(json.dumps(step).encode(), timeout=30)
        except TaskFailedError as error:
            answer = str(error).encode()
        try:
            step = steps.send(answer)
        except StopIteration:
            step = None


if __name__ == "__main__":
    shown = Steps()
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("tools", Tools)
        with Reactor(connection=connection, payloads=True) as reactor:
            watching = reactor.register(shown, application="tools", transitions="complete")
            watching.wait_synced(timeout=10)
            with connection.create_session("tools", session_id="agent-7") as session:
                run_agent(session)
            shown.finished.wait(30)
