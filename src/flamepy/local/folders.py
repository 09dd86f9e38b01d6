"""The temporary folders of a cluster: for working directories, and for the sockets of services.

A socket's path becomes an address: it is short, and has no character that means something in one.
Services in any language get it, so quoting on our side is not enough. Where TMPDIR has such a
path, both are one folder; else the sockets have a folder of their own elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flamepy.errors import ConfigError
from flamepy.host import platforms
from flamepy.host.addresses import SOCKET_PATH_LIMIT

PREFIX = "flame-"
PLAIN = re.compile(r"[A-Za-z0-9/._+=-]+")
NAME = "0" * 13 + ".sock"  # as long as those of ``environment.launch``
ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")  # each gets a folder of mode 0700


@dataclass(frozen=True, slots=True)
class Folders:
    """Two folders of mode 0700, or twice the same one."""

    work: Path
    sockets: Path

    def remove(self) -> None:
        """Remove both and what is in them."""
        for folder in {self.work, self.sockets}:
            shutil.rmtree(folder, ignore_errors=True)


def make_folders() -> Folders:
    """Make the folders of a cluster.

    Raises:
        ConfigError: there is no folder for temporary files, or none in which sockets can be made;
            the text says of each why not.
    """
    try:
        base = tempfile.gettempdir()
        work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    except OSError as error:
        raise ConfigError(
            f"no folder for temporary files: {error.strerror}; set TMPDIR to one that this user "
            "may write to"
        ) from error
    try:
        if platforms.missing(*platforms.SERVICE_PROCESSES):
            return Folders(work, work)  # services are threads
        refused = why_no_sockets(work)
        if refused is None:
            return Folders(work, work)
        return Folders(work, _sockets_elsewhere([f"{base}: {refused}"]))
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _sockets_elsewhere(reasons: list[str]) -> Path:
    for base in _candidates():
        try:
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        except OSError as error:
            reasons.append(f"{base}: {error.strerror}")
            continue
        refused = why_no_sockets(made)
        if refused is None:
            return made
        shutil.rmtree(made, ignore_errors=True)
        reasons.append(f"{base}: {refused}")
    raise ConfigError(
        f"no folder for the sockets of services ({'; '.join(reasons)}): set TMPDIR to a folder "
        "that this user may write to, with a short path of letters, digits and / . _ + = -"
    )


def _candidates() -> Iterator[str]:
    yield from ELSEWHERE
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield os.path.abspath(runtime)


def why_no_sockets(folder: Path) -> str | None:
    """Return why a folder cannot have the sockets of services, or None where it can."""
    path = folder / NAME
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_LIMIT:
        return (
            f"the path of a socket in it would have {size} bytes, and may have {SOCKET_PATH_LIMIT}"
        )
    odd = sorted(set(PLAIN.sub("", str(path))))
    if odd:
        return f"no address can have {' '.join(map(ascii, odd))}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError as error:  # a file system without sockets
        return f"no socket can be made there: {error.strerror}"
    return None
