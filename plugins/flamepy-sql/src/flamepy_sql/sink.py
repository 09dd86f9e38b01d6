"""The plugin's sink: from the outbox into the tables."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from flamepy.errors import ConfigError, FlameError, InvalidArgumentError, InvalidStateError
from flamepy.informers import (
    OutboxEntry,
    OutboxOptions,
    Outcome,
    PermanentError,
    Secret,
    SessionEvent,
    SessionProgress,
    Sink,
    TaskEvent,
)
from flamepy_sql.faults import Fault, fault_of
from flamepy_sql.tables import STORES, make_tables
from flamepy_sql.target import Target
from flamepy_sql.writer import Writer

_log = logging.getLogger(__name__)
# Of a database's names of 63 characters the longest ending, "sessions_session", takes 16.
_NAME = re.compile(r"[A-Za-z0-9_]{0,40}", re.ASCII)


class SqlSink(Sink):
    """Writes tasks and sessions, or every event, into a database: each exactly once.

    Each batch is one transaction. A batch that is sent again, because the answer to its commit was
    lost or this process was killed, changes nothing: events have primary keys, and a row of a task
    or a session has a version below which nothing replaces it.

    A subclass that overrides ``write`` does work of its own in the same transaction.

    Args:
        url: the database, as a URL of SQLAlchemy's form: ``sqlite:////path``, ``postgresql://...``,
            ``mysql://...`` or ``mariadb://...``.
        password: its password, where it is not in the URL.
        store: ``"latest"``: a row for each task and each session; ``"events"``: a row for each
            event; ``"both"``.
        prefix: what the names of the tables begin with.
        schema: the schema that has them; None for the connection's own.
        create: create tables that do not exist.
        progress: also write the counters of a session each time that they move.
        timeout: seconds for connecting, and for a statement.
        durable, outbox: as of ``Sink``.

    Raises:
        ConfigError: the URL is unusable; the message does not show it.
        InvalidArgumentError: another option breaks its rule.
        MissingExtraError: the driver of the database is not installed.
    """

    whole_batches = True

    def __init__(
        self,
        *,
        url: str | Secret,
        password: str | Secret | None = None,
        store: str = "latest",
        prefix: str = "flame_",
        schema: str | None = None,
        create: bool = True,
        progress: bool = False,
        timeout: float = 30.0,
        durable: bool = True,
        outbox: OutboxOptions | Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(durable=durable, outbox=outbox)
        if store not in STORES:
            raise InvalidArgumentError(
                f"store must be one of {', '.join(STORES)}, got {str(store)[:40]!r}"
            )
        _check_name("prefix", prefix)
        _check_name("schema", schema)
        _check_flag("create", create)
        _check_flag("progress", progress)
        overridden = type(self).write is not SqlSink.write
        if overridden and store == "latest":
            raise InvalidArgumentError(
                f"{type(self).__name__}.write gets each event once by the table of events: give"
                ' store="events" or store="both"'
            )
        self._hook = self.write if overridden else None
        self._target = Target(_revealed(url) or "", password=_revealed(password), timeout=timeout)
        self._tables = make_tables(store, prefix, schema)
        self._create = create
        self._progress = progress
        self._writer: Writer | None = None

    # What ``Sink`` leaves out: what else changes a session's row.

    def on_drained(self, event: SessionEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_event(self, event: SessionEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_progress(self, counts: SessionProgress) -> None:
        """Put the event into the outbox, if ``progress`` asks for it."""
        if self._progress and counts.event is not None:
            self.put(counts.event)

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        """Put a session's event into the outbox; a task's comes to ``on_transition`` as well."""
        if isinstance(event, SessionEvent):
            self.put(event)

    def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        """Write rows of your own; override it.

        It is called on a thread of the outbox, in the transaction that inserts the events, with
        those that are new: what it writes through ``connection`` is committed with them or not at
        all, so it happens once for each event. It may be called again with the same entries after
        a rollback: do nothing in it that a rollback does not undo.

        Raising ``PermanentError``, or an error of the database that concerns a row, refuses the
        entry that causes it, which becomes a dead letter; the others of the batch are written.
        After any other error the outbox tries again.

        Args:
            connection: SQLAlchemy's, within the transaction. Do not commit.
            entries: in their order.
        """

    def open(self) -> None:
        """Prepare the connections, and create or check the tables if the database answers."""
        writer = self._writer = Writer(
            self._target, self._tables, create=self._create, hook=self._hook
        )
        try:
            writer.prepare()
        except (FlameError, SQLAlchemyError, OSError) as error:
            # Events wait in the outbox; each attempt to send them checks again.
            _log.warning("%s; events wait in the outbox", self._text_of(error))

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        """Write a batch in one transaction.

        A row that the database refuses is found by halves, and is refused alone.
        """
        if self._writer is None:
            raise InvalidStateError("flamepy-sql: send is called between open and close only")
        return self._send(self._writer, batch)

    def close(self) -> None:
        """Close the connections."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _send(self, writer: Writer, batch: Sequence[OutboxEntry]) -> list[Outcome]:
        try:
            writer.write(batch)
        except (PermanentError, SQLAlchemyError, ConfigError, OSError) as error:
            row = isinstance(error, IntegrityError) or fault_of(error) is Fault.ROW
            if row and len(batch) > 1:
                return self._send_halves(writer, batch)
            # A text, as an exception's traceback would show the statement.
            text = self._text_of(error)
            return [Outcome.refused(text) if row else Outcome.retry(text)] * len(batch)
        return [Outcome.sent()] * len(batch)

    def _send_halves(self, writer: Writer, batch: Sequence[OutboxEntry]) -> list[Outcome]:
        half = len(batch) // 2
        first = self._send(writer, batch[:half])
        waiting = [one for one in first if one.kind == "retry"]
        if waiting:  # what follows must not overtake it
            return first + [waiting[0]] * (len(batch) - half)
        return first + self._send(writer, batch[half:])

    def _text_of(self, error: Exception) -> str:
        if isinstance(error, FlameError):
            return error.message
        return f"flamepy-sql: {self._target.label}: {self._target.text_of(error)}"


def _revealed(value: str | Secret | None) -> str | None:
    return value.reveal() if isinstance(value, Secret) else value


def _check_flag(option: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{option} must be true or false, got {str(value)[:40]!r}")


def _check_name(option: str, value: object) -> None:
    if value is None and option == "schema":
        return
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise InvalidArgumentError(
            f"{option} must have ASCII letters, digits and _ alone, 40 at most, got"
            f" {str(value)[:60]!r}"
        )
