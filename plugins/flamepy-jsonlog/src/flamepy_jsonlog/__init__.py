"""One JSON line per event of a Flame engine: an informer plugin, and the template for yours."""

from __future__ import annotations

import json
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from flamepy.informers import (
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TaskInformer,
)

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # not generic at run time before Python 3.11


class JsonLog(TaskInformer, SessionInformer):
    """Writes each event of tasks and sessions as one line.

    Args:
        path: the file to append to; "-" is standard output.
        initial: also write the state before this informer was registered.
        max_bytes: the size at which the file is renamed to ``path.1`` and a new one begun; 0 for
            any size.
        keep: how many such files are kept.

    Raises:
        ValueError: ``max_bytes`` or ``keep`` is out of its range.
    """

    def __init__(
        self, *, path: str = "-", initial: bool = True, max_bytes: int = 0, keep: int = 5
    ) -> None:
        for name, value, least in (("max_bytes", max_bytes, 0), ("keep", keep, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")
        self._path = None if path == "-" else Path(path)
        self._initial = initial
        self._limits = max_bytes, keep
        self._file: _File | _StandardOutput | None = None

    def start(self) -> None:
        """Open the file; not in the constructor, so that `flamepy plugins check` opens nothing."""
        self._file = _StandardOutput(sys.stdout)
        if self._path is not None:
            size, keep = self._limits
            self._file = _File(self._path, maxBytes=size, backupCount=keep, encoding="utf-8")

    def reopen(self) -> None:
        """Open the file again, on SIGHUP: logrotate has renamed it."""
        self.close()
        self.start()

    def _write(self, event: TaskEvent | SessionEvent | None) -> None:
        if self._file and event and (self._initial or not event.initial):
            self._file.handle(logging.makeLogRecord({"msg": json.dumps(event.to_dict())}))

    on_transition = on_opened = on_drained = on_closed = on_event = _write

    def on_progress(self, counts: SessionProgress) -> None:
        """Write a session's counters."""
        self._write(counts.event)

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        """Write a deleted session; a deleted task comes to ``on_transition`` as well."""
        if isinstance(event, SessionEvent):
            self._write(event)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class _Raising(logging.Handler):
    """A handler of ``logging`` whose errors are the callback's: the event is handled again."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


class _File(_Raising, RotatingFileHandler):
    """Writes to a file that is renamed when it is full."""


class _StandardOutput(_Raising, _StreamHandler):
    """Writes to standard output, which ``close`` leaves open."""
