"""Which thread waits for which, so that no two ever wait for each other.

A thread that is about to wait for another one says so here, and learns whether that other one
waits for it, directly or through others. ``dispatch`` asks before it joins a thread,
``async_handlers`` notes that a thread waits for the loop of the coroutines.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Waits:
    """Owns the lock over the edges; nothing else runs under it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.edges: dict[threading.Thread, threading.Thread] = {}

    def leads_to(self, start: threading.Thread, end: threading.Thread) -> bool:
        seen: threading.Thread | None = start
        while seen is not None:
            if seen is end:
                return True
            seen = self.edges.get(seen)
        return False


_waits = _Waits()


@contextmanager
def waiting_for(target: threading.Thread) -> Iterator[bool]:
    """Note that this thread waits for ``target``; yields False where it must not.

    That is where ``target`` waits for this thread, or is this thread.
    """
    waits, own = _waits, threading.current_thread()
    with waits.lock:
        sensible = not waits.leads_to(target, own)
        if sensible:
            waits.edges[own] = target
    try:
        yield sensible
    finally:
        if sensible:
            with waits.lock:
                waits.edges.pop(own, None)


def waits_for_us(thread: threading.Thread) -> bool:
    """Return True if a thread waits for this one, directly or through others, or is this one."""
    with _waits.lock:
        return _waits.leads_to(thread, threading.current_thread())


def reset_after_fork() -> None:
    """Forget the parent's waits; its lock may have been held when the child was made."""
    global _waits
    _waits = _Waits()
