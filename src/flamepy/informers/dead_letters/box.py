"""``DeadLetters``: the dead letters of one file, for programs and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from flamepy.errors import InvalidArgumentError, NotFoundError
from flamepy.informers.dead_letters import table
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.texts import repr_of

T = TypeVar("T")


class Database(Protocol):
    """A file with the table of dead letters."""

    def transact(self, act: Callable[..., T]) -> T:
        """Call ``act`` with the connection, in a transaction.

        Raises:
            InvalidStateError: the file is closed, or cannot be used now.
        """


class DeadLetters:
    """Events that informers could not handle; methods may be called from any thread.

    Each method is a transaction of its own on the file, also beside another process that has it.

    Args:
        database: the file.
        retried: called after letters were marked to be handled again.
    """

    def __init__(self, database: Database, retried: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._retried = retried

    def list(self, informer: str | None = None, *, limit: int | None = None) -> list[DeadLetter]:
        """Return letters, the oldest first.

        Args:
            informer: of this ``uid`` only.
            limit: the greatest number returned.

        Raises:
            InvalidStateError: the file cannot be used now.
        """
        return self._database.transact(
            lambda database: table.find(
                database, informer=informer, limit=-1 if limit is None else _checked(limit)
            )
        )

    def get(self, number: int) -> DeadLetter:
        """Return one letter by its ``id``.

        Raises:
            NotFoundError: no letter has that id.
            InvalidStateError: the file cannot be used now.
        """
        found = self._database.transact(
            lambda database: table.find(database, ids=[_checked(number)])
        )
        if not found:
            raise NotFoundError(f"there is no dead letter {number}; list() has the others")
        return found[0]

    def counts(self) -> dict[str, int]:
        """Return how many letters each informer has."""
        return self._database.transact(table.count)

    def __len__(self) -> int:
        return sum(self.counts().values())

    def retry(self, *numbers: int, informer: str | None = None) -> int:
        """Have letters handled again by their informer; return how many.

        Those of a running reactor are handled within about a second, those of another one when it
        starts. One that fails again stays, with more ``attempts``; one that succeeds is deleted.

        Args:
            *numbers: their ids.
            informer: all of this ``uid``.

        Raises:
            InvalidArgumentError: neither ids nor an informer were given.
            InvalidStateError: the file cannot be used now.
        """
        ids = _ids(numbers, informer, "retry")
        marked = self._database.transact(
            lambda database: table.mark(database, informer=informer, ids=ids)
        )
        if marked:
            self._retried()
        return marked

    def drop(self, *numbers: int, informer: str | None = None) -> int:
        """Delete letters; return how many. Arguments and errors as of ``retry``."""
        ids = _ids(numbers, informer, "drop")
        return self._database.transact(
            lambda database: table.remove(database, informer=informer, ids=ids)
        )


def _ids(numbers: Iterable[int], informer: str | None, verb: str) -> list[int] | None:
    ids = [_checked(one) for one in numbers]
    if not ids and informer is None:
        raise InvalidArgumentError(f"{verb} which? give ids, or informer= for all of one informer")
    return ids or None


def _checked(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidArgumentError(f"an id is a whole number, 0 or more, got {repr_of(number)}")
    return number
