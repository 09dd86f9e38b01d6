"""Standard error as JSON lines, whatever writes to it: ``--log-format json``.

Libraries write there past ``logging``: warnings, tracebacks of threads, gRPC's core and programs
that this one starts, the last two to the descriptor itself. So descriptor 2 becomes a pipe, of
which the thread ``flamepy-stderr`` makes a record of each line, and what Python has hooks for
becomes one record with its traceback. Logs go to the descriptor that was standard error before.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from types import TracebackType

from flamepy.cli.serving.line_writer import LineHandler
from flamepy.errors import ResourceExhaustedError
from flamepy.runtime import threads
from flamepy.texts import repr_of

NAME = "flamepy-stderr"
SOURCE = "stderr"  # the logger of lines that say nothing of themselves
PIECE = 1 << 16  # bytes of a line; a longer one becomes several
AT_EXIT = 1.0  # seconds that the end waits for the last lines

logger = logging.getLogger(__name__)


def capture(handler: LineHandler) -> None:
    """Make records of all that is written to standard error from now on; once in a process.

    Args:
        handler: takes the records; it writes to another descriptor than 2.
    """
    _take_hooks()
    reading, writing = os.pipe()
    try:
        reader = threads.start(_read, reading, handler, name=NAME)
    except ResourceExhaustedError as error:  # only what has no hook is missed
        os.close(reading)
        logger.warning("standard error is not captured: %s", error.message)
    else:
        os.dup2(writing, 2)  # which children inherit, as they inherit standard error
        atexit.register(_end, reader)
    finally:
        os.close(writing)


def _read(descriptor: int, handler: LineHandler) -> None:
    """Hand on each line until no process has the pipe's other end."""
    rest = b""
    while data := os.read(descriptor, PIECE):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _hand_on(handler, line)
        if len(rest) >= PIECE:
            _hand_on(handler, rest)
            rest = b""
    _hand_on(handler, rest)


def _hand_on(handler: LineHandler, line: bytes) -> None:
    text = line.decode("utf-8", "backslashreplace").rstrip()
    if text:
        handler.handle(logging.LogRecord(SOURCE, logging.WARNING, "", 0, "%s", (text,), None))


def _end(reader: threading.Thread) -> None:
    """Wait for what was written by now; what comes later, as the interpreter ends, is left out."""
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # the pipe's last end, unless a child has one
    os.close(null)
    reader.join(AT_EXIT)


def _take_hooks() -> None:
    """Log what Python would print: warnings and uncaught exceptions."""
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is SystemExit or found.exc_value is None:
        return  # as in Python's own hook
    name = found.thread.name if found.thread is not None else "?"
    error = (found.exc_type, found.exc_value, found.exc_traceback)
    logger.error("uncaught %s in thread %s", found.exc_type.__name__, name, exc_info=error)


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    text = found.err_msg or "exception ignored in"
    error = found.exc_value or found.exc_type()
    info = (found.exc_type, error, found.exc_traceback)
    logger.error("%s: %s", text, repr_of(found.object), exc_info=info)
