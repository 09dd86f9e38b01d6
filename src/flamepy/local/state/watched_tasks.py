"""``WatchedTasks``: what one stream of WatchTasks has to send. Pure: of engines after 0.6.

Each registration is answered with the task's present state, each change of a registered task with
the state at the moment of sending, so states may be skipped. A terminal state is the last of its
task (docs/protocol.md#dialects).
"""

from __future__ import annotations

from collections.abc import Mapping

from flamepy.local.state.cluster_state import task_number
from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import SessionRow, TaskRow
from flamepy.types import SessionState

NO_TASK = "at least one task is required"
ONE_SESSION = "all watched tasks must be in one session"
CLOSED = "session is closed"
ENDED = "session task watch closed"


class WatchedTasks:
    """The tasks of one session that a client asked for. Not locked: of one loop.

    Args:
        sessions: of the cluster, by id.

    Attributes:
        session_id: of its tasks; None before the first registration.
        ending: why the stream ends once all is sent that is due; None while it is open.
    """

    def __init__(self, sessions: Mapping[str, SessionRow]) -> None:
        self._sessions = sessions
        self._tasks: dict[int, TaskRow] = {}
        self._due: dict[int, TaskRow] = {}
        self.session_id: str | None = None
        self.ending: Refusal | None = None

    @property
    def finished(self) -> bool:
        """True if each task that was registered has been sent with its end."""
        return not self._tasks

    def register(self, session_id: str, task_id: str) -> None:
        """Add a task; one that is there already is sent again.

        Raises:
            Refusal: it cannot be watched, which ends the stream for all.
        """
        if self.session_id not in (None, session_id):
            raise Refusal("INVALID_ARGUMENT", ONE_SESSION)
        number = task_number(task_id)
        row = self._sessions.get(session_id)
        if row is None:
            raise Refusal("NOT_FOUND", session_id)
        if row.state == SessionState.CLOSED:
            raise Refusal("NOT_FOUND", CLOSED)
        task = row.tasks.get(number)
        if task is None:
            raise Refusal("NOT_FOUND", str(number))
        self.session_id = session_id
        self._tasks[number] = self._due[number] = task

    def changed(self, number: int) -> bool:
        """Record that a task changed; return whether it is one of these."""
        task = self._tasks.get(number)
        if task is not None:
            self._due[number] = task
        return task is not None

    def close(self) -> None:
        """End with the session: each task is sent once more."""
        self._due.update(self._tasks)
        self.ending = Refusal("NOT_FOUND", ENDED)

    def forget(self) -> None:
        """End with a session that is gone: nothing more is sent."""
        self.end(Refusal("NOT_FOUND", ENDED))

    def end(self, refusal: Refusal) -> None:
        """End at once, for a reason."""
        self._due.clear()
        self.ending = refusal

    def take(self) -> TaskRow | None:
        """Return the next task to send, as it is now, or None."""
        if not self._due:
            return None
        number = next(iter(self._due))
        task = self._due.pop(number)
        if task.state.is_terminal:
            self._tasks.pop(number, None)
        return task
