"""The files that a service's output goes to: their end for an error, their size kept in bounds.

A service writes to its files itself, so no thread has to read along; a file that grows too large
is cut to its last part a few times a second. ``process`` opens the files for appending.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

LIMIT = 8 * 1024 * 1024  # bytes per file
KEPT = 64 * 1024  # bytes that stay of a file over the limit
INTERVAL = 0.2
TAIL = 2000
NOTE = b"[flamepy: earlier output was dropped]\n"


async def bound_logs(paths: Iterable[Path], *, limit: int = LIMIT) -> None:
    """Cut files that are over the limit, until cancelled."""
    watched = list(paths)
    while True:
        await asyncio.sleep(INTERVAL)
        for path in watched:
            cut(path, limit)


def cut(path: Path, limit: int) -> None:
    """Keep the end of a file that is over the limit; what is written meanwhile may go too."""
    try:
        if path.stat().st_size <= limit:
            return
        kept = _end(path, KEPT)
        with path.open("r+b") as file:
            file.truncate(0)
        with path.open("ab") as file:
            file.write(NOTE + kept)
    except OSError:
        return  # removed, or no room: the next round looks again


def tail(path: Path) -> str:
    """Return the end of a file as text, or the empty text."""
    try:
        return _end(path, TAIL).decode(errors="replace").strip()
    except OSError:
        return ""


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read(size)
