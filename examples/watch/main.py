"""Watch one task from its creation to its end, then read all tasks of the session."""

import threading

from flamepy.core import FlameService, TaskContext, TaskState, connect
from flamepy.local import LocalCluster


class Slow(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        threading.Event().wait(0.5)
        return b"done with " + (context.input or b"")


with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("slow", Slow)
    with connection.create_session("slow") as session:
        task = session.create_task(b"payload")
        # The present state first, then each change; timeout= holds on a silent stream as well.
        for update in session.watch_task(task.id, timeout=30):
            print(update.id, update.state.name)
        print(session.get_task(task.id).output)

        session.invoke(b"more")
        ended = [one for one in session.list_tasks() if one.state == TaskState.SUCCEED]
        print(len(ended), "tasks succeeded")
