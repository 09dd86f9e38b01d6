"""A program that uses the library: it runs a Reactor, the library does the rest."""

import threading

from milestones import Milestones

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


class Divide(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        return b"%d" % (840 // int(context.input or b"0"))


done = threading.Event()


def report(line: str) -> None:
    print(line)
    if "20 tasks" in line:
        done.set()


milestones = Milestones("divide", every=5, report=report)
milestones.connect()

with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("divide", Divide)
    with Reactor(connection=connection), connection.create_session("divide") as session:
        for number in range(20):
            session.run(b"%d" % (number % 10))
        done.wait(timeout=30)

milestones.disconnect()
print(milestones.succeeded, "succeeded;", "why others failed:", milestones.reasons)
