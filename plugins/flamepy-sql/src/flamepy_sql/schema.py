"""Creates the tables, or checks that those that are there are the plugin's."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    Numeric,
    String,
    Table,
    inspect,
)
from sqlalchemy.engine.interfaces import Dialect, ReflectedColumn
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeDecorator, TypeEngine

from flamepy.errors import ConfigError
from flamepy_sql.tables import Tables


def prepare(connection: Connection, tables: Tables, *, create: bool, label: str) -> None:
    """Create the tables that do not exist, and check the others.

    Args:
        connection: within a transaction.
        tables: the tables.
        create: whether tables may be created.
        label: the database, for errors.

    Raises:
        ConfigError: a table does not exist and may not be created, or has other columns; the
            message names the table, each column that differs, and how.
    """
    inspector = inspect(connection)
    missing = [one for one in tables if not inspector.has_table(one.name, schema=one.schema)]
    if missing and not create:
        names = ", ".join(one.fullname for one in missing)
        raise ConfigError(
            f"flamepy-sql: {label} has no table {names}, and create is false; create it with what"
            f" `python -m flamepy_sql {connection.dialect.name}` prints, or set create: true"
        )
    tables.metadata.create_all(connection, tables=missing, checkfirst=False)
    for table in tables:
        if table not in missing:
            found = inspector.get_columns(table.name, schema=table.schema)
            key = inspector.get_pk_constraint(table.name, schema=table.schema)
            wrong = differences(
                table, found, key["constrained_columns"], dialect=connection.dialect
            )
            if wrong:
                raise ConfigError(
                    f"flamepy-sql: the table {table.fullname} of {label} is not as this release"
                    f" writes it: {'; '.join(wrong)}. Alter it, or choose another prefix"
                )


def differences(
    table: Table, found: Sequence[ReflectedColumn], key: Sequence[str], *, dialect: Dialect
) -> list[str]:
    """Return how the columns of a table that exists differ from what is written, one text each.

    Columns of the user's own are fine, as long as a row can be inserted without them.
    """
    there = {one["name"]: one for one in found}
    wrong = []
    for column in table.columns:
        wanted = column.type.compile(dialect=dialect)
        if column.name not in there:
            wrong.append(f"column {column.name} ({wanted}) is missing")
        else:
            wrong += _difference(column, there[column.name], wanted, dialect)
    wrong += [
        f"column {one['name']} is not written, must not be null and has no default"
        for one in found
        if one["name"] not in table.columns and _must_be_given(one)
    ]
    if list(key) != [one.name for one in table.primary_key]:
        wrong.append(f"the primary key is ({', '.join(key)}), not (id)")
    return wrong


def create_statements(tables: Tables, dialect: Dialect) -> list[str]:
    """Return the statements that create the tables and their indexes."""
    made: list[str] = []
    for table in tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda one: str(one.name))
        made += [str(CreateIndex(one).compile(dialect=dialect)).strip() for one in indexes]
    return [f"{one};" for one in made]


def _difference(
    column: Column[object], found: ReflectedColumn, wanted: str, dialect: Dialect
) -> list[str]:
    own, other = _plain(column.type, dialect), found["type"]
    text = other.compile(dialect=dialect)
    if _family(own) != _family(other):
        return [f"column {column.name} is {text}, not {wanted}"]
    if _is_shorter(other, own):
        return [f"column {column.name} is {text}, shorter than {wanted}"]
    zoned = isinstance(other, DateTime) and other.timezone
    if dialect.name == "postgresql" and isinstance(own, DateTime) and not zoned:
        return [f"column {column.name} is {text}, without a time zone"]
    if column.nullable and not found["nullable"]:
        return [f"column {column.name} must not be null, but may have no value"]
    return []


def _plain(type_: TypeEngine[object], dialect: Dialect) -> TypeEngine[object]:
    return type_.load_dialect_impl(dialect) if isinstance(type_, TypeDecorator) else type_


def _family(type_: TypeEngine[object]) -> str:
    if isinstance(type_, String):
        return "text"
    if isinstance(type_, DateTime):
        return "time"
    # Drivers report a boolean as a number in a database without booleans.
    return "number" if isinstance(type_, Integer | Numeric | Boolean) else "other"


def _is_shorter(one: TypeEngine[object], other: TypeEngine[object]) -> bool:
    if not (isinstance(one, String) and isinstance(other, String)) or one.length is None:
        return False
    return other.length is None or one.length < other.length


def _must_be_given(column: ReflectedColumn) -> bool:
    generated = (
        column.get("computed") or column.get("identity") or column.get("autoincrement") is True
    )
    return not (column["nullable"] or column["default"] is not None or generated)
