"""``Guard``: refuses to load a pickled function under another Python's minor version.

A function that is pickled by value is bytecode. Bytecode of 3.11 loads under 3.12 and crashes the
process when it is called; 3.10 fails with a riddle. The guard is the first value of the pickled
state, so it is loaded before the function, and raises a sentence there. It consists of builtins:
a service of the official SDK runs it too.
"""

from __future__ import annotations

import sys
from typing import Any

_EXPRESSION = (
    "(lambda s: None if s.version_info[:2] == {version} else (_ for _ in ()).throw(RuntimeError("
    "'made by Python {name}, this service runs %d.%d.%d: give Runner(python_version=...) the "
    "Python of this program, or run the program with that of the cluster' % s.version_info[:3])"
    "))(__import__('sys'))"
)


class Guard:
    """Pickles as an expression that is None under this Python, and raises under another."""

    def __reduce__(self) -> tuple[Any, ...]:
        version = tuple(sys.version_info[:2])
        name = ".".join(map(str, version))
        return eval, (_EXPRESSION.format(version=version, name=name),)
