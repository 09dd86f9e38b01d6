"""The process's implicit link, which module-level calls and ``Reactor()`` share.

Made from ``FlameContext()`` at its first use. A forked child gets its own: the parent's thread
does not exist there. Tests reset it. It is not closed at interpreter exit: that would wait for the
engine, and end the waits of other threads with unexpected errors.
"""

from __future__ import annotations

import os
import threading

from flamepy.config import FlameContext
from flamepy.errors import FlameError
from flamepy.rpc.link import Link
from flamepy.rpc.transport.loop_thread import ReactorLoop


class _Holder:
    """Owns the implicit link.

    The lock is held for the choice between links alone; a signal handler or a finalizer that comes
    between may take it again, and what it chose stays.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.link: Link | None = None


_holder = _Holder()


def implicit_link() -> Link:
    """Return the process's implicit synchronous link.

    Raises:
        ConfigError: the configuration is unusable.
    """
    link = _holder.link
    if link is not None and not link.closed:
        return link
    made = Link(FlameContext(), reactor=ReactorLoop())  # no thread runs before its first use
    with _holder.lock:
        if _holder.link is None or _holder.link.closed:
            _holder.link = made
        return _holder.link


def reset_implicit_link() -> None:
    """Close the implicit link, if there is one; the next use makes another."""
    with _holder.lock:
        link, _holder.link = _holder.link, None
    if link is not None:
        close_link(link)


def close_link(link: Link, timeout: float = 5.0) -> None:
    """Close a synchronous link and end its thread, in at most about ``timeout`` seconds."""
    loop = link.reactor
    if loop is None:
        return
    try:
        if not link.closed:
            loop.run(link.aclose(), timeout=timeout)
    except FlameError:
        link.closed = True  # the loop is gone or stuck: what is left goes with its thread
    finally:
        loop.stop(timeout)


def _after_fork_in_child() -> None:
    # The parent's loop, channel and threads do not live here; a fresh holder makes fresh ones.
    global _holder
    _holder = _Holder()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
