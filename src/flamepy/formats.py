"""Files that an older release wrote: brought to today's format, one number after the other.

Each format of a file that outlives its process has a number. A release that changes a format raises
it and adds the step from the number before; it opens every older one. What a kill cuts is found
again as it was before the step or after it, and the old file stays beside the new one
(``state.db.v1.bak``). Opening a file with a number higher than today's is refused.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

Step = Callable[[sqlite3.Connection], None]
"""Changes tables from one number to the next, in a transaction that it does not end."""

FolderStep = Callable[[Path, Path], None]
"""Fills the second folder, which is empty, with what the first one has, in the next format."""

UPGRADE = "upgrade with pip install --upgrade flamepy-informers"
NUMBER = "format"  # the file in a folder that has its number; a folder without one is of format 1


class NewerFormat(Exception):
    """A file of a newer release; the text names both numbers."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"was written by a newer flamepy (format {found}; this one knows {known})")


# ---------------------------------------------------------------------- databases


def database_format(database: sqlite3.Connection, known: int) -> int:
    """Return a database's number, its log included. Raises NewerFormat, sqlite3.Error."""
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > known:
        raise NewerFormat(found, known)
    return found


def migrate_database(path: Path, steps: Mapping[int, Step], known: int) -> None:
    """Bring a database to the number ``known``, in one transaction; nothing if it is there.

    Args:
        path: no other connection may have it open.
        steps: by the number that each begins at.
        known: today's number.

    Raises:
        NewerFormat: it is left as it is.
        sqlite3.Error, OSError: it is left as it is; there may be a copy.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        found = database_format(database, known)
        if found == known:
            return
        _copy(database, path.with_name(f"{path.name}.v{found}.bak"))
        database.execute("BEGIN EXCLUSIVE")
        for number in range(found, known):
            if number not in steps:
                raise sqlite3.DatabaseError(f"there is no format {number}")
            steps[number](database)
        database.execute(f"PRAGMA user_version = {known}")
        database.execute("COMMIT")
        # The number is in the file itself from now on, not only in its log.
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()  # undoes what was not committed


def _copy(database: sqlite3.Connection, path: Path) -> None:
    """Write all that a database has into a file of its own, whole or not at all."""
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    target = sqlite3.connect(made, isolation_level=None)
    try:
        database.backup(target)
        # In the log's mode it could not be read without files beside it.
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()
    made.replace(path)


# ---------------------------------------------------------------------- folders


def open_folder(folder: Path, steps: Mapping[int, FolderStep], known: int) -> None:
    """Make a folder of today's format, or bring one there, a number at a time.

    Each step fills a folder beside it, which takes its place when it is whole.

    Args:
        folder: made, for this user alone, when it is not there.
        steps: by the number that each begins at.
        known: today's number.

    Raises:
        NewerFormat: it is left as it is.
        OSError: it cannot be read or written.
        KeyError: it has a number that no release wrote.
    """
    made = folder.with_name(f"{folder.name}.new")
    if made.exists():  # a step was cut
        if folder.exists():
            shutil.rmtree(made)
        else:
            made.rename(folder)
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        _write_number(folder, known)
    while (found := folder_format(folder, known)) < known:
        made.mkdir(mode=0o700)
        steps[found](folder, made)
        _write_number(made, found + 1)
        kept = folder.with_name(f"{folder.name}.v{found}.bak")
        if kept.exists():
            shutil.rmtree(kept)
        folder.rename(kept)
        made.rename(folder)
    if not (folder / NUMBER).exists():
        _write_number(folder, known)


def folder_format(folder: Path, known: int) -> int:
    """Return a folder's number. Raises NewerFormat, OSError; ValueError if it is unreadable."""
    try:
        found = int((folder / NUMBER).read_text("ascii"))
    except FileNotFoundError:
        return 1
    if found > known:
        raise NewerFormat(found, known)
    return found


def _write_number(folder: Path, number: int) -> None:
    made = folder / f"{NUMBER}.new"
    made.unlink(missing_ok=True)
    with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"{number}\n")
    made.replace(folder / NUMBER)
