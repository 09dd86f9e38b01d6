"""An engine of 0.6 becomes one after it, and again one of 0.6, at one address: no end is lost.

An informer that stays is told each task's end exactly once, whichever engine showed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import eventually

from flamepy import FlameService
from flamepy.core import Connection, connect
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine
from flamepy.types import Dialect, TaskContext

DIALECTS = ("0.6", "next", "0.6")
SESSIONS, TASKS = 4, 120  # tasks of each engine
PATIENCE = 60.0  # seconds

Ends = Counter[tuple[str, str, str]]


class Failing(FlameService):
    """Fails what it is told to fail."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"fail":
            raise ValueError("as asked")
        return context.input or b""


class Counting(TaskInformer):
    """Counts ends."""

    def __init__(self) -> None:
        self.ends: Ends = Counter()

    def on_terminal(self, event: TaskEvent) -> None:
        self.ends[event.task.session_id, event.task.id, event.task.state.name] += 1


@contextmanager
def counting(connection: Connection) -> Iterator[Counting]:
    informer = Counting()
    with Reactor(connection=connection) as reactor:
        reactor.register(informer)
        yield informer


def spoken(connection: Connection) -> Dialect:
    connection.list_sessions()
    return connection.dialect


def submit(connection: Connection) -> Ends:
    """Create tasks of which a tenth fails; return how each must end."""
    sessions = [connection.get_session(f"s{number}") for number in range(SESSIONS)]
    wanted: Ends = Counter()
    for number in range(TASKS):
        fails = number % 10 == 0
        task = sessions[number % SESSIONS].create_task(b"fail" if fails else b"x")
        wanted[task.session_id, task.id, "FAILED" if fails else "SUCCEED"] += 1
    return wanted


def test_a_cluster_is_upgraded_on_its_data_folder(tmp_path: Path) -> None:
    def cluster(dialect: str, port: int) -> LocalCluster:
        made = LocalCluster(port=port, data=tmp_path, executors=2, cache_port=None, dialect=dialect)
        made.register_service("count", Failing)
        return made

    running: LocalCluster | None = cluster(DIALECTS[0], 0).start()
    port = int(running.endpoint.rpartition(":")[2])
    try:
        with (
            connect(running.endpoint, patience=PATIENCE) as connection,
            counting(connection) as informer,
        ):
            for number in range(SESSIONS):
                connection.create_session("count", session_id=f"s{number}")
            wanted: Ends = Counter()
            for dialect in DIALECTS:
                if running is None:
                    running = cluster(dialect, port).start()
                assert spoken(connection) == dialect
                wanted += submit(connection)
                if len(wanted) < TASKS * len(DIALECTS):
                    running.stop()  # while tasks wait and run
                    running = None
            eventually(lambda: informer.ends.total() >= wanted.total(), "every end", limit=120.0)
        assert informer.ends == wanted
    finally:
        if running is not None:
            running.stop()


def test_an_engine_is_replaced_while_tasks_run() -> None:
    with (
        FakeEngine() as engine,
        connect(engine.endpoint, patience=PATIENCE) as connection,
        counting(connection) as informer,
    ):
        for number in range(SESSIONS):
            engine.add_session(f"s{number}")
        wanted: Ends = Counter()
        left: list[tuple[str, str, str]] = []
        for dialect in DIALECTS:
            engine.restart(dialect=dialect)
            assert spoken(connection) == dialect
            for one in left:  # they ran in the last engine, which showed no end
                end(engine, one)
            made = submit(connection)
            wanted += made
            first, left = sorted(made)[: TASKS // 2], sorted(made)[TASKS // 2 :]
            for session_id, task_id, _ in left:
                engine.start(session_id, task_id)
            for one in first:
                end(engine, one)
        for one in left:
            end(engine, one)
        eventually(lambda: informer.ends.total() >= wanted.total(), "every end", limit=120.0)
    assert informer.ends == wanted


def end(engine: FakeEngine, wanted: tuple[str, str, str]) -> None:
    session_id, task_id, state = wanted
    engine.start(session_id, task_id)
    if state == "FAILED":
        engine.fail(session_id, task_id, "as asked")
    else:
        engine.succeed(session_id, task_id, b"x")
