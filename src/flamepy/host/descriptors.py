"""Descriptors 0 to 2: where a start script closed them, the null device takes their place.

Otherwise the next file that is opened gets such a number, and is taken for standard output by what
writes there. uvloop ends the process (SIGABRT) when it closes a pipe of its own with one of them.
Imports nothing of flamepy.
"""

from __future__ import annotations

import os
import sys

STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def fill_standard() -> bool:
    """Open the null device for each closed descriptor from 0 to 2; return True if all are open."""
    for number in range(len(STANDARD)):
        try:
            os.fstat(number)
        except OSError:
            if not _open_null(number):
                return False
    return True


def _open_null(number: int) -> bool:
    try:
        opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number
    except OSError:
        return False
    if opened != number and opened >= len(STANDARD):
        os.close(opened)  # another thread took the number meanwhile
        return True
    os.set_inheritable(opened, True)  # as standard streams are
    return True


def open_standard_streams() -> None:
    """Do the same for ``sys.stdin``, ``sys.stdout`` and ``sys.stderr``, where they are None."""
    fill_standard()
    for name, mode in STANDARD:
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # for ever
