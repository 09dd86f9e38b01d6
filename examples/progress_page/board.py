"""What is true now, by session, for any number of pages that read it."""

import threading

from flamepy.informers import SessionEvent, SessionInformer, SessionProgress

KEEP_ALIVE = 15.0  # seconds after which a client that is gone is noticed


class Board(SessionInformer):
    """What is true now, by session. A slow client skips states and never delays an event."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._sessions: dict[str, tuple[int, dict[str, object]]] = {}
        self._closed = False

    def on_progress(self, counts: SessionProgress) -> None:
        self._show(counts.event)

    def on_opened(self, event: SessionEvent) -> None:
        self._show(event)

    on_drained = on_closed = on_opened

    def _show(self, event: SessionEvent | None) -> None:
        if event is None:
            return
        now = event.counts
        ended = now.succeed + now.failed + now.cancelled
        line = {
            "session": event.session_id,
            "tasks": ended + now.pending + now.running,
            "ended": ended,
            "failed": now.failed,
        }
        with self._changed:
            self._version += 1
            self._sessions[event.session_id] = (self._version, line)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def newer(self, version: int) -> tuple[int, list[dict[str, object]]] | None:
        """Wait for changes after a version; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version or self._closed, KEEP_ALIVE)
            if self._closed:
                return None
            changes = sorted(one for one in self._sessions.values() if one[0] > version)
            return self._version, [line for _, line in changes]
