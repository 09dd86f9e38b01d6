"""Tables are created, or checked: an error names what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flamepy_sql import SqlSink
from flamepy_sql.__main__ import main
from flamepy_sql.schema import prepare
from flamepy_sql.tables import make_tables
from made import history
from sql_servers import Server
from sqlalchemy import Engine, create_engine, inspect, text

from flamepy.errors import ConfigError
from flamepy.informers import Outcome

TABLES = make_tables("both", "flame_", None)


@pytest.fixture
def check(engine: Engine) -> Callable[[], None]:
    def run() -> None:
        with engine.begin() as connection:
            prepare(connection, TABLES, create=False, label="the database")

    return run


@pytest.fixture
def created(engine: Engine) -> None:
    with engine.begin() as connection:
        prepare(connection, TABLES, create=True, label="the database")


def alter(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_what_was_created_passes_the_check(created: None, check: Callable[[], None]) -> None:
    check()


def test_a_missing_table_is_named(check: Callable[[], None]) -> None:
    with pytest.raises(ConfigError, match="has no table flame_tasks, flame_sessions, flame_ev"):
        check()


def test_the_printed_statements_make_the_same_tables(
    engine: Engine, check: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([engine.dialect.name, "--store", "both"]) == 0
    alter(engine, *filter(None, map(str.strip, capsys.readouterr().out.split(";"))))
    check()
    with engine.connect() as connection:
        found = {one["name"] for one in inspect(connection).get_indexes("flame_tasks")}
    assert {"flame_tasks_session", "flame_tasks_completed"} <= found


def test_a_column_that_is_missing_is_named(
    created: None, engine: Engine, check: Callable[[], None]
) -> None:
    alter(engine, "ALTER TABLE flame_tasks DROP COLUMN error")
    with pytest.raises(ConfigError) as caught:
        check()
    assert "the table flame_tasks of the database" in str(caught.value)
    assert "column error (TEXT) is missing" in str(caught.value)


def test_every_column_that_differs_is_named(engine: Engine, check: Callable[[], None]) -> None:
    alter(
        engine,
        "CREATE TABLE flame_tasks (id VARCHAR(20) NOT NULL, endpoint VARCHAR(255), "
        "application INTEGER, session_id VARCHAR(255), task_id VARCHAR(64), state VARCHAR(32), "
        "created_at VARCHAR(30), duration FLOAT, error TEXT, deleted_at TIMESTAMP NULL, "
        "updated_at TIMESTAMP NULL, version BIGINT, note VARCHAR(20), "
        "number INTEGER NOT NULL DEFAULT 7, owner VARCHAR(20) NOT NULL)",
    )
    with pytest.raises(ConfigError) as caught:
        prepare_first(engine)
    said = str(caught.value)
    for part in (
        "column id is VARCHAR(20), shorter than VARCHAR(512)",
        "column application is INTEGER",
        "column created_at is VARCHAR(30), not ",
        "column completed_at (",
        "column owner is not written, must not be null and has no default",
        "the primary key is (), not (id)",
    ):
        assert part in said
    for own in ("note", "number"):
        assert own not in said, "columns that may be left out are fine"
    zone = "column deleted_at is TIMESTAMP WITHOUT TIME ZONE, without a time zone"
    assert (zone in said) == (engine.dialect.name == "postgresql")


def prepare_first(engine: Engine) -> None:
    with engine.begin() as connection:
        prepare(connection, TABLES, create=True, label="the database")


@pytest.fixture
def sink(url: str) -> Iterator[SqlSink]:
    made = SqlSink(url=url, store="both")
    made.open()
    yield made
    made.close()


def test_a_table_that_was_dropped_is_made_again(sink: SqlSink, engine: Engine) -> None:
    sink.send(history()[:3])
    alter(engine, "DROP TABLE flame_events", "DROP TABLE flame_tasks")
    assert list(sink.send(history()[3:])) == [Outcome.sent()] * 3
    with engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM flame_events")).scalar() == 3


def test_events_wait_for_a_column_that_was_dropped(sink: SqlSink, engine: Engine) -> None:
    sink.send(history()[:3])
    alter(engine, "ALTER TABLE flame_tasks DROP COLUMN error")
    outcomes = sink.send(history()[3:])
    assert {(one.kind.value, one.text) for one in outcomes} == {("retry", outcomes[0].text)}
    assert "flame_tasks" in outcomes[0].text
    assert "column error (TEXT) is missing" in outcomes[0].text
    alter(engine, "ALTER TABLE flame_tasks ADD COLUMN error TEXT")
    assert list(sink.send(history()[3:])) == [Outcome.sent()] * 3


def test_without_create_nothing_is_created(
    url: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    made = SqlSink(url=url, create=False)
    made.open()
    outcomes = made.send(history())
    made.close()
    assert {one.kind.value for one in outcomes} == {"retry"}
    for said in (outcomes[0].text, caplog.text):
        assert "has no table flame_tasks, flame_sessions, and create is false" in said
    with engine.connect() as connection:
        assert not inspect(connection).get_table_names()


def test_a_schema_has_the_tables(postgresql: Server) -> None:
    url = postgresql.database()
    made = SqlSink(url=url, schema="billing")
    made.open()
    (name,) = {one.text for one in made.send(history())}
    assert "billing" in name, "it does not exist yet, so events wait"
    engine = create_engine(url)
    alter(engine, "CREATE SCHEMA billing")
    assert list(made.send(history())) == [Outcome.sent()] * 6
    with engine.connect() as connection:
        count = connection.execute(text("SELECT COUNT(*) FROM billing.flame_tasks")).scalar()
    assert count == 1
    made.close()
    engine.dispose()
