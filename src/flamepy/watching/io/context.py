"""What every part of watching works with: the engine, what is known, and which callers need it.

The hub makes one ``WatchContext`` first and hands it to each part; nothing in it is replaced
later. ``Engine`` is the part of the client that watching calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

from flamepy.types import SessionInfo, Task
from flamepy.watching.io.wakeups import Wakeups
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Subscribers
from flamepy.watching.state.waiters import Waiters


class TaskStream(Protocol):
    """An open stream of tasks."""

    def __aiter__(self) -> AsyncIterator[Task]:
        """Return the iterator over the messages."""

    def cancel(self) -> None:
        """End the stream; safe to call twice."""

    @property
    def received(self) -> int:
        """Bytes of its messages so far."""


class TaskExchange(TaskStream, Protocol):
    """An open stream of the tasks of one session that were added to it."""

    async def add(self, task_id: str) -> bool:
        """Add a task that the engine knows; False if the stream is over."""

    def cut(self) -> None:
        """End the stream; its reader gets an UnavailableError."""


class Engine(Protocol):
    """The calls of ``rpc.requests.frontend`` that watching needs; errors are FlameErrors."""

    async def list_nodes(self, *, timeout: float | None = None) -> Sequence[object]:
        """Return the nodes; the cheapest call that every engine answers."""

    async def list_sessions(
        self, *, application: str | None = None, timeout: float | None = None
    ) -> list[SessionInfo]:
        """Return all sessions, or those of an application, with their counters and events."""

    async def get_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        """Return one session with its counters and events."""

    async def get_task(self, session_id: str, task_id: str) -> Task:
        """Return one task with payloads and events."""

    def list_tasks(
        self,
        session_id: str,
        *,
        payloads: bool = True,
        wanted: Callable[[str], bool] | None = None,
    ) -> TaskStream:
        """Return a snapshot of a session's tasks, or of those whose id is wanted, in any order."""

    def watch_task(self, session_id: str, task_id: str) -> TaskStream:
        """Return the changes of one task."""

    @property
    def can_exchange(self) -> bool:
        """Whether the engine probably has ``watch_tasks``."""

    def watch_tasks(self, session_id: str) -> TaskExchange:
        """Return the changes of those tasks of a session that are added to the stream."""


Spawn = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchContext:
    """What the parts of one hub share.

    Attributes:
        engine: the calls.
        store: what is known of sessions and tasks.
        subscribers: which subscription receives which events.
        waiters: which callers wait for which tasks.
        wakeups: asks the poll and the gatherer for a round now.
        clock: returns monotonic seconds, the loop's.
        spawn: starts a coroutine on the loop; the hub owns it.
        endpoint: the engine's address, for messages.
    """

    engine: Engine
    store: Store
    subscribers: Subscribers
    waiters: Waiters
    wakeups: Wakeups
    clock: Callable[[], float]
    spawn: Spawn
    endpoint: str

    @property
    def is_pushed(self) -> bool:
        """True while the engine has ``watch_tasks``, as its answers show; False if it never can."""
        return bool(getattr(self.engine, "can_exchange", False))
