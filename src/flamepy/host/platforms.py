"""What a platform may lack, looked up where it is needed instead of at an import.

Windows has no ``fcntl``, no Unix sockets, no process groups and no user ids; other Pythons are
built without one or another. What needs such a thing is refused with an error that names it.
Imports nothing of flamepy but ``errors``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from flamepy.errors import ConfigError

LOCKS = ("fcntl.flock",)
SERVICE_PROCESSES = ("socket.AF_UNIX", "os.killpg", "signal.SIGKILL")


def missing(*features: str) -> list[str]:
    """Return those of the features, such as ``"os.killpg"``, that this Python does not have."""
    return [one for one in features if feature(one) is None]


def feature(name: str) -> Any:  # Any: a function or a number of the standard library
    """Return what is called so, such as ``"fcntl.flock"``, or None where it is missing."""
    module, _, attribute = name.partition(".")
    try:
        return getattr(import_module(module), attribute, None)
    except ImportError:
        return None


def require(what: str, *features: str, instead: str) -> None:
    """Refuse what this platform cannot do.

    Args:
        what: the thing that needs the features; the error begins with it.
        features: such as ``"fcntl.flock"``.
        instead: the way out.

    Raises:
        ConfigError: one of them is missing.
    """
    lacking = missing(*features)
    if lacking:
        raise ConfigError(f"{what} {_needs(lacking)}: {instead}")


def _needs(lacking: list[str]) -> str:
    return (
        f"needs {', '.join(lacking)}, which Python does not have on this platform ({sys.platform})"
    )


def without(*features: str) -> str | None:
    """Return "needs X, which ..." about the features that are missing, or None if none is."""
    lacking = missing(*features)
    return _needs(lacking) if lacking else None
