"""The tables that the plugin writes, as SQLAlchemy Core has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

COUNTS = ("pending", "running", "succeed", "failed", "cancelled")
STORES = ("latest", "events", "both")


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC: with a time zone in PostgreSQL, without one elsewhere."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Return the type of a database; MySQL's needs to be asked for microseconds."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is written."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what was read, with the time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one sink; None for one that it does not write.

    Attributes:
        tasks: a row for each task, its latest state.
        sessions: a row for each session, its latest state.
        events: a row for each event.
    """

    metadata: MetaData
    tasks: Table | None
    sessions: Table | None
    events: Table | None

    def __iter__(self) -> Iterator[Table]:
        """Return the tables that are written."""
        return (one for one in (self.tasks, self.sessions, self.events) if one is not None)


def make_tables(store: str, prefix: str, schema: str | None) -> Tables:
    """Return the tables.

    Args:
        store: one of ``STORES``.
        prefix: what the names of tables and indexes begin with.
        schema: the schema that has them; None: the connection's.
    """
    metadata = MetaData(schema=schema)
    latest, events = store != "events", store != "latest"
    return Tables(
        metadata,
        _tasks(metadata, prefix) if latest else None,
        _sessions(metadata, prefix) if latest else None,
        _events(metadata, prefix) if events else None,
    )


def _tasks(metadata: MetaData, prefix: str) -> Table:
    name = f"{prefix}tasks"
    return _table(
        name,
        metadata,
        Column("id", String(512), primary_key=True),
        *_names(),
        Column("task_id", String(64), nullable=False),
        Column("state", String(32), nullable=False),
        *_times(),
        Column("error", Text),
        Column("deleted_at", UtcDateTime),
        Column("updated_at", UtcDateTime, nullable=False),
        Column("version", BigInteger, nullable=False),
        Index(f"{name}_session", "session_id", "task_id"),
        Index(f"{name}_completed", "completed_at"),
    )


def _sessions(metadata: MetaData, prefix: str) -> Table:
    name = f"{prefix}sessions"
    return _table(
        name,
        metadata,
        Column("id", String(512), primary_key=True),
        *_names(),
        Column("state", String(32), nullable=False),
        *_times(),
        *(Column(one, BigInteger, nullable=False) for one in COUNTS),
        Column("deleted_at", UtcDateTime),
        Column("updated_at", UtcDateTime, nullable=False),
        Column("version", BigInteger, nullable=False),
        Index(f"{name}_session", "session_id"),
    )


def _events(metadata: MetaData, prefix: str) -> Table:
    name = f"{prefix}events"
    return _table(
        name,
        metadata,
        Column("id", String(512), primary_key=True),
        Column("event_key", String(512), nullable=False),
        Column("type", String(16), nullable=False),
        Column("kind", String(32), nullable=False),
        *_names(),
        Column("task_id", String(64)),
        Column("state", String(32)),
        Column("old_state", String(32)),
        *_times(),
        Column("error", Text),
        *(Column(one, BigInteger) for one in COUNTS),
        Column("initial", Boolean, nullable=False),
        Column("inferred", Boolean, nullable=False),
        Column("recorded_at", UtcDateTime, nullable=False),
        Index(f"{name}_session", "session_id", "task_id"),
        Index(f"{name}_recorded", "recorded_at"),
    )


def _table(name: str, metadata: MetaData, *items: SchemaItem) -> Table:
    # MySQL: keys differ by case, and texts of any language fit. Others ignore these options.
    return Table(
        name,
        metadata,
        *items,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )


def _names() -> tuple[Column[str], ...]:
    return (
        Column("endpoint", String(255)),
        Column("application", String(255)),
        Column("session_id", String(255), nullable=False),
    )


def _times() -> tuple[Column[datetime] | Column[float], ...]:
    return (
        Column("created_at", UtcDateTime),
        Column("completed_at", UtcDateTime),
        Column("duration", Double),
    )
