"""What an error of a database means for the batch that met it. Pure."""

from __future__ import annotations

import enum

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from flamepy.informers import PermanentError

# PostgreSQL's SQLSTATEs and MySQL's numbers.
_AGAIN: frozenset[str | int] = frozenset(
    {"40001", "40P01", "55P03", 1205, 1213}  # serialization, deadlock, a lock that is not free
)
_ABSENT: frozenset[str | int] = frozenset({"42P01", "42703", 1146, 1054})  # a table, a column


class Fault(enum.Enum):
    """What to do after an error.

    Attributes:
        NOW: the transaction lost to another one, or its connection: once more at once.
        ROW: the database refuses a row: the others of its batch are fine without it.
        LATER: the database cannot: the outbox waits and sends the batch again.
    """

    NOW = "now"
    ROW = "row"
    LATER = "later"


def fault_of(error: Exception) -> Fault:
    """Return what an error means.

    A table that is gone counts as NOW: it is created again before the next attempt.
    """
    if isinstance(error, DataError | PermanentError):
        return Fault.ROW
    if isinstance(error, IntegrityError):
        # Another process inserted the same event since it was looked up: it is there next time.
        return Fault.NOW
    if not isinstance(error, DBAPIError):
        return Fault.LATER
    absent = _ABSENT & _codes(error) or _absent_in_sqlite(error)
    again = _AGAIN & _codes(error) or error.connection_invalidated
    return Fault.NOW if again or absent else Fault.LATER


def _codes(error: DBAPIError) -> set[str | int]:
    """Return what the drivers call an error: some have a number, some an SQLSTATE, some both."""
    given = getattr(error.orig, "args", ())
    states = [getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")]
    return {one for one in (*given[:1], *states) if isinstance(one, str | int)}


def _absent_in_sqlite(error: DBAPIError) -> bool:
    text = str(error.orig)
    return text.startswith(("no such table", "no such column")) or "has no column named" in text
