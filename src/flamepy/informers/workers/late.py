"""Threads that could not be started for want of room, and are tried again.

What waits for such a thread is kept. It is tried again by a timer, where a loop of ours found it
out, and whenever another worker gets something to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flamepy.errors import ResourceExhaustedError

logger = logging.getLogger(__name__)

AGAIN = 0.2  # seconds

Start = Callable[[], None]

_waiting: dict[Start, None] = {}
_trying: list[Start] = []  # said already


def add(start: Start, error: ResourceExhaustedError) -> None:
    """Call ``start`` again before long; it adds itself again if that fails."""
    if not _waiting and not _trying:
        logger.warning("%s; what it has to do waits", error.message)
    _waiting[start] = None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    loop.call_later(AGAIN, start_again)


def forget(start: Start) -> None:
    """Do not try this one again: nothing waits for its thread any more."""
    _waiting.pop(start, None)


def start_again() -> None:
    """Try those that wait, until one cannot be started."""
    for start in list(_waiting):
        if start in _waiting:
            _waiting.pop(start, None)
            _trying.append(start)
            try:
                start()
            finally:
                _trying.pop()
            if start in _waiting:
                return  # there is still no room


def reset_after_fork() -> None:
    """Forget the parent's: its threads do not belong here."""
    _waiting.clear()
