"""Which thread waits for which, so that no two ever wait for each other.

A thread that is about to wait for another one says so here, and learns whether that other one
waits for it, directly or through others. ``worker`` asks before it joins a thread,
``async_loop`` notes that a thread waits for the loop of the coroutines.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

Edges = dict[threading.Thread, tuple[threading.Thread, ...]]


class _Waits:
    """The threads that each waiting thread waits for, the last one last.

    There are several where a signal handler or a finalizer waits on a thread that waits already.
    There is no lock: a thread changes its own entry alone, in one operation, and looks at the
    others after it. Of two that come to wait for each other at the same time at least one sees
    the other.
    """

    def __init__(self) -> None:
        self.edges: Edges = {}

    def leads_to(self, start: threading.Thread, end: threading.Thread) -> bool:
        seen, ahead = set[threading.Thread](), [start]
        while ahead:
            one = ahead.pop()
            if one is end:
                return True
            if one not in seen:
                seen.add(one)
                ahead.extend(self.edges.get(one, ()))
        return False


_waits = _Waits()


@contextmanager
def waiting_for(target: threading.Thread) -> Iterator[bool]:
    """Record that this thread waits for ``target``; yields False where it must not.

    That is where ``target`` waits for this thread, or is this thread.
    """
    edges, own = _waits.edges, threading.current_thread()
    before = edges.get(own, ())
    edges[own] = (*before, target)
    sensible = not _waits.leads_to(target, own)
    if not sensible:
        _restore(edges, own, before)
    try:
        yield sensible
    finally:
        if sensible:
            _restore(edges, own, before)


def _restore(edges: Edges, own: threading.Thread, before: tuple[threading.Thread, ...]) -> None:
    if before:
        edges[own] = before
    else:
        edges.pop(own, None)


def waits_for_us(thread: threading.Thread) -> bool:
    """Return True if a thread waits for this one, directly or through others, or is this one."""
    return _waits.leads_to(thread, threading.current_thread())


def reset_after_fork() -> None:
    """Forget the parent's waits."""
    global _waits
    _waits = _Waits()
