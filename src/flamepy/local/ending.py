"""Recognizes errors caused by interpreter exit, which are no outcome of a task.

Once the main program is over, Python refuses new threads and work for its pools, and closes what
user code depends on, while daemon threads, ours among them, still run. An error of a service that
comes of that says nothing of its task.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

_SAYS_SO = re.compile(r"(interpreter|after|executor) shutdown", re.IGNORECASE)


def is_cut_short(error: BaseException) -> bool:
    """Return True if an error comes of the interpreter's end.

    Those of threads and pools say so, in their text, and may be the cause or the context of
    ``error``. When no thread is left for which the interpreter waits, every error counts: exit
    handlers run, and may have closed what was in use.
    """
    if _is_last():
        return True
    said = any(isinstance(one, RuntimeError) and _SAYS_SO.search(str(one)) for one in _chain(error))
    return said and _pools_are_closed()


def _is_last() -> bool:
    """Return True if the main program and every thread that is not a daemon have ended."""
    return all(one.daemon or not one.is_alive() for one in threading.enumerate())


def _pools_are_closed() -> bool:
    with ThreadPoolExecutor(1) as probe:
        try:
            probe.submit(int)
        except RuntimeError:
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
