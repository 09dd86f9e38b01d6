"""One JSON line per event of a Flame engine: an informer plugin, and the template for yours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from flamepy.informers import (
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TaskInformer,
)


class JsonLog(TaskInformer, SessionInformer):
    """Writes each event of tasks and sessions as one line.

    Args:
        path: the file to append to; "-" is standard output.
        initial: also write the state before this informer was registered.
    """

    def __init__(self, *, path: str = "-", initial: bool = True) -> None:
        self._path = None if path == "-" else Path(path)
        self._initial = initial
        self._file: TextIO | None = None

    def start(self) -> None:
        """Open the file; not in the constructor, so that `flamepy plugins check` opens nothing."""
        self._file = self._path.open("a", encoding="utf-8") if self._path else sys.stdout

    def _write(self, event: TaskEvent | SessionEvent | None) -> None:
        if self._file and event and (self._initial or not event.initial):
            self._file.write(json.dumps(event.to_dict()) + "\n")
            self._file.flush()

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
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()
