"""A hub on a scripted engine and a fake clock, and a sink that writes down what it is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from flamepy.errors import FlameError
from flamepy.testing import FakeClock, ScriptedSource
from flamepy.types import Task, TaskState
from flamepy.watching.hub import Hub
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.subscriptions import Scope, Subscription


@dataclass(eq=False)
class Heard:
    """A sink that keeps everything, in order (``story``) and sorted by kind."""

    story: list[object] = field(default_factory=list)
    tasks: list[TaskEvent] = field(default_factory=list)
    sessions: list[SessionEvent] = field(default_factory=list)
    resets: list[tuple[str, int]] = field(default_factory=list)
    drifts: list[tuple[TaskEvent, TaskState]] = field(default_factory=list)
    stalls: list[TaskEvent] = field(default_factory=list)
    missing: list[MissedEnds] = field(default_factory=list)
    failures: list[FlameError] = field(default_factory=list)
    syncs: int = 0
    _told: dict[tuple[str, str], list[TaskState | str]] = field(default_factory=dict)

    def task_event(self, event: TaskEvent) -> None:
        self.tasks.append(event)
        deleted = event.kind is EventKind.DELETED
        told = self._told.setdefault((event.task.session_id, event.task.id), [])
        told.append("deleted" if deleted else event.task.state)
        self.story.append(event)

    def session_event(self, event: SessionEvent) -> None:
        self.sessions.append(event)
        self.story.append(event)

    def synced(self) -> None:
        self.syncs += 1
        self.story.append("synced")

    def failed(self, error: FlameError) -> None:
        self.failures.append(error)

    def engine_reset(self, session_id: str, application: str, epoch: int) -> None:
        self.resets.append((session_id, epoch))
        self.story.append(("reset", session_id, epoch))

    def drift(self, event: TaskEvent, told: TaskState) -> None:
        self.drifts.append((event, told))

    def stalled(self, event: TaskEvent) -> None:
        self.stalls.append(event)

    def missed(self, missed: MissedEnds) -> None:
        self.missing.append(missed)

    def states(self, task_id: str, session_id: str = "s") -> list[TaskState | str]:
        """Return what was told of one task: its states, and "deleted"."""
        return self._told.get((session_id, task_id), [])

    def ends(self) -> list[tuple[str, str, TaskState]]:
        """Return every terminal state that was told."""
        return [
            (event.task.session_id, event.task.id, event.task.state)
            for event in self.tasks
            if event.task.state.is_terminal and event.kind is not EventKind.DELETED
        ]

    def kinds(self, session_id: str = "s") -> list[SessionEventKind]:
        """Return what was told of one session."""
        return [event.kind for event in self.sessions if event.session.id == session_id]


class Watched:
    """A task that a caller awaits alone, so that it has a stream; notes only the end."""

    def __init__(self, hub: Hub, session_id: str, task_id: str) -> None:
        self.active = True
        self._hub = hub
        self._interest = hub.expect(session_id, int(task_id), self, born=None, alone=True)

    def changed(self, task: Task) -> None:
        self.active = self.active and not task.state.is_terminal

    def lost(self, error: FlameError) -> None:
        self.active = False

    def release(self) -> None:
        """Wait no longer."""
        self._hub.leave(self._interest, self)


class World:
    """A hub, its engine and its clock; use it inside ``run``."""

    def __init__(
        self,
        clock: FakeClock,
        settings: WatchSettings | None = None,
        source: type[ScriptedSource] = ScriptedSource,
        *,
        pushes: bool = False,
    ) -> None:
        self.clock = clock
        self.source = source(clock, pushes=pushes)
        spread = random.Random(1)
        self.hub = Hub(self.source, "http://scripted", settings=settings, spread=spread)

    def subscribe(self, scope: Scope | None = None) -> tuple[Heard, Subscription]:
        """Return a sink that is told everything from now on."""
        heard = Heard()
        return heard, self.hub.subscribe(scope or Scope(), heard)

    def watch(self, session_id: str, task_id: str) -> Watched:
        """Give a task a stream, as one that a caller awaits alone has it."""
        return Watched(self.hub, session_id, task_id)

    async def until(self, condition: Callable[[], object], limit: float = 60.0) -> None:
        """Let time pass until the condition holds; fail after ``limit`` seconds of it."""
        end = self.clock.now + limit
        while not condition():
            assert self.clock.now < end, f"not within {limit} s"
            await asyncio.sleep(0.01)


def run(
    act: Callable[[World], object],
    settings: WatchSettings | None = None,
    start: float = 1000.0,
    source: type[ScriptedSource] = ScriptedSource,
    *,
    pushes: bool = False,
) -> None:
    """Run ``await act(world)`` in fake time and close the hub."""
    clock = FakeClock(start)

    async def play() -> None:
        world = World(clock, settings, source, pushes=pushes)
        try:
            await act(world)  # type: ignore[misc]  # a coroutine function
        finally:
            await world.hub.aclose()

    clock.run(play())
