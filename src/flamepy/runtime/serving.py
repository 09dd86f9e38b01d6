"""Threads that serve others, which must never block. Imports nothing of flamepy.

An event loop of ours, the port of health, a handler of the object cache: if such a thread makes a
blocking call of flamepy it waits for itself. No code of ours does so, but finalizers of the user's
run on whichever thread the garbage collector happens to run. ``threads`` refuses the call there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Here(threading.local):
    name: str | None = None  # of this thread, if it serves others


_here = _Here()


@contextmanager
def serving(name: str | None = None) -> Iterator[None]:
    """Note that this thread serves others meanwhile; ``name`` is for errors."""
    before, _here.name = _here.name, name or threading.current_thread().name
    try:
        yield
    finally:
        _here.name = before


def served_by() -> str | None:
    """Return the name of this thread if it serves others, else None."""
    return _here.name


def _serve_nobody() -> None:
    _here.name = None  # the only thread of a forked child is a copy of the one that forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_serve_nobody)
