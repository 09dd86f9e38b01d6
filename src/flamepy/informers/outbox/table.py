"""The tables of outboxes, in a checkpoint's file; functions run in a transaction of the caller.

``checkpoint.tables`` makes the tables; ``box``, the informers' deliveries and the senders use them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flamepy.informers.outbox.entry import OutboxRow, StoredEntry

STATEMENTS = (
    """
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, informer TEXT NOT NULL, destination TEXT NOT NULL,
        ordering TEXT, key TEXT NOT NULL, event TEXT NOT NULL, size INTEGER NOT NULL,
        created REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX outbox_order ON outbox (informer, destination, id)",
    """
    CREATE TABLE outbox_state (
        informer TEXT PRIMARY KEY, dropped INTEGER NOT NULL DEFAULT 0,
        disabled TEXT NOT NULL DEFAULT '{}', note TEXT NOT NULL DEFAULT '') WITHOUT ROWID""",
)
SCHEMA = "".join(f"{one};" for one in STATEMENTS)

EVERYTHING = "*"  # the key of ``disabled`` for every destination
_PUT = (
    "INSERT INTO outbox (informer, destination, ordering, key, event, size, created) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_STATE = "INSERT OR IGNORE INTO outbox_state (informer) VALUES (?)"
_PART = 500  # ids in one statement


class Total(NamedTuple):
    """What waits for one destination: entries, bytes, and when the oldest was stored."""

    destination: str
    entries: int
    size: int
    oldest: float


class State(NamedTuple):
    """What else is stored of an outbox: entries dropped so far, and why it is disabled."""

    dropped: int
    disabled: dict[str, str]


def put(database: sqlite3.Connection, informer: str, rows: Iterable[OutboxRow]) -> None:
    """Store events, in order."""
    database.executemany(
        _PUT,
        [
            (informer, one.destination, one.ordering, one.key, one.event, one.size, one.created)
            for one in rows
        ],
    )


def load(
    database: sqlite3.Connection, informer: str, destination: str, after: int, limit: int
) -> list[StoredEntry]:
    """Return the next entries of a destination with an id above ``after``."""
    rows = database.execute(
        "SELECT id, ordering, key, event, created, attempts, due FROM outbox "
        "WHERE informer = ? AND destination = ? AND id > ? ORDER BY id LIMIT ?",
        (informer, destination, after, limit),
    )
    return [StoredEntry(*row) for row in rows]


def texts(database: sqlite3.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the events of entries, as JSON; what is gone is left out."""
    found: dict[int, str] = {}
    for part in _parts(ids):
        marks = ", ".join("?" * len(part))
        found.update(database.execute(f"SELECT id, event FROM outbox WHERE id IN ({marks})", part))
    return found


def delete(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete entries."""
    database.executemany("DELETE FROM outbox WHERE id = ?", [(one,) for one in ids])


class Tried(NamedTuple):
    """An attempt that failed: how many there were, when the next one is due, and why."""

    attempts: int
    due: float
    error: str
    id: int


def postpone(database: sqlite3.Connection, tried: Iterable[Tried]) -> None:
    """Store failed attempts."""
    database.executemany(
        "UPDATE outbox SET attempts = ?, due = ?, error = ? WHERE id = ?", list(tried)
    )


def totals(database: sqlite3.Connection, informer: str) -> list[Total]:
    """Return what waits for each destination of an informer."""
    rows = database.execute(
        "SELECT destination, count(*), sum(size), min(created) FROM outbox WHERE informer = ? "
        "GROUP BY destination",
        (informer,),
    )
    return [Total(*row) for row in rows]


def oldest(
    database: sqlite3.Connection, informer: str, *, before: float | None = None, limit: int = -1
) -> list[tuple[int, int]]:
    """Return id and size of the oldest entries, those stored before a time if one is given."""
    return database.execute(
        "SELECT id, size FROM outbox WHERE informer = ? AND created < ? ORDER BY id LIMIT ?",
        (informer, float("inf") if before is None else before, limit),
    ).fetchall()


def oldest_created(
    database: sqlite3.Connection, informer: str, destinations: Iterable[str]
) -> float | None:
    """Return when the oldest entry of some destinations was stored; None if they have none."""
    found = [
        database.execute(
            "SELECT created FROM outbox WHERE informer = ? AND destination = ? ORDER BY id LIMIT 1",
            (informer, one),
        ).fetchone()
        for one in destinations
    ]
    return min((row[0] for row in found if row is not None), default=None)


# ---------------------------------------------------------------------- the state


def state(database: sqlite3.Connection, informer: str) -> State:
    """Return what is stored of an outbox."""
    row = database.execute(
        "SELECT dropped, disabled FROM outbox_state WHERE informer = ?", (informer,)
    ).fetchone()
    return State(0, {}) if row is None else State(row[0], json.loads(row[1]))


def add_dropped(database: sqlite3.Connection, informer: str, count: int) -> None:
    """Count entries that were dropped."""
    database.execute(_STATE, (informer,))
    database.execute(
        "UPDATE outbox_state SET dropped = dropped + ? WHERE informer = ?", (count, informer)
    )


def disable(database: sqlite3.Connection, informer: str, disabled: dict[str, str]) -> None:
    """Store why nothing is sent, by destination; an empty dictionary for nothing."""
    database.execute(_STATE, (informer,))
    database.execute(
        "UPDATE outbox_state SET disabled = ? WHERE informer = ?",
        (json.dumps(disabled), informer),
    )


def note(database: sqlite3.Connection, informer: str) -> str:
    """Return what a sink wrote for itself; "" if it is nothing."""
    row = database.execute(
        "SELECT note FROM outbox_state WHERE informer = ?", (informer,)
    ).fetchone()
    return "" if row is None else str(row[0])


def set_note(database: sqlite3.Connection, informer: str, text: str) -> None:
    """Store what a sink writes for itself."""
    database.execute(_STATE, (informer,))
    database.execute("UPDATE outbox_state SET note = ? WHERE informer = ?", (text, informer))


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[at : at + _PART] for at in range(0, len(ids), _PART))


# ---------------------------------------------------------------------- for commands


class FullRow(NamedTuple):
    """All that is stored of an entry."""

    id: int
    informer: str
    destination: str
    key: str
    event: str
    created: float
    attempts: int
    due: float
    error: str


def find(database: sqlite3.Connection, *, informer: str | None, limit: int) -> list[FullRow]:
    """Return entries, the oldest first, of one informer if it is named."""
    where, values = _where(informer, ())
    rows = database.execute(
        "SELECT id, informer, destination, key, event, created, attempts, due, error "
        f"FROM outbox {where} ORDER BY id LIMIT ?",
        (*values, limit),
    )
    return [FullRow(*row) for row in rows]


def count(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many entries each informer has."""
    return dict(database.execute("SELECT informer, count(*) FROM outbox GROUP BY informer"))


def states(database: sqlite3.Connection) -> dict[str, State]:
    """Return what else is stored of each outbox."""
    return {
        informer: State(dropped, json.loads(disabled))
        for informer, dropped, disabled in database.execute(
            "SELECT informer, dropped, disabled FROM outbox_state"
        )
    }


def hasten(database: sqlite3.Connection, *, informer: str | None, ids: Sequence[int]) -> int:
    """Make entries due at once, and enable their outboxes; return how many."""
    where, values = _where(informer, ids)
    informers = [informer] if informer is not None else []
    if informer is None:
        found = database.execute(f"SELECT DISTINCT informer FROM outbox {where}", values)
        informers = [one for (one,) in found]
    for one in informers:
        disable(database, one, {})
    return database.execute(f"UPDATE outbox SET due = 0 {where}", values).rowcount


def remove(database: sqlite3.Connection, *, informer: str | None, ids: Sequence[int]) -> int:
    """Delete entries; return how many."""
    where, values = _where(informer, ids)
    return database.execute(f"DELETE FROM outbox {where}", values).rowcount


def _where(informer: str | None, ids: Sequence[int]) -> tuple[str, list[object]]:
    parts: list[str] = []
    values: list[object] = []
    if informer is not None:
        parts.append("informer = ?")
        values.append(informer)
    if ids:
        parts.append(f"id IN ({', '.join('?' * len(ids))})")
        values.extend(ids)
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values
