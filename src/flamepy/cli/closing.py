"""``flamepy sessions close``: tries until the engine allows it, and says what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flamepy.cli.engine import CALL_TIMEOUT
from flamepy.cli.showing.progress import Progress
from flamepy.errors import SessionBusyError
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState, TaskState

if TYPE_CHECKING:
    from flamepy.core import Connection

PAUSE = 0.2  # seconds between two tries
NAMED = 5  # tasks


class Closing:
    """The close of one session, which may take several tries.

    Args:
        connection: to the engine.
        name: the session's id.
        cancel_pending: False waits until no task is pending.
    """

    def __init__(self, connection: Connection, name: str, *, cancel_pending: bool) -> None:
        self._connection = connection
        self.name = name
        self._cancel_pending = cancel_pending
        self._info: SessionInfo | None = None

    def attempt(self) -> bool:
        """Close it if that is allowed now; return whether it is closed.

        Raises:
            SessionNotFoundError: no session has that id.
            FlameError: the engine refuses for another reason than a running task.
        """
        info = self._info = self._connection.get_session(self.name, timeout=CALL_TIMEOUT).info
        if info.state == SessionState.CLOSED:
            return True
        if info.counts.pending and not self._cancel_pending:
            return False
        try:
            self._connection.close_session(self.name, timeout=CALL_TIMEOUT)
        except SessionBusyError:
            return False
        return True

    def waiting_for(self) -> str:
        """Return what kept it from being closed, for a line of progress."""
        assert self._info is not None  # after an attempt
        counts = self._info.counts
        parts = [f"{counts.running:,} running"] if counts.running else []
        if counts.pending:
            parts.append(f"{counts.pending:,} pending")
        return f"session {self.name}: waiting for {', '.join(parts) or 'the engine'}"

    def obstacle(self) -> str:
        """Return why it is still open, which tasks run, and what to do."""
        assert self._info is not None  # after an attempt
        counts = self._info.counts
        some = "1 task runs" if counts.running == 1 else f"{counts.running:,} tasks run"
        text = f"session {repr_of(self.name)} is still open: {some}"
        numbers = self._running() if counts.running else []
        if numbers:
            text += f" (task {', '.join(numbers)})"
        if counts.pending:
            text += f", {counts.pending:,} wait"
        if counts.pending and not self._cancel_pending:
            return f"{text}; --cancel-pending cancels those that wait, --wait waits longer"
        return f"{text}; --wait waits longer"

    def _running(self) -> list[str]:
        session = self._connection.get_session(self.name, timeout=CALL_TIMEOUT)
        found = [one.id for one in session.list_tasks() if one.state == TaskState.RUNNING]
        return found if len(found) <= NAMED else [*found[:NAMED], "..."]


def wait_until_closed(closing: Closing, wait: float) -> str | None:
    """Try for some seconds; return None once it is closed, else why it is not.

    Raises:
        FlameError: the engine refuses for another reason than tasks that run.
    """
    limit = monotonic() + wait
    never = Flag()
    with Progress() as progress:
        while not closing.attempt():
            left = limit - monotonic()
            if left <= 0:
                return closing.obstacle()
            progress.show(closing.waiting_for())
            never.wait(min(PAUSE, left))
    return None
