"""Tasks and sessions for tests of pure code."""

from datetime import datetime, timedelta, timezone

from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def made_task(
    number: int = 1,
    state: TaskState = TaskState.PENDING,
    *,
    session: str = "s1",
    born: int = 0,
    text: str | None = None,
    output: bytes | None = None,
) -> Task:
    """Return a task; ``born`` tells incarnations apart."""
    events = () if text is None else (Event(3, text, START),)
    return Task(
        id=str(number),
        session_id=session,
        state=state,
        creation_time=START + timedelta(seconds=born),
        output=output,
        events=events,
    )


def made_session(
    session_id: str = "s1",
    counts: TaskCounts | None = None,
    *,
    state: SessionState = SessionState.OPEN,
    born: int = 0,
    application: str = "app",
    events: tuple[Event, ...] = (),
) -> SessionInfo:
    """Return a session with those counters."""
    return SessionInfo(
        id=session_id,
        application=application,
        state=state,
        creation_time=START + timedelta(seconds=born),
        counts=counts or TaskCounts(),
        events=events,
    )
