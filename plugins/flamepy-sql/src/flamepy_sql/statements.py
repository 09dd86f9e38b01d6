"""The statements that write rows, in each database's dialect. Pure."""

from __future__ import annotations

from typing import cast

from sqlalchemy import ColumnElement, Executable, Table, bindparam, case, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import Insert

DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")

Columns = ReadOnlyColumnCollection[str, ColumnElement[object]]


def upsert(table: Table, dialect: str) -> Insert:
    """Return the statement that inserts a row, or merges it into the one that is there.

    It does what ``rows.merged`` does: each column is the newer row's, or the older one's where the
    newer is null. "Newer" is decided by ``version`` in the database, under its lock of the row.
    """
    if dialect in ("mysql", "mariadb"):
        made = mysql.insert(table)
        values = _merged(table, cast("Columns", made.inserted))
        # MySQL assigns from left to right: the version decides, so it comes last.
        last = values.pop("version")
        return made.on_duplicate_key_update([*values.items(), ("version", last)])
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=[table.c.id], set_=_merged(table, cast("Columns", statement.excluded))
    )


def stored_ids(table: Table) -> Executable:
    """Return the query for which of the given ``ids`` have a row."""
    return select(table.c.id).where(table.c.id.in_(bindparam("ids", expanding=True)))


def _merged(table: Table, new: Columns) -> dict[str, ColumnElement[object]]:
    newer = new["version"] >= table.c.version
    return {
        column.name: case(
            (newer, func.coalesce(new[column.name], column)),
            else_=func.coalesce(column, new[column.name]),
        )
        for column in table.columns
        if not column.primary_key
    }
