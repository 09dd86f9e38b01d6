"""``EngineScript``: what a test lets the tasks of an embedded engine do, one method per move.

Nothing runs by itself. ``FakeEngine`` has these methods for an engine with a real server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flamepy.errors import InvalidArgumentError
from flamepy.local.engine import Engine
from flamepy.local.state.rows import EventRow, SessionRow, TaskRow, whole_seconds
from flamepy.runtime.clocks import wall
from flamepy.texts import repr_of
from flamepy.types import ApplicationAttributes, SessionAttributes, SessionState, TaskState

T = TypeVar("T")


class EngineScript(ABC):
    """What a test does to an embedded engine: start, finish, fail, forget."""

    @abstractmethod
    def _do(self, act: Callable[[Engine], T]) -> T:
        """Run ``act(engine)`` where the engine lives and return its result."""

    def _millis(self) -> int:
        """Return milliseconds since the epoch."""
        return int(wall() * 1000)

    def add_session(self, session_id: str, application: str = "fake") -> None:
        """Create an open session; the application is registered on demand."""

        def add(engine: Engine) -> None:
            if engine.state.applications.find(application) is None:
                spec = ApplicationAttributes(command="none")
                at_once(engine.register_application(application, spec))
            at_once(engine.create_session(session_id, SessionAttributes(application)))

        self._do(add)

    def add_task(self, session_id: str, payload: bytes = b"") -> str:
        """Create a pending task; return its id."""
        return self._do(lambda engine: engine.create_task(session_id, payload).id)

    def start(self, session_id: str, task_id: str) -> None:
        """Move a task to RUNNING."""
        self._move(session_id, task_id, TaskState.RUNNING, 1, "Task state was updated to <Running>")

    def succeed(self, session_id: str, task_id: str, output: bytes = b"") -> None:
        """Move a task to SUCCEED."""
        text = "Task was completed with state <Succeed>"
        self._move(session_id, task_id, TaskState.SUCCEED, 2, text, output)

    def fail(self, session_id: str, task_id: str, text: str) -> None:
        """Move a task to FAILED with the service's text."""
        self._move(session_id, task_id, TaskState.FAILED, 3, text)

    def requeue(self, session_id: str, task_id: str) -> None:
        """Move a running task back to PENDING, silently, as a restart does."""

        def back(engine: Engine) -> None:
            session, task = _find(engine, session_id, task_id)
            session.move(task, TaskState.PENDING)

        self._do(back)

    def set_state(self, session_id: str, task_id: str, number: int) -> None:
        """Put a task into a state by its number, whether a client knows it or not."""

        def put(engine: Engine) -> None:
            session, task = _find(engine, session_id, task_id)
            session.move(task, TaskState(number))
            engine.task_changed(session_id, task.number, number == TaskState.RUNNING)

        self._do(put)

    def add_session_event(self, session_id: str, code: int, text: str) -> None:
        """Record an event of a session, such as 1001 or 1002."""

        def record(engine: Engine) -> None:
            event = EventRow(code, text, self._millis())
            engine.state.sessions[session_id].events.append(event)

        self._do(record)

    def drop_session(self, session_id: str) -> None:
        """Forget a session without notifying anything, as an eviction does."""
        self._do(lambda engine: engine.state.sessions.pop(session_id))

    def evict(self, session_id: str) -> None:
        """Forget a closed session without notifying anything, as an engine does to make room.

        Raises:
            InvalidArgumentError: there is no such session, or it is open: no engine evicts those;
                close it first, or ``drop_session``.
        """

        def evict(engine: Engine) -> None:
            session = engine.state.sessions.get(session_id)
            if session is None:
                raise InvalidArgumentError(f"there is no session {repr_of(session_id)} to evict")
            if session.state != SessionState.CLOSED:
                raise InvalidArgumentError(
                    f"session {repr_of(session_id)} is open, and engines evict closed "
                    "ones only: close it "
                    "first, or use drop_session, which loses any session"
                )
            del engine.state.sessions[session_id]

        self._do(evict)

    def _move(
        self,
        session_id: str,
        task_id: str,
        state: TaskState,
        code: int,
        text: str,
        output: bytes | None = None,
    ) -> None:
        def move(engine: Engine) -> None:
            session, task = _find(engine, session_id, task_id)
            now = self._millis()
            session.move(task, state)
            task.events.append(EventRow(code, text, now))
            if state.is_terminal:
                task.completed, task.output = whole_seconds(now), output or None
            engine.task_changed(session_id, task.number, state == TaskState.RUNNING)

        self._do(move)


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """Return what a call of an engine without storage returns: it waits for nothing."""
    try:
        call.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("an engine without storage waits for nothing")


def _find(engine: Engine, session_id: str, task_id: str) -> tuple[SessionRow, TaskRow]:
    session = engine.state.sessions[session_id]
    return session, session.tasks[int(task_id)]
