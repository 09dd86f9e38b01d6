"""How the applications that every engine has run without an engine's installation. Pure.

Their commands are files below ``${FLAME_HOME}``. Where that is not set, the embedded cluster runs
the same services by its own Python: those of scripts and pings, and whatever a runner's application
starts by ``uv run ... python``. Where it is set, the commands are what they say.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

OWN_VERSION = "{}.{}".format(*sys.version_info)
_HOME = "${FLAME_HOME}/bin/"
_PROGRAMS = {
    f"{_HOME}flmexec-service": ("-m", "flamepy.tools.flmexec"),
    f"{_HOME}flmping-service": ("-m", "flamepy.tools.flmping"),
}
_RUN = ("run", "--python", "python${FLAME_PYTHON_VERSION}", "python")


def replaced(
    command: str, arguments: tuple[str, ...], environ: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Return the command and arguments that do the same by this Python.

    Args:
        command: of an application, variables not yet replaced.
        arguments: of it.
        environ: of its process; ``FLAME_HOME`` leaves everything as it is, and
            ``FLAME_PYTHON_VERSION`` asks for another Python.
    """
    if "FLAME_HOME" in environ:
        return command, arguments
    program = _PROGRAMS.get(command)
    if program is not None:
        return sys.executable, (*program, *arguments)
    if command == f"{_HOME}uv" and arguments[: len(_RUN)] == _RUN:
        return python_of(environ), arguments[len(_RUN) :]
    return command, arguments


def python_of(environ: Mapping[str, str]) -> str:
    """Return the Python that ``FLAME_PYTHON_VERSION`` asks for; this one by default."""
    wanted = environ.get("FLAME_PYTHON_VERSION", OWN_VERSION)
    return sys.executable if wanted in ("", OWN_VERSION) else f"python{wanted}"
