"""Log records of threads that serve others are handled on the thread ``flamepy-log``.

A handler is code of the program's: it may block, wait for a lock that the program holds, or make a
call that needs the very thread that logs. So from the first loop on, ``Logger.handle`` puts a
record of such a thread - of flamepy, asyncio, gRPC or others - into a bounded queue, from which one
thread takes them in order. Records of other threads are handled as usual. Records that find the
queue full are dropped and counted; the count is logged once the queue has room again, in one line
a minute at most.

What a handler or a filter raises for a record of flamepy is printed and goes no further, on any
thread: most of our records are written where something has failed already, and a second error there
would end a thread that others depend on.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

from flamepy.errors import ResourceExhaustedError
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.repeats import EVERY
from flamepy.runtime.serving import served_by

logger = logging.getLogger(__name__)

NAME = "flamepy-log"
LIMIT = 10_000  # records
IDLE = 1.0  # seconds after which the thread ends
AT_EXIT = 2.0  # seconds that the interpreter's end waits for handlers

_Item = tuple[logging.Logger, logging.LogRecord]


class Relay:
    """The queue of log records and the thread that handles them. Safe from any thread.

    Args:
        handle: what ``Logger.handle`` did.
        limit: records that wait at most.
    """

    def __init__(
        self, handle: Callable[[logging.Logger, logging.LogRecord], None], *, limit: int = LIMIT
    ) -> None:
        self._original = handle
        self._limit = limit
        self._items: SimpleQueue[_Item | Flag] = SimpleQueue()
        self._claims = Claims()  # who starts the thread
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)
        self.dropped = 0
        self._reported = 0
        self._reported_at = float("-inf")

    def handle(self, of: logging.Logger, record: logging.LogRecord) -> None:
        """Handle a record, here or on the thread."""
        if served_by() is None or _is_quick(of, record):
            if record.name.partition(".")[0] == "flamepy":
                self._safely(of, record)
            else:
                self._original(of, record)
        elif self._items.qsize() < self._limit:
            self._items.put((of, record))
            self._ensure_thread()
        else:
            self.dropped = next(self._numbers)

    def _ensure_thread(self) -> bool:
        if not self._claims.take("thread"):
            return True
        try:
            threads.start(self._run, name=NAME)
        except BaseException as error:
            self._claims.give_back("thread")
            if not isinstance(error, ResourceExhaustedError):
                raise
            return False  # the next record tries again
        return True

    def _run(self) -> None:
        self._thread = threading.current_thread()
        while True:
            self._work(IDLE)
            self._claims.give_back("thread")
            if self._items.empty() or not self._claims.take("thread"):
                return

    def _work(self, idle: float, limit: float | None = None) -> None:
        while limit is None or monotonic() < limit:
            try:
                item = self._items.get(timeout=idle)
            except Empty:
                return
            if isinstance(item, Flag):
                self._report_dropped()
                item.set()
            else:
                self._safely(*item)
            del item
            if self._items.empty() and monotonic() - self._reported_at >= EVERY:
                self._report_dropped()

    def _report_dropped(self) -> None:
        """Log how many records were dropped since the last report."""
        if self.dropped > self._reported:
            left_out, self._reported = self.dropped - self._reported, self.dropped
            self._reported_at = monotonic()
            logger.warning(
                "%d log records were left out: handlers are slower than what is logged", left_out
            )

    def _safely(self, of: logging.Logger, record: logging.LogRecord) -> None:
        try:
            self._original(of, record)
        except BaseException as error:  # the records of others still come
            is_main = threading.current_thread() is threading.main_thread()
            if is_main and not isinstance(error, Exception):
                raise  # Ctrl-C, in a handler on the main thread
            if logging.raiseExceptions:
                with suppress(Exception):  # standard error is closed, or the text raises
                    traceback.print_exc()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was logged by now is handled; False if that takes longer."""
        if served_by() is not None or threading.current_thread() is self._thread:
            return False  # it would wait for itself
        if self._items.empty() and not self._claims.is_taken("thread"):
            self._report_dropped()
            return True
        reached = Flag()
        self._items.put(reached)
        if not self._ensure_thread():
            self._work(0.0, monotonic() + timeout)
        return reached.wait(timeout)


def _is_quick(of: logging.Logger, record: logging.LogRecord) -> bool:
    """Return True if no handler of the record can block; such a one says ``never_blocks``."""
    found, at = False, of
    while at is not None:
        for handler in at.handlers:
            found = True
            if not getattr(handler, "never_blocks", False) and record.levelno >= handler.level:
                return False
        if not at.propagate:
            break
        at = at.parent  # type: ignore[assignment]  # None ends it
    last = logging.lastResort
    return found or last is None or record.levelno < last.level


class _Installed:
    """The relay of this process, once there is one."""

    def __init__(self) -> None:
        self.relay: Relay | None = None
        self._claims = Claims()

    def install(self) -> None:
        if not self._claims.take("relay"):
            return
        made = self.relay = Relay(logging.Logger.handle)

        def handle(self_: logging.Logger, record: logging.LogRecord) -> None:
            (self.relay or made).handle(self_, record)

        logging.Logger.handle = handle  # type: ignore[method-assign,assignment]  # once, for all
        atexit.register(flush, AT_EXIT)

    def renew(self) -> None:
        """In a forked child: the thread, and what is queued, are the parent's."""
        if self.relay is not None:
            self.relay = Relay(self.relay._original)


_installed = _Installed()


def install() -> None:
    """Relay from now on what threads that serve others log. Idempotent."""
    if _installed.relay is None:
        _installed.install()


def flush(timeout: float) -> bool:
    """Wait until all that such threads logged by now is handled; False if that takes longer."""
    relay = _installed.relay
    if relay is None:
        return True
    with suppress(ResourceExhaustedError):
        return relay.flush(timeout)
    return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_installed.renew)
