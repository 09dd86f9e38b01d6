"""Servers that are away, restart, deadlock or are full; and passwords, which nothing shows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flamepy_sql import SqlSink
from flamepy_sql.target import Target
from made import PENDING, RUNNING, SUCCEED, history, task
from sql_servers import PASSWORD, Server, missing, server_of, started
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url

from flamepy.errors import ConfigError, InvalidArgumentError, MissingExtraError
from flamepy.informers import OutboxEntry, Outcome, Secret

SENT = Outcome.sent()


def kinds(outcomes: Sequence[Outcome]) -> set[str]:
    return {one.kind.value for one in outcomes}


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, which it may kill."""
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    made = started(request.param)
    yield made
    made.close()


@pytest.fixture(params=["postgresql", "mariadb"])
def shared(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """A server that other tests use as well."""
    return server_of(request.param, servers)


def count(url: str, table: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(found)


def test_a_server_that_restarts_gets_everything_once(server: Server) -> None:
    url = server.database()
    sink = SqlSink(url=url, store="both")
    sink.open()
    assert kinds(sink.send(history()[:2])) == {"sent"}
    server.end(server.orderly)
    server.start()
    assert kinds(sink.send(history()[:4])) == {"sent"}, "a lost connection is made again at once"
    server.end()
    assert kinds(sink.send(history())) == {"retry"}
    server.start()
    assert kinds(sink.send(history())) == {"sent"}
    sink.close()
    assert count(url, "flame_events") == len(history())


def test_a_server_that_is_away_at_the_start_is_waited_for(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.database()
    server.end()
    sink = SqlSink(url=url)
    sink.open()
    assert "events wait in the outbox" in caplog.text
    outcomes = sink.send(history())
    assert kinds(outcomes) == {"retry"}
    server.start()
    assert kinds(sink.send(history())) == {"sent"}
    sink.close()
    for said in (caplog.text, outcomes[0].text, repr(outcomes)):
        assert "canary" not in said


class Locking(SqlSink):
    """Updates two rows in an order of its own, and meets the other one in between."""

    order: tuple[int, int]
    barrier: threading.Barrier
    calls = 0

    def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        self.calls += 1
        for number in self.order:
            connection.execute(text(f"UPDATE owed SET amount = amount + 1 WHERE id = {number}"))
            if number == self.order[0] and self.calls == 1:
                self.barrier.wait(timeout=60)


def test_a_deadlock_is_tried_again_at_once(shared: Server) -> None:
    url = shared.database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE owed (id INTEGER PRIMARY KEY, amount INTEGER)"))
        connection.execute(text("INSERT INTO owed VALUES (1, 0), (2, 0)"))
    barrier = threading.Barrier(2)
    sinks = [Locking(url=url, store="events") for _ in range(2)]
    found: list[Sequence[Outcome]] = []

    def send(sink: Locking, order: tuple[int, int]) -> None:
        sink.order, sink.barrier = order, barrier
        sink.open()
        found.append(sink.send([task(SUCCEED, 1, id=str(order[0]))]))
        sink.close()

    threads = [
        threading.Thread(target=send, args=(sink, order))
        for sink, order in zip(sinks, [(1, 2), (2, 1)], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    with engine.connect() as connection:
        amounts = list(connection.execute(text("SELECT amount FROM owed")).scalars())
    engine.dispose()
    assert found == [[SENT], [SENT]]
    assert amounts == [2, 2]
    assert sorted(one.calls for one in sinks) == [1, 2], "one of them lost, and was repeated"


class Full(SqlSink):
    """Limits the database to the pages that it has, which is SQLite's word for a full disk."""

    pages = 0

    def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        connection.execute(text(f"PRAGMA max_page_count = {self.pages}"))
        for _ in range(100 if self.pages == 1 else 0):
            connection.execute(text("INSERT INTO other VALUES (:text)"), {"text": "x" * 4000})


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flame.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE other (text TEXT)"))
    sink = Full(url=url, store="both")
    sink.open()
    Full.pages = 1  # fewer than there are counts as those that there are
    outcomes = sink.send(history())
    assert kinds(outcomes) == {"retry"}
    assert "full" in outcomes[0].text
    with engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM flame_tasks")).scalar() == 0
    Full.pages = 100_000
    sink.close()
    sink.open()
    assert kinds(sink.send(history())) == {"sent"}
    sink.close()
    engine.dispose()


def test_a_row_that_does_not_fit_is_refused_alone(shared: Server) -> None:
    url = shared.database()
    sink = SqlSink(url=url)
    sink.open()
    batch = [task(PENDING, 1, id=str(number)) for number in range(5)]
    batch[2] = task(PENDING, 1, session="s" * 400)
    outcomes = sink.send(batch)
    assert [one.kind.value for one in outcomes] == ["sent", "sent", "refused", "sent", "sent"]
    assert outcomes[2].error.__class__ is str, "an exception's traceback would show the statement"
    assert "s" * 100 not in outcomes[2].text
    sink.close()
    assert count(url, "flame_tasks") == 4


def test_a_database_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flame.db'}"
    sink = SqlSink(url=url, timeout=0.1)
    sink.open()
    other = create_engine(url).connect()
    other.execute(text("BEGIN IMMEDIATE"))
    assert kinds(sink.send(history())) == {"retry"}
    other.rollback()
    assert kinds(sink.send(history())) == {"sent"}
    sink.close()
    other.close()
    other.engine.dispose()


# ---------------------------------------------------------------------- passwords


def test_a_wrong_password_is_not_shown(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = make_url(shared.database()).set(password="canary-wrong@x").render_as_string(False)
    sink = SqlSink(url=url)
    sink.open()
    outcomes = sink.send(history())
    sink.close()
    assert kinds(outcomes) == {"retry"}
    for said in (caplog.text, outcomes[0].text, repr(outcomes), repr(sink), repr(vars(sink))):
        assert "canary-wrong" not in said


def test_the_password_may_be_apart_from_the_url(
    shared: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = make_url(shared.database())._replace(password=None).render_as_string()
    sink = SqlSink(url=Secret(url), password=Secret(PASSWORD))
    sink.open()
    assert kinds(sink.send(history())) == {"sent"}
    sink.close()
    for said in (caplog.text, repr(sink), repr(vars(sink))):
        assert "canary" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//flame:canary@db/flame",
        "postgresql://flame:canary@db:port/flame",
        "oracle://flame:canary@db/flame",
        "nosuch+driver://flame:canary@db/flame",
        "canary",
        "",
        "sqlite://",
        "sqlite:///:memory:",
        None,
        7,
    ],
)
def test_an_unusable_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlSink(url=url)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_secrets_in_the_query_are_taken_out_of_texts() -> None:
    target = Target("postgresql+psycopg://u:can%40ry@db/flame?sslpassword=canary2&sslmode=require")
    said = target.text_of(RuntimeError("can@ry or can%40ry or canary2 for sslmode=require\nmore"))
    assert said == "RuntimeError: *** or *** or *** for sslmode=require"
    assert "can" not in repr(target) + target.label


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flamepy_sql.target.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"psycopg .* pip install 'flamepy-sql\[postgr"):
        SqlSink(url="postgresql://db/flame")


@pytest.mark.parametrize(
    "options",
    [
        {"store": "all"},
        {"prefix": "a; DROP"},
        {"prefix": "p" * 41},
        {"schema": 'a"b'},
        {"create": "yes"},
        {"timeout": 0},
        {"timeout": "soon"},
        {"timeout": float("nan")},
        {"timeout": True},
    ],
)
def test_an_option_that_breaks_its_rule_is_named(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(InvalidArgumentError, match=name):
        SqlSink(url="sqlite:////tmp/flame.db", **options)  # type: ignore[arg-type]  # wrong on purpose


def test_options_of_the_url_win() -> None:
    target = Target("postgresql://db/flame?connect_timeout=3", timeout=9)
    assert "connect_timeout" not in target.arguments
    assert target.arguments["tcp_user_timeout"] == 9000


def test_making_one_connects_to_nothing(tmp_path: Path) -> None:
    SqlSink(url=f"sqlite:///{tmp_path / 'flame.db'}")
    assert not list(tmp_path.iterdir())


def test_an_older_event_from_the_dead_letters_changes_nothing(tmp_path: Path) -> None:
    """A dead letter that is retried is written to the outbox anew, so it looks recent."""
    url = f"sqlite:///{tmp_path / 'flame.db'}"
    sink = SqlSink(url=url)
    sink.open()
    sink.send([task(SUCCEED, 5, old=RUNNING)])
    sink.send([task(RUNNING, 900, old=PENDING)])
    sink.close()
    engine: Engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM flame_tasks")).scalar() == "succeed"
    engine.dispose()
