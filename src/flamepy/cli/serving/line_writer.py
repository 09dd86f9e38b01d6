"""Writes log lines to a descriptor whose reader may be slow, such as a parent process's pipe.

A logging thread only puts a line into a bounded queue; the thread ``flamepy-lines`` writes. Lines
that find the queue full are dropped and counted; the count is logged when the reader catches up, in
one line a minute at most. No lock is held during a write, and Python's own streams are not used, so
that neither ``logging.shutdown`` nor interpreter exit waits for a reader.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import stat
from contextlib import suppress

from flamepy.errors import ResourceExhaustedError
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.repeats import EVERY

NAME = "flamepy-lines"
LIMIT = 10_000  # lines
CHUNK = 4096  # bytes, which a pipe that is ready takes at once
LOOK = 0.2  # seconds
IDLE = 1.0
AT_EXIT = 1.0  # seconds that the end waits for a reader

_Item = bytes | Flag


class LineHandler(logging.Handler):
    """Writes records as lines, without ever waiting for their reader.

    Args:
        descriptor: to write to.
        encoding: of the lines.
        limit: lines that wait at most.
    """

    never_blocks = True  # for ``log_relay``: it may be called on a loop

    def __init__(self, descriptor: int, encoding: str = "utf-8", *, limit: int = LIMIT) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding
        self._limit = limit
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._items: SimpleQueue[_Item] = SimpleQueue()
        self._claims = Claims()  # who starts the thread
        self._numbers = itertools.count(1)
        self.dropped = 0
        self._reported = 0
        self._reported_at = float("-inf")
        self._until = float("inf")  # when the end waits no longer
        self._kept = (b"", b"")  # what removes the kept line, and that line

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line."""
        if self._items.qsize() >= self._limit:
            self.dropped = next(self._numbers)
            return
        try:
            line = self._line(record)
        except Exception as error:  # the text of it might be what raises
            line = self._instead(record, error)
        remove, kept = self._kept
        self._items.put(remove + line + kept if kept else line)
        self._ensure_thread()

    def show(self, remove: str, text: str) -> None:
        """Keep a text below all lines from now on, in the place of the one before.

        Args:
            remove: what removes a kept text from a terminal's line.
            text: without a line end; empty to keep none.
        """
        kept = text.encode(self._encoding, "backslashreplace")
        self._kept = (remove.encode(), kept)
        if self._items.qsize() < self._limit:
            self._items.put(remove.encode() + kept)
            self._ensure_thread()

    def _instead(self, record: logging.LogRecord, error: Exception) -> bytes:
        text = "a log line of %s could not be made: %s"
        values = (record.name, type(error).__name__)
        line = logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, values, None)
        return self._line(line)

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

    def _ensure_thread(self) -> None:
        if self._claims.take("thread"):
            try:
                threads.start(self._run, name=NAME)
            except BaseException as error:
                self._claims.give_back("thread")
                if not isinstance(error, ResourceExhaustedError):
                    raise

    def flush(self) -> None:
        """Wait until all is written, ``AT_EXIT`` seconds at most; for the end of the process."""
        if self._items.empty() and not self._claims.is_taken("thread"):
            return
        reached = Flag()
        self._items.put(reached)
        self._ensure_thread()
        if not reached.wait(AT_EXIT):
            self._until = monotonic()

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        while True:
            self._work()
            self._claims.give_back("thread")
            if self._items.empty() or not self._claims.take("thread"):
                return

    def _work(self) -> None:
        lines: list[bytes] = []
        size, flags = 0, list[Flag]()
        while True:
            try:
                item = self._items.get(timeout=0.0 if lines or flags else IDLE)
            except Empty:
                if not lines and not flags:
                    return
                item = None
            if isinstance(item, bytes):
                lines.append(item)
                size += len(item)
            elif item is not None:
                flags.append(item)
            if item is None or size >= CHUNK or flags:
                self._write(b"".join(lines))
                lines, size = [], 0
                if flags or (self._items.empty() and monotonic() - self._reported_at >= EVERY):
                    self._report_dropped()
                for one in flags:
                    one.set()
                flags = []

    def _report_dropped(self) -> None:
        if self.dropped > self._reported:
            left_out, self._reported = self.dropped - self._reported, self.dropped
            self._reported_at = monotonic()
            text = "%d log lines were left out: their reader was too slow"
            record = logging.LogRecord(
                __name__, logging.WARNING, __file__, 0, text, (left_out,), None
            )
            self._write(self._line(record))

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the reader is gone
            while data and self._is_ready():
                written = os.write(self._descriptor, data if self._is_file else data[:CHUNK])
                data = data[written:]

    def _is_ready(self) -> bool:
        """Wait until a write does not block; False where the end waits no longer."""
        if self._is_file or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while monotonic() < self._until:
            if poll.poll(LOOK * 1000):
                return True
        return False
