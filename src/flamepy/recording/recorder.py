"""``Recorder``: the informer that writes every observed event to a file.

With a checkpoint and a ``uid`` a later process continues where this one stopped, and records what
happened meanwhile. Of events that come again then, those that the file has are left out.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from flamepy._version import __version__
from flamepy.informers.informer import SessionInformer, SessionProgress, TaskInformer
from flamepy.recording.file import RecordingFile
from flamepy.recording.lines import FORMAT, fields_of
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent

MAX_SIZE = 1 << 30  # bytes


class Recorder(TaskInformer, SessionInformer):
    """Writes what it is called with; register it with one worker and a large queue.

    Args:
        file: where to.
        max_size: bytes of the file, after which nothing more is written.
        full: called once when that is reached, on the informer's thread.
        about: what the header says beside versions and time: endpoint, scope.
    """

    def __init__(
        self,
        file: RecordingFile,
        *,
        max_size: int = MAX_SIZE,
        full: Callable[[], None] = lambda: None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.file = file
        self.events = 0
        self.full = False
        self._max_size = max_size
        self._report_full = full
        self._known = file.last_keys  # until it is synced
        self._write(
            {
                "type": "header",
                "format": FORMAT,
                "flamepy": __version__,
                "python": platform.python_version(),
                "at": _now(),
                "resumed": file.resumed,
                **(about or {}),
            }
        )

    def _write(self, fields: Mapping[str, Any]) -> None:
        if self.full:
            return
        self.file.write(fields)
        if self.file.size >= self._max_size:
            self.full = True
            self._report_full()

    def _event(self, event: TaskEvent | SessionEvent) -> None:
        if not self.full and event.key not in self._known:
            self.events += 1
            self._write(fields_of(event))

    def on_transition(self, event: TaskEvent) -> None:
        """Write the event of a task."""
        self._event(event)

    def on_progress(self, counts: SessionProgress) -> None:
        """Write the event that the counters came with."""
        assert counts.event is not None  # it comes from one
        self._event(counts.event)

    on_opened = on_drained = on_closed = on_event = _event

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        """Write the end of a session; that of a task is written by ``on_transition``."""
        if isinstance(event, SessionEvent):
            self._event(event)

    def on_connection(self, state: ConnectionState) -> None:
        """Write that the connection's state changed."""
        self._write({"type": "connection", "state": state.value, "at": _now()})

    def on_synced(self) -> None:
        """Write that the present state was delivered."""
        self._known = frozenset()
        self._write({"type": "synced", "at": _now()})

    def finish(self, reason: str) -> None:
        """Write why it ends, and close the file; after the last event."""
        self.full = False  # this line, too
        self._max_size = 1 << 62
        self._write({"type": "end", "reason": reason, "at": _now()})
        self.file.close()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
