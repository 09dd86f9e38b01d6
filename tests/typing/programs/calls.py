"""The guide's calls, with what they return."""

from collections.abc import Generator, Iterator
from typing import Any

from typing_extensions import assert_type

from flamepy.core import (
    ApplicationAttributes,
    Connection,
    FlameError,
    FlameService,
    ObjectRef,
    ResourceRequirement,
    Session,
    SessionAttributes,
    SessionContext,
    Task,
    TaskContext,
    TaskFuture,
    TaskState,
    connect,
    create_session,
    get_application,
    get_object,
    get_objects,
    list_sessions,
    open_session,
    put_object,
    put_objects,
    register_application,
    run,
)
from flamepy.errors import SessionBusyError, TaskFailedError
from flamepy.types import Application, RetryPolicy


class Upper(FlameService):
    def on_session_enter(self, context: SessionContext) -> None:
        print(context.session_id, context.common_data())

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return context.input.upper() if context.input is not None else None

    def on_session_leave(self) -> None:
        print("left")


class Never(FlameService):
    """A narrower result than the base's."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        return b""


def sessions(connection: Connection) -> None:
    attributes = SessionAttributes(
        "echo", id="s", resreq=ResourceRequirement.from_string("cpu=1,mem=1g")
    )
    with connection.create_session(attributes) as session:
        assert_type(session, Session)
        assert_type(session.invoke(b"x"), bytes | None)
        assert_type(session.run(b"x"), TaskFuture)
        assert_type(session.run(b"x").result(timeout=1), bytes | None)
        assert_type(session.map([b"x"]), Generator[bytes | None, None, None])
        mixed = session.map([b"x"], return_exceptions=True)
        assert_type(mixed, Generator[bytes | FlameError | None, None, None])
        assert_type(session.run_many(b"%d" % one for one in range(3)), list[TaskFuture])
        assert_type(session.get_task("1").state, TaskState)
        for task in session.list_tasks():
            assert_type(task, Task)
        for update in session.watch_task("1"):
            assert_type(update, Task)
    try:
        session.close(wait=3)
    except SessionBusyError as error:
        assert_type(error.retryable, bool)
    except TaskFailedError as error:
        print(error.task)


def functions() -> None:
    register_application(
        "echo",
        ApplicationAttributes(command="/bin/echo", arguments=("a",), environments={"A": "b"}),
    )
    assert_type(get_application("echo"), Application | None)
    assert_type(create_session("echo", b"data", resreq=None), Session)
    assert_type(open_session("s", spec=SessionAttributes("echo")), Session)
    sizes = [one.id for one in list_sessions()]
    print(sizes)
    with connect("http://127.0.0.1:8080", retry=RetryPolicy(attempts=2)) as connection:
        sessions(connection)
    ref = put_object("a/b", {"any": "object"})
    assert_type(ref, ObjectRef)
    ref.version = 0
    assert_type(put_objects("a/b", (one for one in "ab"), parallel=2), list[ObjectRef])
    assert_type(get_objects([ref], progress=lambda done, total: None), list[Any])
    total: int = get_object(ref, lambda base, deltas: base + sum(deltas))
    print(total, ObjectRef.decode(ref.encode()) == ref)


def consume(outputs: Generator[bytes | FlameError | None, None, None]) -> Iterator[bytes]:
    for one in outputs:
        if isinstance(one, bytes):
            yield one


if __name__ == "__main__":
    functions()
    run(Upper())
