"""A store that is shown an engine by random observations, for tests of what is kept by events."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from flamepy.types import SessionState, TaskCounts, TaskState
from flamepy.watching.state.events import EventSource, SessionEvent, TaskEvent, Window
from flamepy.watching.state.store import Store
from support.made import made_session, made_task

AnyEvent = TaskEvent | SessionEvent
NEXT = {TaskState.PENDING: (TaskState.RUNNING, TaskState.CANCELLED)}
ENDS = (TaskState.SUCCEED, TaskState.FAILED, TaskState.SUCCEED, TaskState.PENDING)


@dataclass
class PlayedSession:
    """A session of the engine."""

    born: int
    application: str
    tasks: list[TaskState] = field(default_factory=list)
    closed: bool = False

    @property
    def counts(self) -> TaskCounts:
        found = Counter(self.tasks)
        return TaskCounts(*(found[one] for one in list(TaskState)[:5]))


class Schedule:
    """An engine, a store that observes parts of it, and the events that follow."""

    def __init__(self, seed: int, *, retain: int = 100_000) -> None:
        self.random = random.Random(seed)
        self.engine: dict[str, PlayedSession] = {}
        self.store = Store("e", needed=lambda: None)
        self.store.history.retain = retain
        self.at = 0.0
        self.born = 0

    def window(self) -> Window:
        self.at += 1.0
        return Window(self.at, self.at + 0.5)

    def play(self, steps: int) -> Iterator[AnyEvent]:
        """Do something at random that many times, and yield the events."""
        acts = [self.create, self.grow, self.move, self.move, self.move, self.close]
        acts += [self.delete, self.replace]
        for _ in range(steps):
            self.random.choice(acts)()
            name = self.random.choice(sorted(self.engine) or ["s0"])
            yield from self.random.choice([self.poll, self.poll, self.list])(name)
            self.store.trim()

    # ------------------------------------------------------------------ the engine

    def create(self) -> None:
        self.born += 1
        name = f"s{self.random.randrange(6)}"
        self.engine.setdefault(name, PlayedSession(self.born, f"app{self.born % 3}"))

    def chosen(self) -> PlayedSession | None:
        names = sorted(self.engine)
        return self.engine[self.random.choice(names)] if names else None

    def grow(self) -> None:
        one = self.chosen()
        if one is not None and not one.closed:
            one.tasks += [TaskState.PENDING] * self.random.randrange(1, 9)

    def move(self) -> None:
        one = self.chosen()
        for _ in range(4):
            if one is not None and one.tasks:
                number = self.random.randrange(len(one.tasks))
                state = one.tasks[number]
                if not state.is_terminal:
                    one.tasks[number] = self.random.choice(NEXT.get(state, ENDS))

    def close(self) -> None:
        one = self.chosen()
        if one is not None and TaskState.RUNNING not in one.tasks:
            one.closed = True
            pending = TaskState.PENDING
            one.tasks = [TaskState.CANCELLED if state is pending else state for state in one.tasks]

    def delete(self) -> None:
        names = [name for name, one in sorted(self.engine.items()) if one.closed]
        if names and self.random.random() < 0.5:
            del self.engine[self.random.choice(names)]

    def replace(self) -> None:
        names = sorted(self.engine)
        if names and self.random.random() < 0.2:
            self.born += 1
            self.engine[self.random.choice(names)] = PlayedSession(self.born, "app0")

    # ------------------------------------------------------------------ observing it

    def poll(self, name: str) -> list[AnyEvent]:
        """Observe the counters of one session, and which sessions are gone."""
        events: list[AnyEvent] = []
        for gone in sorted(set(self.store.sessions) - set(self.engine)):
            outcome = self.store.drop_session(gone, self.window())
            events += [*outcome.tasks, *outcome.sessions]
        one = self.engine.get(name)
        if one is None:
            return events
        info = made_session(
            name,
            one.counts,
            state=SessionState.CLOSED if one.closed else SessionState.OPEN,
            born=one.born,
            application=one.application,
        )
        outcome = self.store.observe_session(info, self.window())
        return [*events, *outcome.tasks, *outcome.sessions]

    def list(self, name: str) -> list[AnyEvent]:
        """Observe each task of one session."""
        events = self.poll(name)
        one = self.engine.get(name)
        for number, state in enumerate(one.tasks if one else [], 1):
            assert one is not None
            text = f"task {number} of {name} failed" if state is TaskState.FAILED else None
            task = made_task(number, state, session=name, born=one.born, text=text)
            seen = self.store.observe_task(task, self.window(), EventSource.LIST, text_known=True)
            events += seen.events
        return events

    def everything(self) -> list[AnyEvent]:
        """Observe all of it."""
        events = self.poll("")
        for name in sorted(self.engine):
            events += self.list(name)
        return events

    # ------------------------------------------------------------------ direct counts

    def counted(self) -> TaskCounts:
        """Return the sum of the sessions' counters, as the store has them."""
        infos = [one.info for one in self.store.sessions.values() if one.info is not None]
        return _sum([info.counts for info in infos])

    def delivered(self) -> TaskCounts:
        """Return how many tasks were delivered in each state, by looking at each."""
        found: Counter[int] = Counter()
        for record in self.store.sessions.values():
            found.update(int(one.task.state) for one in record.tasks.values() if one.delivered)
            numbers = range(1, record.highest + 1)
            ended = [record.retired.delivered(number) for number in numbers]
            found.update(int(state) for state in ended if state is not None)
        return TaskCounts(*(found[one] for one in range(5)))


def _sum(counts: list[TaskCounts]) -> TaskCounts:
    names = ("pending", "running", "succeed", "failed", "cancelled")
    return TaskCounts(*(sum(getattr(one, name) for one in counts) for name in names))
