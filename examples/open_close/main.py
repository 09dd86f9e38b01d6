"""Open a session by a name of your own, find it again, close it, and see what it refuses then."""

from flamepy.core import FlameError, FlameService, SessionAttributes, TaskContext, connect
from flamepy.errors import SessionClosedError, SessionNotFoundError
from flamepy.local import LocalCluster


class Echo(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return context.input


with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("echo", Echo)
    name = "echo-nightly"

    try:
        connection.open_session(name)
    except SessionNotFoundError as error:
        print("not there:", error.message)

    # With a spec the session is created if it is absent.
    spec = SessionAttributes("echo", max_instances=1)
    session = connection.open_session(name, spec)
    print(session.id, session.application, session.state.name)

    # Another program, or this one after a restart, finds the same session.
    again = connection.open_session(name, spec)
    print(again.invoke(b"still here"))

    try:
        connection.open_session(name, SessionAttributes("echo", max_instances=2))
    except FlameError as error:
        print("refused:", error.message)

    closed = connection.close_session(name)
    print(closed.id, closed.state.name)
    try:
        connection.open_session(name)
    except SessionClosedError as error:
        print("closed for ever:", error.message)
