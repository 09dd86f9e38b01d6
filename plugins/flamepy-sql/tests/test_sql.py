"""The plugin in a real reactor with an embedded cluster, enabled by its name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flamepy_sql import SqlSink
from sqlalchemy import Engine, text

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import FlameError, TaskFailedError
from flamepy.informers import Reactor, SessionEvent, SessionInformer, SessionProgress
from flamepy.informers.plugins.loading import discover
from flamepy.local import LocalCluster
from flamepy.testing import check_informer


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("disk full")
        return b"canary-output"


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("render", Service)
        yield made


class Seen(SessionInformer):
    """Knows what was observed of a session; what happens later is another observation."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.moved = threading.Event()

    def on_opened(self, event: SessionEvent) -> None:
        self.opened.set()

    def on_progress(self, counts: SessionProgress) -> None:
        self.moved.set()


def work(connection: Connection, session_id: str) -> None:
    with connection.create_session("render", session_id=session_id) as session:
        session.invoke(b"canary-input", timeout=30)
        with pytest.raises(TaskFailedError):
            session.invoke(b"bad", timeout=30)


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


TASKS = "SELECT session_id, task_id, state, application, error FROM flame_tasks ORDER BY 1, 2"
ENDS = [("1", "succeed", "render", None), ("2", "failed", "render", "disk full")]


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "sql"]
    assert (info.distribution, info.problem) == ("flamepy-sql", None)


def test_tasks_and_sessions_are_rows_when_the_reactor_has_stopped(
    connection: Connection, url: str, engine: Engine, tmp_path: Path
) -> None:
    options = {"url": url, "store": "both", "outbox": {"flush_timeout": 60.0}}
    checkpoint = tmp_path / "checkpoint.db"
    with Reactor(connection=connection, checkpoint=checkpoint, plugins={"sql": options}):
        work(connection, "s")
    assert rows(engine, TASKS) == [("s", *one) for one in ENDS]
    sessions = "SELECT session_id, state, succeed, failed FROM flame_sessions"
    assert rows(engine, sessions) == [("s", "closed", 1, 1)]
    took = rows(engine, "SELECT MIN(duration) >= 0, COUNT(completed_at) FROM flame_tasks")
    assert took == [(1, 2)]
    everything = rows(engine, "SELECT * FROM flame_events")
    assert "canary" not in repr(everything), "payloads stay in the process"


def test_what_happened_between_two_processes_is_written_once(
    connection: Connection, url: str, engine: Engine, tmp_path: Path
) -> None:
    options = {"url": url, "store": "both", "outbox": {"flush_timeout": 60.0}}
    checkpoint = tmp_path / "checkpoint.db"
    for name in ("a", "b", "c"):
        with Reactor(
            connection=connection, checkpoint=checkpoint, plugins={"sql": options}
        ) as reactor:
            reactor.wait_synced(timeout=30)
        work(connection, name)
    with Reactor(connection=connection, checkpoint=checkpoint, plugins={"sql": options}):
        pass
    assert rows(engine, TASKS) == [(name, *one) for name in ("a", "b", "c") for one in ENDS]
    ends = (
        "SELECT session_id, task_id, COUNT(*) FROM flame_events"
        " WHERE type = 'task' AND state IN ('succeed', 'failed') GROUP BY session_id, task_id"
    )
    assert {row[2] for row in rows(engine, ends)} == {1}


def test_a_checkpoint_that_was_lost_writes_no_end_twice(
    connection: Connection, url: str, engine: Engine, tmp_path: Path
) -> None:
    options = {"url": url, "store": "both", "outbox": {"flush_timeout": 60.0}}
    work(connection, "s")
    for number in range(2):
        with Reactor(
            connection=connection, checkpoint=tmp_path / f"{number}.db", plugins={"sql": options}
        ) as reactor:
            reactor.wait_synced(timeout=30)
    found = rows(engine, "SELECT COUNT(*) FROM flame_events WHERE type = 'task'")
    assert found == [(2,)]


def test_counters_are_written_as_they_move_if_asked(
    connection: Connection, url: str, engine: Engine, tmp_path: Path
) -> None:
    options = {"url": url, "store": "events", "progress": True, "outbox": {"flush_timeout": 60.0}}
    with Reactor(
        connection=connection, checkpoint=tmp_path / "checkpoint.db", plugins={"sql": options}
    ) as reactor:
        seen = Seen()
        reactor.register(seen, uid="seen")
        reactor.wait_synced(timeout=30)
        with connection.create_session("render", session_id="s") as session:
            assert seen.opened.wait(30)
            session.invoke(b"canary-input", timeout=30)
            assert seen.moved.wait(30)
    kinds = {row[0] for row in rows(engine, "SELECT kind FROM flame_events WHERE type = 'session'")}
    assert {"opened", "progress", "closed"} <= kinds


def test_without_a_checkpoint_it_refuses_to_start(connection: Connection, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flame.db'}"
    with pytest.raises(FlameError, match="checkpoint"), Reactor(connection=connection) as reactor:
        reactor.register(SqlSink(url=url), uid="sql")


def test_it_bears_everything_that_engines_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flame.db'}"
    report = check_informer(
        lambda: SqlSink(url=url, durable=False, outbox={"flush_timeout": 60.0}), strict=False
    )
    # A sink that had nothing to send was not opened, so it is not closed.
    found = [str(one) for one in report.findings if "close was called 0 times" not in str(one)]
    assert found == []
