"""True histories, watched in every way: what is delivered is an ordered part of what happened.

Two properties. The store alone gets answers of every kind in any interleaving, each with its
window. Then the whole hub watches a scripted engine whose answers take any time, break off and
come back, while tasks move.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from support.hearing import World, run
from support.made import made_session, made_task

from flamepy.errors import FlameError, UnavailableError
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.diff import missing
from flamepy.watching.state.events import EventKind, EventSource, Window
from flamepy.watching.state.store import Observation, Store, Verdict

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState
END = 100.0  # when everything is over


@dataclass(frozen=True)
class Task:
    """One task's true states and the moments at which they began; the first is its creation."""

    number: int
    states: tuple[TaskState, ...]
    moments: tuple[float, ...]

    def at(self, moment: float) -> TaskState | None:
        now = [s for s, began in zip(self.states, self.moments, strict=True) if began <= moment]
        return now[-1] if now else None


@st.composite
def histories(draw: st.DrawFn) -> list[Task]:
    tasks = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        middle = [RUNNING, PENDING] * draw(st.integers(0, 2))  # re-queues
        ran = [*middle, RUNNING, draw(st.sampled_from([SUCCEED, FAILED]))]
        states = [PENDING, *draw(st.sampled_from([ran, [*middle, CANCELLED]]))]
        gaps = draw(st.lists(st.floats(0.1, 5), min_size=len(states), max_size=len(states)))
        moments = [sum(gaps[: index + 1]) for index in range(len(states))]
        tasks.append(Task(number, tuple(states), tuple(moments)))
    return tasks


@dataclass(frozen=True)
class Answer:
    """One message: when its request was sent, the engine looked, and it arrived."""

    sent: float
    looked: float
    arrived: float
    window_end: float
    source: EventSource
    number: int
    list_id: int = -1


def probe(number: int, sent: float, there: float, back: float) -> Answer:
    arrived = sent + there + back
    return Answer(sent, sent + there, arrived, arrived, EventSource.PROBE, number)


@st.composite
def answers(draw: st.DrawFn, tasks: Sequence[Task]) -> tuple[list[Answer], set[int]]:
    """Return messages of probes, lists and watches, and the ids of the lists that broke off."""
    moments, short = st.floats(0, 30), st.floats(0, 4)
    numbers = st.sampled_from([task.number for task in tasks])
    found = [
        probe(draw(numbers), draw(moments), draw(short), draw(short))
        for _ in range(draw(st.integers(0, 8)))
    ]
    broken = set()
    for list_id in range(draw(st.integers(0, 3))):
        sent, looked = draw(moments), draw(short)
        first = sent + looked + draw(short)
        order = draw(st.permutations([task.number for task in tasks]))
        if draw(st.booleans()):
            broken.add(list_id)
            order = order[: draw(st.integers(0, len(order)))]
        arrived = first
        for number in order:
            one = Answer(sent, sent + looked, arrived, first, EventSource.LIST, number, list_id)
            found.append(one)
            arrived += draw(short)
    for _ in range(draw(st.integers(0, 3))):
        number, previous = draw(numbers), draw(moments)
        for _ in range(draw(st.integers(1, 4))):
            looked = previous + draw(short)
            arrived = looked + draw(short)
            found.append(Answer(previous, looked, arrived, arrived, EventSource.WATCH, number))
            previous = arrived
    return sorted(found, key=lambda one: one.arrived), broken


class Watcher:
    """Feeds a store as the hub does, and asks again when the store wants it."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = {task.number: task for task in tasks}
        self.store = Store()
        self.store.history.retain = 2
        self.store.observe_session(made_session(), Window(-1, -1))
        self.delivered: dict[int, list[TaskState]] = {number: [] for number in self.tasks}
        self.deleted: list[int] = []
        self.seen: dict[int, set[int]] = {}

    def take(self, answer: Answer) -> None:
        state = self.tasks[answer.number].at(answer.looked)
        if state is None:
            return
        task = made_task(answer.number, state, text="t")
        text_known = answer.source is EventSource.PROBE
        window = Window(answer.sent, answer.window_end)
        self.seen.setdefault(answer.list_id, set()).add(answer.number)
        events = []
        rest = [task]
        if answer.list_id >= 0:
            record = self.store.session("s1")
            rest = self.store.observe_list(
                record, [task], window, answer.source, initial=0, emit=events.append
            )
        observation = Observation(Verdict.APPLIED, tuple(events))
        for task in rest:
            observation = self.store.observe_task(
                task, window, answer.source, text_known=text_known
            )
        for event in observation.events:
            if event.kind is EventKind.DELETED:
                self.deleted.append(answer.number)
            else:
                self.delivered[answer.number].append(event.task.state)
        self.store.trim()
        assert observation.verdict is not Verdict.DRIFT
        if observation.verdict in (Verdict.STALE, Verdict.NEEDS_TEXT):
            now = answer.arrived
            self.take(probe(answer.number, now, 0.0, 0.0))

    def end_list(self, list_id: int, found: Iterable[Answer]) -> None:
        """Take in that a list was complete: what it lacks is looked for."""
        mine = [one for one in found if one.list_id == list_id]
        if not mine:
            return
        record = self.store.session("s1")
        window = Window(mine[0].sent, mine[0].window_end)
        for number in missing(record.tasks.values(), self.seen.get(list_id, set()), window):
            at = mine[-1].arrived
            if self.tasks[number].at(at) is None:
                gone = self.store.delete_task("s1", number, Window(at, at))
                self.deleted += [int(event.task.id) for event in gone]


def is_part(delivered: Sequence[TaskState], truth: Sequence[TaskState]) -> bool:
    rest = iter(truth)
    return all(state in rest for state in delivered)


@settings(max_examples=300)
@given(st.data())
def test_any_interleaving_of_answers_delivers_an_ordered_part_of_the_truth(data) -> None:
    tasks = data.draw(histories())
    found, broken = data.draw(answers(tasks))
    watcher = Watcher(tasks)
    for index, answer in enumerate(found):
        watcher.take(answer)
        more = any(one.list_id == answer.list_id for one in found[index + 1 :])
        if answer.list_id >= 0 and not more and answer.list_id not in broken:
            watcher.end_list(answer.list_id, found)
    for task in tasks:  # an audit when all is over
        watcher.take(Answer(END, END, END, END, EventSource.AUDIT, task.number))

    assert watcher.deleted == []
    for task in tasks:
        delivered = watcher.delivered[task.number]
        assert is_part(delivered, task.states), (delivered, task.states)
        assert [state for state in delivered if state.is_terminal] == [task.states[-1]]
    ends = [task.states[-1] for task in tasks]
    truth = TaskCounts(*(ends.count(state) for state in TaskState))
    assert watcher.store.session("s1").counts == truth


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[float, int]]:
    """Return moments and the task that makes its next step then."""
    steps = st.tuples(st.floats(0, 10), st.integers(0, 3))
    return sorted(draw(st.lists(steps, min_size=10, max_size=40)))


@settings(max_examples=100, deadline=None)
@given(
    tasks=histories(),
    script=scripts(),
    seed=st.integers(0, 10_000),
    slow=st.floats(0.1, 3.0),
    outage=st.floats(0, 20),
    watched=st.sets(st.integers(1, 4)),
    looks=st.lists(st.tuples(st.floats(0, 12), st.integers(1, 4)), max_size=30),
    pushes=st.booleans(),
)
def test_the_hub_delivers_an_ordered_part_of_the_truth_however_late_answers_are(
    tasks: list[Task],
    script: list[tuple[float, int]],
    seed: int,
    slow: float,
    outage: float,
    watched: set[int],
    looks: list[tuple[float, int]],
    pushes: bool,
) -> None:
    chance = random.Random(seed)

    async def act(world: World) -> None:
        source = world.source
        calls = ("list_sessions", "get_session", "get_task", "list_tasks")
        for call in (*calls, "watch_task", "watch_tasks"):
            source.latency[call] = lambda: chance.random() * slow
        source.add_session("s")
        heard, _ = world.subscribe()
        began = world.clock.now
        truth: list[list[TaskState]] = []
        beside = [asyncio.create_task(look_beside(world, *look)) for look in looks]
        plans = [list(task.states) for task in tasks]
        events = [*script, (outage, -1), (outage + 2, -2)]
        events += [(21.0 + n, n % len(plans)) for n in range(len(plans) * 8)]  # to the end
        for moment, which in sorted(events):
            await asyncio.sleep(max(0.0, began + moment - world.clock.now))
            if which == -1:
                source.fail_calls(UnavailableError("away"))
            elif which == -2:
                source.answer_calls()
            else:
                step(world, truth, plans, which, watched)
        await asyncio.sleep(60)
        await asyncio.gather(*beside)
        for number, states in enumerate(truth, start=1):
            delivered = heard.states(str(number))
            assert "deleted" not in delivered
            assert is_part(delivered, states), (delivered, states)
            assert [state for state in delivered if state.is_terminal] == states[-1:]
        assert heard.drifts == []
        assert heard.resets == []

    run(act, WatchSettings(audit=1.0, poll_interval=0.1, retain_terminal=1), pushes=pushes)


async def look_beside(world: World, moment: float, number: int) -> None:
    """Probe a task beside whatever the hub does, as it does itself after a contradiction."""
    await asyncio.sleep(moment)
    with suppress(FlameError):
        await world.hub._reader.probe("s", number)


def step(
    world: World,
    truth: list[list[TaskState]],
    plans: list[list[TaskState]],
    which: int,
    watched: set[int],
) -> None:
    """Let one task make the next step of its plan; tasks are made in order."""
    source = world.source
    if which >= len(truth):
        if len(truth) == len(plans):
            return
        which = len(truth)
        truth.append([])
    plan, done = plans[which], truth[which]
    if len(done) == len(plan):
        return
    state, number = plan[len(done)], str(which + 1)
    if not done:
        assert source.add_task("s") == number
        if which + 1 in watched:
            world.watch("s", number)
    elif state == PENDING:
        source.requeue("s", number)
    elif state == FAILED:
        source.fail("s", number, "t")
    else:
        source._move("s", int(number), state)
    done.append(state)
