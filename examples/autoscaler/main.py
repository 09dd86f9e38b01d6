"""Machines as the work needs them: a reconciler sets their number by an application's tasks."""

from scaler import Autoscaler, Fleet

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster

TASKS = 12


fleet = Fleet()


class Render(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        fleet.started.set()
        fleet.grown.wait(30)
        return b"a frame"


if __name__ == "__main__":
    scaler = Autoscaler(fleet, tasks_per_machine=4, most=10, cooldown=0.5)
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("render", Render)
        with connection.create_session("render") as session:
            handles = [session.run(b"") for _ in range(TASKS)]
            fleet.started.wait(30)  # a task on its way to an executor is in no counter
            with Reactor(connection=connection) as reactor:
                reactor.register(scaler, application="render")
                for handle in handles:
                    handle.result(timeout=30)
                fleet.gone.wait(30)
