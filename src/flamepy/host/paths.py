"""Paths that users give: ``~`` and relative ones, where there may be no home or working folder.

Imports nothing of flamepy.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path without its ``~``.

    Raises:
        FileNotFoundError: the home folder is not known, as for a user id without an entry.
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, KeyError):
        raise FileNotFoundError(
            errno.ENOENT, "the home folder is not known: set HOME, or write the whole path", path
        ) from None


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return a path without its ``~`` that stays the same when the working folder changes.

    Raises:
        FileNotFoundError: it begins in the home folder, which is not known, or it is relative and
            the working folder was removed.
    """
    found = expanded(path)
    try:
        return found.absolute()
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "the working folder was removed: write the whole path", path
        ) from None
