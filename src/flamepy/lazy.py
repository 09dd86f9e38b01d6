"""Names of a package that are imported at their first use, and look like any others meanwhile.

Imports nothing of flamepy, so that a package that uses it stays as light as before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], submodules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and the ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        homes: the modules that have the names, each with its names, separated by blanks.
        submodules: modules of the package that are attributes before anybody has imported them.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    modules = frozenset(submodules)

    def get(name: str) -> Any:  # Any: a module attribute of whatever kind
        if name in modules:
            return import_module(f"{package}.{name}")  # which makes it an attribute
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        there = vars(sys.modules[package]).items()
        own = {name for name, value in there if _is_own(name, value, package)}
        return sorted(own | home.keys() | modules)

    return get, names


def _is_own(name: str, value: object, package: str) -> bool:
    """Return True for ``__doc__`` and the like, and for submodules that were imported."""
    if isinstance(value, ModuleType):
        return value.__name__ == f"{package}.{name}" and not name.startswith("_")
    return name.startswith("__")
