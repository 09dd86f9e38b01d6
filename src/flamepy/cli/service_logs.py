"""What services of a ``flamepy up`` wrote, as ``flamepy logs`` and ``describe`` read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flamepy.local.services.kept_logs import folder_of

STREAMS = {"out": ".out", "err": ".err"}
PIECE = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class LogFile:
    """What one service wrote to one stream.

    Attributes:
        path: of the file.
        executor: the id of the executor that ran the service.
        stream: ``"out"`` or ``"err"``.
    """

    path: Path
    executor: str
    stream: str

    @property
    def title(self) -> str:
        """Whose it is, for a person."""
        return f"executor {self.executor} std{self.stream}"


def log_files(folder: Path, session: str, stream: str | None = None) -> list[LogFile]:
    """Return the files of a session that are not empty, the one that was written last at the end.

    Args:
        folder: of all logs of the cluster.
        session: the session's id.
        stream: ``"out"`` or ``"err"``; None for both.
    """
    found = []
    for path in folder_of(folder, session).glob("*"):
        kind = path.suffix.removeprefix(".")
        if kind in STREAMS and stream in (None, kind):
            status = path.stat()
            if status.st_size:
                found.append((status.st_mtime, LogFile(path, path.stem, kind)))
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], str(pair[1].path)))]


def tail_lines(file: LogFile, number: int) -> list[str]:
    """Return the last lines of a file."""
    with file.path.open("rb") as opened:
        opened.seek(0, os.SEEK_END)
        opened.seek(max(0, opened.tell() - PIECE))
        lines = opened.read().decode(errors="replace").splitlines()
    return lines[-number:] if number else []


class Follower:
    """Reads what is added to the files of a session.

    Args:
        folder: of all logs of the cluster.
        session: the session's id.
        stream: as of ``log_files``.
    """

    def __init__(self, folder: Path, session: str, stream: str | None) -> None:
        self._folder, self._session, self._stream = folder, session, stream
        self._read: dict[Path, int] = {}

    def skip_to(self, tail: int | None) -> Iterator[tuple[LogFile, bytes]]:
        """Yield what is there by now, of each file only the last lines with ``tail``."""
        for file, data in self.more():
            if tail is None:
                yield file, data
            else:
                lines = data.splitlines(keepends=True)
                yield file, b"".join(lines[-tail:] if tail else [])

    def more(self) -> Iterator[tuple[LogFile, bytes]]:
        """Yield what was added since the last time; a file that was cut is read again."""
        for file in log_files(self._folder, self._session, self._stream):
            try:
                with file.path.open("rb") as opened:
                    size = os.fstat(opened.fileno()).st_size
                    begin = self._read.get(file.path, 0)
                    opened.seek(begin if begin <= size else 0)
                    data = opened.read(size)
                    self._read[file.path] = opened.tell()
            except FileNotFoundError:
                continue  # it was one too many
            if data:
                yield file, data
