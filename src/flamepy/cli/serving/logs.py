"""Log lines for people and for machines: ``--log-format text|json``.

A record of the cluster carries its ids as fields (``local.services.changes``), which JSON shows as
keys. A busy cluster logs some thousand lines a second, so both formatters keep the text of the
second.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from flamepy.cli.serving.captured_stderr import capture
from flamepy.cli.serving.line_writer import LineHandler
from flamepy.texts import text_of

FORMATS = ("text", "json")
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """``TEXT``, with the time as ``logging`` writes it."""

    def __init__(self) -> None:
        super().__init__(TEXT)
        self._second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if record.exc_info or record.exc_text or record.stack_info:
            return super().format(record)
        time = self.formatTime(record)
        return f"{time} {record.levelname} {record.name}: {record.getMessage()}"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the local time, in ms."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, super().formatTime(record, datefmt).rpartition(",")[0])
        return f"{self._second[1]},{int(record.msecs):03d}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, fields, exception."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")
        self._encode = json.JSONEncoder(default=text_of, allow_nan=False).encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": self._time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return self._encode(line)
        except (TypeError, ValueError):  # a number or a key that JSON lacks, or a circle
            return self._encode({name: text_of(value) for name, value in line.items()})

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self._second[1]}.{int(record.msecs):03d}+00:00"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "flame", None)
    return dict(fields) if isinstance(fields, dict) else {}


def set_up_logging(style: str, level: int) -> LineHandler | None:
    """Log to standard error from now on, what is of ``level`` or above; return what writes.

    As JSON it takes standard error over: what anything else writes there becomes a record, too.
    None where standard error is no file of the system.
    """
    as_json = style == "json"
    handler = _handler(apart=as_json)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    if as_json and isinstance(handler, LineHandler):
        capture(handler)
    return handler if isinstance(handler, LineHandler) else None


def _handler(*, apart: bool) -> logging.Handler:
    """Return a handler for standard error that never waits for its reader.

    Args:
        apart: it has a descriptor of its own.
    """
    try:
        descriptor = sys.stderr.fileno()
        sys.stderr.flush()
        if apart and descriptor == 2:
            descriptor = os.dup(2)
        return LineHandler(descriptor, sys.stderr.encoding)
    except (AttributeError, OSError, ValueError):  # it is not a file of the system, or closed
        return logging.StreamHandler(sys.stderr)


def trim_records() -> None:
    """Leave out of all records what ``FORMATS`` do not show; for a process that is all ours.

    These are the switches of the logging module's documentation ("Optimization"): callers,
    threads, processes and asyncio tasks are not looked up.
    """
    logging._srcfile = None
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, False)  # the last is of Python 3.12 and later
