"""The table of dead letters, in a checkpoint's file; functions run in a transaction of the caller.

``checkpoint.tables`` makes the table; ``box`` and the informers' deliveries use it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from flamepy.informers.dead_letters.letter import DeadLetter

SCHEMA = """
CREATE TABLE dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT, informer TEXT NOT NULL, callback TEXT NOT NULL,
    key TEXT NOT NULL, event TEXT NOT NULL, error TEXT NOT NULL, traceback TEXT NOT NULL,
    attempts INTEGER NOT NULL, failed_at REAL NOT NULL, retrying INTEGER NOT NULL DEFAULT 0,
    UNIQUE (informer, key));
"""

_COLUMNS = "informer, callback, key, event, error, traceback, attempts, failed_at, retrying"
_PUT = f"""
INSERT INTO dead ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (informer, key) DO UPDATE SET
    callback = excluded.callback, event = excluded.event, error = excluded.error,
    traceback = excluded.traceback, attempts = attempts + excluded.attempts,
    failed_at = excluded.failed_at, retrying = 0
"""


DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: ``count`` letters, none older than ``age`` seconds."""

    count: int
    age: float


BOUNDS = Bounds(10_000, 30 * DAY)


def put(database: sqlite3.Connection, letters: Iterable[DeadLetter]) -> None:
    """Store letters; one of the same informer and event key takes the place of the older one."""
    database.executemany(_PUT, [one.row() for one in letters])


def trim(database: sqlite3.Connection, bounds: Bounds, now: float) -> int:
    """Delete what is over the bounds, the oldest first; return how many."""
    deleted = database.execute("DELETE FROM dead WHERE failed_at < ?", (now - bounds.age,)).rowcount
    over = database.execute(
        "DELETE FROM dead WHERE id IN (SELECT id FROM dead ORDER BY failed_at DESC, id DESC "
        "LIMIT -1 OFFSET ?)",
        (bounds.count,),
    ).rowcount
    return deleted + over


def find(
    database: sqlite3.Connection,
    *,
    informer: str | None = None,
    ids: Iterable[int] | None = None,
    retrying: bool | None = None,
    limit: int = -1,
) -> list[DeadLetter]:
    """Return letters, the oldest first."""
    where, values = _where(informer, ids, retrying)
    rows = database.execute(
        f"SELECT id, {_COLUMNS} FROM dead {where} ORDER BY failed_at, id LIMIT ?",
        (*values, limit),
    )
    return [DeadLetter.from_row(row) for row in rows]


def count(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many letters each informer has."""
    return dict(database.execute("SELECT informer, count(*) FROM dead GROUP BY informer"))


def mark(database: sqlite3.Connection, *, informer: str | None, ids: Iterable[int] | None) -> int:
    """Have letters handled again; return how many."""
    where, values = _where(informer, ids, None)
    return database.execute(f"UPDATE dead SET retrying = 1 {where}", values).rowcount


def remove(database: sqlite3.Connection, *, informer: str | None, ids: Iterable[int] | None) -> int:
    """Delete letters; return how many."""
    where, values = _where(informer, ids, None)
    return database.execute(f"DELETE FROM dead {where}", values).rowcount


def _where(
    informer: str | None, ids: Iterable[int] | None, retrying: bool | None
) -> tuple[str, list[object]]:
    parts: list[str] = []
    values: list[object] = []
    if informer is not None:
        parts.append("informer = ?")
        values.append(informer)
    if ids is not None:
        wanted = list(ids)
        parts.append(f"id IN ({', '.join('?' * len(wanted))})")
        values.extend(wanted)
    if retrying is not None:
        parts.append("retrying = ?")
        values.append(int(retrying))
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values
