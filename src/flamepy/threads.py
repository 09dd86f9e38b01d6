"""Threads of ours: how they start, and which of them must never block.

A thread that serves others - an event loop, the port of health, a handler of the object cache -
waits for itself if it makes a blocking call of flamepy. No code of ours does so, but a finalizer
of the user's runs on whichever thread the garbage collector happens to run. Such a call is refused
there with an error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flamepy.errors import InvalidStateError, ResourceExhaustedError


class _Here(threading.local):
    serves: str | None = None  # the name of the thread that this is, if it must not block


_here = _Here()


def serve(name: str) -> None:
    """Note that this thread serves others from now on."""
    _here.serves = name


@contextmanager
def serving(name: str) -> Iterator[None]:
    """Note so for a thread that is not ours, while it runs a handler of ours."""
    before, _here.serves = _here.serves, name
    try:
        yield
    finally:
        _here.serves = before


def is_serving() -> bool:
    """Return True on a thread that serves others."""
    return _here.serves is not None


def check_may_block() -> None:
    """Return if this thread may make a blocking call.

    Raises:
        InvalidStateError: it serves others, and would wait for itself.
    """
    if _here.serves is not None:
        raise InvalidStateError(
            f"a blocking call on the thread {_here.serves!r} would wait for itself for ever; "
            "call it from another thread, or use flamepy.aio"
        )


def start(target: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
    """Start a daemon thread; nothing is left of one that cannot be started.

    Raises:
        ResourceExhaustedError: the system has no room for another thread.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ResourceExhaustedError(
            f"the thread {name!r} cannot be started: {error}; this process, its user or its "
            "container has as many threads as it may have (ulimit -u, pids.max): try again when "
            "some have ended, or raise the limit"
        ) from error
    return thread


def _serve_nobody() -> None:
    _here.serves = None  # the only thread of a forked child is a copy of the one that forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_serve_nobody)
