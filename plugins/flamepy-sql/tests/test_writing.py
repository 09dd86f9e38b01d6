"""What batches leave in a database: SQLite, and the servers that are installed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any

import pytest
from flamepy_sql import SqlSink
from flamepy_sql.rows import event_id, task_rows
from flamepy_sql.tables import make_tables
from made import FAILED, PENDING, RUNNING, SUCCEED, at, history, overdue, session, task
from sqlalchemy import Connection, Engine, select, text

from flamepy.informers import OutboxEntry, Outcome, PermanentError, SessionEventKind
from flamepy.types import TaskCounts

Opened = Callable[..., SqlSink]
TABLES = make_tables("both", "flame_", None)


@pytest.fixture
def opened(url: str) -> Iterator[Opened]:
    """Make sinks of the database, open until the test ends."""
    made: list[SqlSink] = []

    def make(kind: type[SqlSink] = SqlSink, **options: Any) -> SqlSink:
        sink = kind(url=url, **{"store": "both", **options})
        sink.open()
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()


def rows(engine: Engine, name: str) -> list[dict[str, object]]:
    table = getattr(TABLES, name)
    with engine.connect() as connection:
        found = connection.execute(select(table).order_by(table.c.id)).mappings()
        return [dict(row) for row in found]


def all_sent(outcomes: Sequence[Outcome]) -> bool:
    return all(one == Outcome.sent() for one in outcomes)


def test_a_row_reads_back_as_it_was_written(opened: Opened, engine: Engine) -> None:
    assert all_sent(opened().send(history()))
    assert rows(engine, "tasks") == task_rows(history())


def test_any_order_of_batches_ends_in_the_same_row(opened: Opened, engine: Engine) -> None:
    sink = opened(store="latest")
    orders = list(permutations(range(5)))
    every = [[task(PENDING, 1, id=str(one)), *_rest(str(one))] for one in range(len(orders))]
    for place in range(5):  # a task for each order, all of them in one batch
        sink.send([every[one][order[place]] for one, order in enumerate(orders)])
    seen = {
        (row["state"], row["error"], row["application"], row["version"])
        for row in rows(engine, "tasks")
    }
    assert len(seen) == 1
    assert seen.pop()[:3] == ("failed", "disk full", "render")


def _rest(id: str) -> list[OutboxEntry]:
    return [
        task(RUNNING, 2, old=PENDING, id=id, application=""),
        task(PENDING, 3, old=RUNNING, id=id),
        task(RUNNING, 4, old=PENDING, id=id, application=""),
        task(FAILED, 5, old=RUNNING, id=id, error="disk full", application=""),
    ]


def test_what_is_sent_again_changes_nothing(opened: Opened, engine: Engine) -> None:
    batch = [
        *history(),
        overdue(7),
        session(SessionEventKind.OPENED, 1),
        session(SessionEventKind.CLOSED, 8, closed=True, counts=TaskCounts(failed=1)),
    ]
    sink = opened()
    for part in (batch, batch, batch[3:], batch[:4], [*batch, *batch]):
        assert all_sent(sink.send(part))
    assert sorted(str(row["id"]) for row in rows(engine, "events")) == sorted(map(event_id, batch))
    assert rows(engine, "tasks") == task_rows(history())
    (closed,) = rows(engine, "sessions")
    assert (closed["state"], closed["failed"], closed["completed_at"]) == ("closed", 1, at(8))


def test_names_that_differ_by_case_are_two(opened: Opened, engine: Engine) -> None:
    opened().send([task(PENDING, 1, session="a"), task(PENDING, 1, session="A")])
    assert [row["session_id"] for row in rows(engine, "tasks")] == ["A", "a"]


def test_texts_of_any_language_come_back(opened: Opened, engine: Engine) -> None:
    said = "Données perdues: 数据 🔥 \0 \x1b[31m 'quoted' %s :name"
    opened().send([task(FAILED, 1, session="sé 🔥", error=said)])
    (row,) = rows(engine, "tasks")
    assert (row["error"], row["session_id"]) == (said.replace("\0", "\ufffd"), "sé 🔥")


def test_a_large_batch_is_one_transaction(opened: Opened, engine: Engine) -> None:
    batch = [task(SUCCEED, 1, id=str(number)) for number in range(1_200)]
    sink = opened()
    assert all_sent(sink.send(batch))
    assert all_sent(sink.send(batch))
    assert len(rows(engine, "events")) == len(rows(engine, "tasks")) == 1_200


def test_only_the_chosen_tables_are_made(opened: Opened, engine: Engine) -> None:
    opened(store="events", prefix="a_").send(history())
    opened(store="latest", prefix="b_").send(history())
    with engine.connect() as connection:
        names = {one for one in engine.dialect.get_table_names(connection)}
    assert {one for one in names if one[:2] in ("a_", "b_")} == {
        "a_events",
        "b_tasks",
        "b_sessions",
    }


# ---------------------------------------------------------------------- work in the transaction


class Billing(SqlSink):
    """Charges for each end; ``refuse`` names a task whose charge is refused."""

    refuse: str | None = None

    def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            if entry.event.task.id == self.refuse:  # type: ignore[union-attr]  # tasks alone
                raise PermanentError("no account")
            connection.execute(text("UPDATE owed SET amount = amount + 1"))


@pytest.fixture
def owed(engine: Engine) -> Callable[[], int]:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE owed (amount INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO owed VALUES (0)"))

    def read() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT amount FROM owed")).scalar_one())

    return read


def ends(count: int) -> list[OutboxEntry]:
    return [task(SUCCEED, 1, id=str(number)) for number in range(count)]


def test_work_is_done_once_for_each_event(opened: Opened, owed: Callable[[], int]) -> None:
    sink = opened(Billing)
    for part in (ends(10)[:6], ends(10), ends(10)[3:]):
        assert all_sent(sink.send(part))
    assert owed() == 10


def test_work_that_fails_takes_the_rows_back(
    opened: Opened, engine: Engine, owed: Callable[[], int]
) -> None:
    class Broken(Billing):
        broken = True

        def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
            super().write(connection, entries)
            if self.broken:
                raise RuntimeError("a mistake of the author's")

    sink = opened(Broken)
    with pytest.raises(RuntimeError, match="author"):
        sink.send(ends(3))
    assert (owed(), rows(engine, "events"), rows(engine, "tasks")) == (0, [], [])
    Broken.broken = False
    assert all_sent(sink.send(ends(3)))
    assert owed() == 3


def test_a_refused_entry_is_refused_alone(
    opened: Opened, engine: Engine, owed: Callable[[], int]
) -> None:
    sink = opened(Billing)
    Billing.refuse = "4"
    try:
        outcomes = sink.send(ends(10))
    finally:
        Billing.refuse = None
    assert [one.kind.value for one in outcomes] == ["sent"] * 4 + ["refused"] + ["sent"] * 5
    assert "no account" in outcomes[4].text
    assert owed() == 9
    assert "4" not in {row["task_id"] for row in rows(engine, "events")}


def test_two_processes_with_one_table_do_the_work_once(
    opened: Opened, engine: Engine, owed: Callable[[], int]
) -> None:
    sinks = [opened(Billing) for _ in range(2)]
    batches = [ends(200)[at : at + 20] for at in range(0, 200, 20)]
    barrier = threading.Barrier(2)

    def send(sink: SqlSink) -> None:
        for batch in batches:
            barrier.wait(timeout=60)
            left = batch
            while left:
                outcomes = sink.send(left)
                left = [one for one, made in zip(left, outcomes, strict=True) if made.error]

    threads = [threading.Thread(target=send, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert owed() == len(rows(engine, "events")) == 200


def test_work_needs_the_table_of_events(url: str) -> None:
    with pytest.raises(ValueError, match=r'Billing.write .* store="events"'):
        Billing(url=url)
