"""Shut down TCP connections of this process that a library owns and does not end.

Arrow Flight has no way to break off an upload, and none to end a call that waits for its peer:
without its connection each ends at once. Imports nothing of flamepy.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

FOLDERS = (Path("/proc/self/fd"), Path("/dev/fd"))


def shut_down_clients_of(port: int) -> None:
    """Shut down the connections that were accepted at a port of this process."""
    for found in _connected():
        if found.getsockname()[1] == port:
            found.shutdown(socket.SHUT_RDWR)


def shut_down_to(host: str, port: int) -> None:
    """Shut down the connections of this process to an address."""
    addresses = {one[4][0] for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    for found in _connected():
        peer = found.getpeername()
        if peer[1] == port and peer[0].removeprefix("::ffff:") in addresses:
            found.shutdown(socket.SHUT_RDWR)


def can_shut_down() -> bool:
    """True where a process can see its own sockets: not on Windows."""
    return any(folder.is_dir() for folder in FOLDERS)


def _connected() -> Iterator[socket.socket]:
    """Yield this process's TCP connections, as duplicates, each closed after its use."""
    for name in os.listdir(next((folder for folder in FOLDERS if folder.is_dir()), os.devnull)):
        try:
            duplicate = os.dup(int(name))
        except OSError:
            continue  # closed meanwhile; listdir's own for one
        try:
            found = socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)
            continue
        with found, contextlib.suppress(OSError):  # not connected, or not any more
            if found.family in (socket.AF_INET, socket.AF_INET6):
                found.getpeername()
                yield found
