"""The file by which commands find the logs of a ``flamepy up`` of this user on this machine.

``up`` leaves it when it serves and removes it at its end; it is found by the port. It lies beside
the token of ``flamepy run --http``, in a folder that this user alone can read.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flamepy.cli.serving.control import token_file
from flamepy.config.endpoint import Endpoint
from flamepy.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """What ``flamepy up`` says of itself.

    Attributes:
        pid: of its process.
        logs: the folder that has what services wrote.
    """

    pid: int
    logs: Path


def path_for(port: int) -> Path:
    """Return where the cluster that listens on a port leaves its file."""
    return token_file(port).with_suffix(".cluster")


@contextmanager
def left(port: int, logs: Path | None) -> Iterator[None]:
    """Leave the file for the block; where that cannot be done, ``flamepy logs`` finds nothing."""
    path = path_for(port)
    written = logs is not None and _write(path, {"pid": os.getpid(), "logs": str(logs)})
    try:
        yield
    finally:
        if written:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # other files are in it
                path.parent.rmdir()


def _write(path: Path, what: dict[str, object]) -> bool:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and path.parent.stat().st_uid != os.getuid():
            return False
        path.parent.chmod(0o700)
        path.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(what, file)
    except OSError:
        return False
    return True


def find(endpoint: Endpoint) -> ClusterFile:
    """Return what the cluster at an endpoint says of itself.

    Raises:
        NotFoundError: no ``flamepy up`` of this user, on this machine, listens there.
    """
    here = endpoint.is_loopback or endpoint.host in (platform.node(), "0.0.0.0", "::")
    file = _read(path_for(endpoint.port)) if here else None
    if file is None:
        where = "" if here else ", which is another machine"
        raise NotFoundError(
            f"no `flamepy up` of this user on this machine serves {endpoint.url}{where}; what "
            "services of a real engine write is on its nodes"
        )
    return file


def _read(path: Path) -> ClusterFile | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        file = ClusterFile(int(found["pid"]), Path(found["logs"]))
        os.kill(file.pid, 0)
    except (OSError, ValueError, KeyError, TypeError):  # none, or of a process that was killed
        return None
    return file
