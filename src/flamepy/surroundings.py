"""Surroundings in which nothing of ours can work: the first use says so, with the way out."""

from __future__ import annotations

import asyncio

from flamepy.errors import InvalidStateError
from flamepy.loops import stands_still


def check_clock(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse to wait on a loop whose clock stands still: the wait would never end.

    Raises:
        InvalidStateError: a test stopped ``time.monotonic``, by which the loop counts.
    """
    if stands_still(loop):
        raise InvalidStateError(
            "this event loop's clock stands still: asyncio counts by time.monotonic(), which "
            "something replaced, such as freezegun; freeze_time(..., real_asyncio=True) leaves "
            "asyncio its clock, as time-machine does, and so does a loop of uvloop"
        )
