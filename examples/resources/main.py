"""Say what one executor of a session needs, and see who runs where."""

from flamepy.core import FlameService, ResourceRequirement, TaskContext, connect
from flamepy.local import LocalCluster


class Echo(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return context.input


needs = ResourceRequirement.from_string("cpu=1,mem=512m")
print(needs)

for text in ("cpu=lots", "mem=1g,disk=2g"):
    try:
        ResourceRequirement.from_string(text)
    except ValueError as error:
        print("refused:", error)

with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("echo", Echo)
    with connection.create_session("echo", resreq=needs, max_instances=1) as session:
        session.invoke(b"x")
        (executor,) = connection.list_executors()
        print(executor.state.name, executor.resreq, executor.session_id == session.id)
    (node,) = connection.list_nodes()
    print("one node, ready:", node.state.name == "READY")
