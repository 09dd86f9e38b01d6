"""The output of service processes, kept after their end: ``flamepy logs`` reads it.

One folder for each session, its name percent-encoded; in it two files for each executor that served
the session. Folder and files are for this user alone. The oldest files go when there is too much.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

LIMIT = 256 * 1024 * 1024  # bytes of all files
NAME_LIMIT = 200  # characters of a folder's name; a longer one ends with a digest


def folder_of(folder: Path, session_id: str) -> Path:
    """Return the folder that has what a session's services wrote."""
    name = quote(session_id, safe="")
    if len(name) > NAME_LIMIT or name in (".", ".."):
        digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[:NAME_LIMIT].replace('.', '%2E')}-{digest}"
    return folder / name


class KeptLogs:
    """Where services write, and how much of it stays.

    Args:
        folder: of all of it; made when the first service starts.
        limit: bytes of all files; a file may be larger by what is written until the next start.
    """

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self._limit = limit

    def paths(self, session_id: str, executor_id: str) -> tuple[Path, Path]:
        """Return the files for standard output and standard error of a service."""
        folder = folder_of(self.folder, session_id)
        return folder / f"{executor_id}.out", folder / f"{executor_id}.err"

    def prepare(self, path: Path) -> None:
        """Make the folder of a file, and remove the oldest files over the limit; may block.

        Raises:
            OSError: the folder cannot be made.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._prune(keep=path.parent)

    def _prune(self, keep: Path) -> None:
        found = []
        with suppress(OSError):  # removed meanwhile, by another start
            for path in self.folder.glob("*/*"):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size
            if path.parent != keep:
                with suppress(OSError):  # other files are in it
                    path.parent.rmdir()
