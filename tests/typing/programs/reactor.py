"""Reactors: registrations, predicates, signals as decorators, reading and waiting."""

from typing_extensions import assert_type

from flamepy.core import Task, TaskInformer, TaskState, connect, create_session
from flamepy.informers import (
    EventKind,
    Reactor,
    ReactorState,
    Registration,
    SessionEvent,
    TaskEvent,
    predicates,
    signals,
)
from flamepy.types import RetryPolicy, SessionInfo, SessionState

failures: dict[str, int] = {}


@signals.task_failed.connect
def count(application: str, *, event: TaskEvent, **_: object) -> None:
    failures[application] = failures.get(application, 0) + 1


@signals.session_drained.connect
async def drained(application: str, *, event: SessionEvent, **_: object) -> None:
    print(application, event.session.id)


def connected() -> None:
    count("a", event=event_of(Task("1", "s", TaskState.PENDING, session().creation_time)))
    signals.task_updated.connect(count, sender="echo")
    signals.task_failed.disconnect(count)


def event_of(task: Task) -> TaskEvent:
    return TaskEvent(kind=EventKind.ADDED, task=task)


def session() -> SessionInfo:
    raise LookupError


def slow(event: TaskEvent) -> bool:
    return event.lag > 1


def redacted(event: TaskEvent) -> TaskEvent | None:
    return event if event.application else None


with connect("http://127.0.0.1:8080") as conn, Reactor(connection=conn) as reactor:
    assert_type(reactor.state, ReactorState)
    handle = reactor.register(
        TaskInformer(),
        application="echo",
        where=(predicates.live | slow) & ~predicates.state_in(TaskState.RUNNING),
        transform=redacted,
        retry=RetryPolicy(attempts=3),
        timeout=None,
    )
    assert_type(handle, Registration)
    reactor.register(TaskInformer(), where=slow)
    reactor.register(TaskInformer(), where=lambda event: event.task.id == "1")
    reactor.register(TaskInformer(), where=predicates.state_in(SessionState.OPEN))
    handle.wait_synced(timeout=1)
    handle.remove()
    with create_session("echo") as opened:
        future = opened.run(b"x")
        assert_type(reactor.future(future).result(), Task)
        done, waiting = reactor.wait([future, ("s", "1")], timeout=1)
        print([one.result().state for one in done | waiting])
        for end in reactor.as_completed([future]):
            assert_type(end.result(), Task)
        with reactor.stream(session=opened.id) as events:
            for event in events:
                print(event.key)
    assert_type(reactor.tasks.get("s", "1"), Task | None)
    for info in reactor.sessions.list():
        assert_type(info, SessionInfo)
    print(reactor.health().ready)
    reactor.run_forever()


shorthand = Reactor()


@shorthand.on.failed(application="echo", uid="alert", timeout=3)
@shorthand.on.cancelled
async def alert(event: TaskEvent) -> None:
    print(event.key)


async def call_it(event: TaskEvent) -> None:
    await alert(event)
