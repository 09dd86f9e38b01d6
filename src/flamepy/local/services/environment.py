"""What a service process is started with: command line, environment, folders. Pure.

As an executor manager does it (docs/protocol.md#services): ``$VAR`` and ``${VAR}`` are expanded in
command and arguments from the child's environment, in the application's variables from ours;
unknown ones stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flamepy.local.services.builtin import replaced
from flamepy.types import FLAME_INSTANCE_ENDPOINT, Application, Dialect

SOCKET_NAME = 13  # characters of an executor's id; the path of a socket is limited
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that is needed to start one service process."""

    command: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path  # the working directory
    private: bool  # made for this process, and removed with it
    scratch: Path  # TMPDIR
    socket: Path
    stdout: Path
    stderr: Path


def expand(text: str, *sources: Mapping[str, str]) -> str:
    """Replace variables by their value in the first source that has them."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        for source in sources:
            if name in source:
                return source[name]
        return match.group(0)

    return _VARIABLE.sub(value, text)


def launch(
    application: Application,
    executor_id: str,
    *,
    root: Path,
    sockets: Path,
    endpoint: str,
    cache_endpoint: str | None,
    ca_file: str | None = None,
    environ: Mapping[str, str],
    package: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
    dialect: Dialect = Dialect.OLD,
) -> Launch:
    """Return how to start the service of an application for one executor.

    Args:
        application: what was registered.
        executor_id: names the process's files.
        root: the cluster's own folder, for working directories.
        sockets: the folder for its socket, with a short path (``folders``).
        endpoint: the frontend's URL, for the service's own calls.
        cache_endpoint: the object cache's URL, if there is one.
        ca_file: the authority by which the frontend is known, if it uses TLS.
        environ: the environment to inherit.
        package: returns the variables of an installed package, given the others.
        dialect: what the service has to answer in, so that none has to ask the frontend.
    """
    private = application.working_directory is None
    folder = root / "work" / executor_id if private else Path(application.working_directory or "")
    scratch = folder / "work" / application.name / "tmp"
    socket = sockets / f"{executor_id[:SOCKET_NAME]}.sock"
    level = environ.get("RUST_LOG", "info")
    ours = {
        "RUST_LOG": level,
        "FLAME_LOG": level,
        FLAME_INSTANCE_ENDPOINT: str(socket),
        "FLAME_ENDPOINT": endpoint,
        "FLAME_CACHE_ENDPOINT": cache_endpoint,
        "FLAME_CA_FILE": ca_file,
        "PWD": str(folder),
        "FLAME_DIALECT": dialect.value,
    }
    child = _variables(application, environ, ours)
    for name in ("TMPDIR", "TEMP", "TMP"):
        child.setdefault(name, str(scratch))
    child.update(package(child) if package is not None else {})
    command, arguments = replaced(
        application.command or "", tuple(application.arguments or ()), child
    )
    return Launch(
        command=expand(command, child, environ),
        arguments=tuple(expand(one, child, environ) for one in arguments),
        environ=child,
        folder=folder,
        private=private,
        scratch=scratch,
        socket=socket,
        stdout=folder / f"{executor_id}.out",
        stderr=folder / f"{executor_id}.err",
    )


def _variables(
    application: Application, environ: Mapping[str, str], ours: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the inherited variables, then the application's, then ours that have a value."""
    child = dict(environ)
    for name, text in (application.environments or {}).items():
        child[name] = expand(text, environ)
    child.update({name: value for name, value in ours.items() if value is not None})
    return child
