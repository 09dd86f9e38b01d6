"""Surroundings in which nothing of ours can work: the first use says so, with the way out."""

from __future__ import annotations

import asyncio
import sys

from flamepy.errors import InvalidStateError
from flamepy.runtime.loops import stands_still


def check_threads() -> None:
    """Refuse to begin, or to wait, where threads were replaced: ours would never run.

    Raises:
        InvalidStateError: gevent or eventlet has patched them; names the way out.
    """
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and any(map(gevent.is_module_patched, ("_thread", "threading"))):
        raise _patched("gevent", "gevent.monkey.patch_all(thread=False)")
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        raise _patched("eventlet", "eventlet.monkey_patch(thread=False)")


def _patched(library: str, way_out: str) -> InvalidStateError:
    return InvalidStateError(
        f"{library} has patched the threads of this process, so that those of flamepy and of gRPC "
        f"would never run: leave threads out, {way_out}, or use flamepy in a process of its own"
    )


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
