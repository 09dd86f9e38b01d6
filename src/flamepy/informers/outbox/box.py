"""``OutboxFile``: the outboxes of one file, for commands; also beside the process that has it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from flamepy.errors import InvalidArgumentError
from flamepy.informers.outbox import table

T = TypeVar("T")


class Database(Protocol):
    """A file with the tables of outboxes."""

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``act`` with the connection, in a transaction.

        Raises:
            InvalidStateError: the file cannot be used now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One event that waits to be sent.

    Attributes:
        id: its number.
        sink: the ``uid`` of the registration.
        destination: where it goes.
        key: the event's.
        attempts: how often it was tried.
        error: of the last try; "" before one.
        created: when it was stored.
        due: when it is tried next at the earliest; None for as soon as it can be.
        event: the event as ``to_dict`` writes it.
    """

    id: int
    sink: str
    destination: str
    key: str
    attempts: int
    error: str
    created: datetime
    due: datetime | None
    event: dict[str, Any]  # Any: what JSON gives

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it."""
        return {
            "id": self.id,
            "sink": self.sink,
            "destination": self.destination,
            "key": self.key,
            "attempts": self.attempts,
            "error": self.error,
            "created": self.created.isoformat(timespec="milliseconds"),
            "due": None if self.due is None else self.due.isoformat(timespec="milliseconds"),
            "event": self.event,
        }


class OutboxFile:
    """What waits in the outboxes of one file; each method is a transaction of its own.

    Args:
        database: the file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, sink: str | None = None, *, limit: int = -1) -> list[Waiting]:
        """Return what waits, the oldest first; of one sink, by its ``uid``, if one is named.

        Raises:
            InvalidStateError: the file cannot be used now.
        """
        rows = self._database.transact(
            lambda database: table.find(database, informer=sink, limit=limit)
        )
        return [_waiting(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many events of each sink wait."""
        return self._database.transact(table.count)

    def states(self) -> dict[str, table.State]:
        """Return what else is stored of each sink: events dropped, and why it is disabled."""
        return self._database.transact(table.states)

    def missing(self, ids: Sequence[int]) -> set[int]:
        """Return the ids of which nothing waits."""
        there = self._database.transact(lambda database: table.texts(database, ids))
        return set(ids) - set(there)

    def retry(self, *ids: int, sink: str | None = None) -> int:
        """Have events sent as soon as they can be, and enable their sinks; return how many.

        Args:
            *ids: their numbers.
            sink: all of this ``uid``.

        Raises:
            InvalidArgumentError: neither ids nor a sink were given.
            InvalidStateError: the file cannot be used now.
        """
        _check(ids, sink, "retry")
        return self._database.transact(
            lambda database: table.hasten(database, informer=sink, ids=ids)
        )

    def drop(self, *ids: int, sink: str | None = None) -> int:
        """Delete events unsent; return how many. Arguments and errors as of ``retry``."""
        _check(ids, sink, "drop")
        return self._database.transact(
            lambda database: table.remove(database, informer=sink, ids=ids)
        )


def _check(ids: Sequence[int], sink: str | None, verb: str) -> None:
    if not ids and sink is None:
        raise InvalidArgumentError(f"{verb} which? give ids, or sink= for all of one sink")


def _waiting(row: table.FullRow) -> Waiting:
    return Waiting(
        id=row.id,
        sink=row.informer,
        destination=row.destination,
        key=row.key,
        attempts=row.attempts,
        error=row.error,
        created=datetime.fromtimestamp(row.created, timezone.utc),
        due=datetime.fromtimestamp(row.due, timezone.utc) if row.due else None,
        event=json.loads(row.event),
    )
