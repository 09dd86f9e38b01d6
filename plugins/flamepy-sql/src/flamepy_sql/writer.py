"""Writes batches into the database: each in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, insert
from sqlalchemy.exc import DBAPIError

from flamepy.informers import OutboxEntry
from flamepy_sql.faults import Fault, fault_of
from flamepy_sql.rows import event_id, event_row, session_rows, task_rows
from flamepy_sql.schema import prepare
from flamepy_sql.statements import stored_ids, upsert
from flamepy_sql.tables import Tables
from flamepy_sql.target import Target

Hook = Callable[[Connection, Sequence[OutboxEntry]], None]

ATTEMPTS = 4  # of a transaction that lost to another one, before the outbox's back-off
IDS_PER_QUERY = 500  # below the limit of variables of an old SQLite


class Writer:
    """One sink's connections and transactions. Senders may use it from several threads at once.

    Args:
        target: the database.
        tables: the tables.
        create: whether tables may be created.
        hook: called in the transaction with the entries that were not in the events yet.
    """

    def __init__(self, target: Target, tables: Tables, *, create: bool, hook: Hook | None) -> None:
        self._target = target
        self._tables = tables
        self._create = create
        self._hook = hook
        self._prepared = False
        self._engine = create_engine(
            target.url,
            connect_args=target.arguments,
            hide_parameters=True,  # errors and debug logs show no values
            max_overflow=-1,  # a sender each has one
        )
        latest = [
            (upsert(table, target.dialect), rows)
            for table, rows in ((tables.tasks, task_rows), (tables.sessions, session_rows))
            if table is not None
        ]
        self._latest = latest

    def prepare(self) -> None:
        """Create or check the tables, if that has not been done.

        Raises:
            ConfigError: a table is missing or has other columns.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be asked.
        """
        if not self._prepared:
            with self._begun() as connection:
                prepare(connection, self._tables, create=self._create, label=self._target.label)
            self._prepared = True

    def write(self, entries: Sequence[OutboxEntry]) -> None:
        """Write a batch in one transaction; a transaction that loses to another one is repeated.

        After an error nothing of the batch is written.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.prepare()
                with self._begun() as connection:
                    self._write(connection, entries)
                return
            except DBAPIError as error:
                # The table may be gone or altered, the server another one.
                self._prepared = False
                if attempt == ATTEMPTS or fault_of(error) is not Fault.NOW:
                    raise

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        """Run a block in a transaction, which an exception rolls back."""
        with self._engine.begin() as connection:
            if self._target.begin is not None:
                connection.exec_driver_sql(self._target.begin)
            yield connection

    def _write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        for statement, rows_of in self._latest:
            rows = rows_of(entries)
            if rows:
                connection.execute(statement, rows)
        if self._tables.events is not None:
            new = self._new(connection, entries)
            if new:
                connection.execute(insert(self._tables.events), [event_row(one) for one in new])
                if self._hook is not None:
                    self._hook(connection, new)

    def _new(self, connection: Connection, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Return the entries without a row, each once, in their order.

        Another process may insert the same one before this transaction ends. Then the insert
        violates the primary key, all of it is rolled back, and the next attempt finds the row.
        """
        assert self._tables.events is not None
        given: dict[str, OutboxEntry] = {}
        for entry in entries:
            given.setdefault(event_id(entry), entry)
        query = stored_ids(self._tables.events)
        for ids in _chunks(list(given)):
            for found in connection.execute(query, {"ids": ids}).scalars():
                given.pop(found, None)
        return list(given.values())


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[at : at + IDS_PER_QUERY] for at in range(0, len(ids), IDS_PER_QUERY))
