"""``transitions="complete"``: skipped states come as events, and are not stored by themselves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import made_task
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer
from flamepy.errors import InvalidArgumentError
from flamepy.informers import Reactor, TaskEvent
from flamepy.informers.delivery.transitions import Transitions, expand, skipped
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind

P, R, S, F, C = (
    TaskState.PENDING,
    TaskState.RUNNING,
    TaskState.SUCCEED,
    TaskState.FAILED,
    TaskState.CANCELLED,
)
NEXT = {None: [P], P: [R, C], R: [S, F, P], S: [], F: [], C: []}  # what the engine does


@pytest.mark.parametrize(
    ("before", "now", "between"),
    [
        (None, P, []),
        (None, R, [P]),
        (None, S, [P, R]),
        (None, F, [P, R]),
        (None, C, [P]),
        (P, R, []),
        (P, S, [R]),
        (P, F, [R]),
        (P, C, []),
        (R, S, []),
        (R, F, []),
        (R, P, []),
        (R, C, [P]),
        (S, F, []),
        (P, TaskState(9), []),
        (TaskState(9), S, []),
        (None, TaskState(9), []),
    ],
)
def test_what_lies_between(before: TaskState | None, now: TaskState, between: list[TaskState]):
    assert skipped(before, now) == between


def task_in(state: TaskState) -> Task:
    task = made_task(state=state)
    return replace(task, output=b"out", completion_time=task.creation_time) if state is S else task


def event_of(now: TaskState, before: TaskState | None, **more: object) -> TaskEvent:
    kind = EventKind.ADDED if before is None else EventKind.UPDATED
    old = None if before is None else task_in(before)
    return TaskEvent(kind=kind, task=task_in(now), old=old, sequence=7, **more)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> list[TaskState]:
    """What a task goes through, from its creation on."""
    states = [P]
    while NEXT[states[-1]] and len(states) < 12:
        states.append(draw(st.sampled_from(NEXT[states[-1]])))
    return states


@given(histories(), st.data())
def test_any_part_of_a_history_becomes_one_that_the_engine_allows(
    history: list[TaskState], data: st.DataObject
) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history)))
    seen = [state for state, mark in zip(history, marks, strict=True) if mark]
    moves = [one for at, one in enumerate(seen) if at == 0 or seen[at - 1] != one]
    transitions, events, before = Transitions(), list[TaskEvent](), None
    for state in moves:
        events += transitions.expand(event_of(state, before))
        before = state
    states = [one.task.state for one in events]
    for old, new in zip([None, *states], states, strict=False):
        assert new in NEXT[old]
    observed = [one.task.state for one in events if not one.inferred]
    assert observed == moves, "each observation once, and in its place"
    assert [one.kind for one in events] == [EventKind.ADDED, *[EventKind.UPDATED] * 99][
        : len(events)
    ]
    for one, after in itertools.pairwise(events):
        assert after.old is not None
        assert after.old.state == one.task.state
    ends = [one for one in events if one.task.state.is_terminal]
    assert len(ends) == (1 if moves and moves[-1].is_terminal else 0)
    assert transitions._last == {} or not ends, "what has ended is not remembered"


@given(st.sampled_from([None, P, R]), st.sampled_from([P, R, S, F, C]))
def test_keys_are_stable_and_distinct(before: TaskState | None, now: TaskState) -> None:
    event = event_of(now, before)
    events = expand(event, before)
    keys = [one.key for one in events]
    assert len(set(keys)) == len(keys)
    assert keys == [one.key for one in expand(event, before)]
    assert keys[-1] == event.key
    for one in events[:-1]:
        assert one.key == event_of(one.task.state, P).key, "the key of its state, also if observed"


def test_an_inferred_state_shows_nothing_of_the_end() -> None:
    added, running, ended = expand(event_of(S, None, coalesced=4), None)
    for one in (added, running):
        assert one.inferred
        assert (one.task.output, one.task.completion_time, one.coalesced) == (None, None, 0)
    assert not ended.inferred
    assert (ended.task.output, ended.coalesced) == (b"out", 4)
    assert {one.sequence for one in (added, running, ended)} == {7}
    assert TaskEvent.from_dict(running.to_dict()).inferred
    assert not TaskEvent.from_dict(ended.to_dict()).inferred


class TestTransitions:
    def test_the_present_state_skips_nothing_and_is_where_it_goes_on(self) -> None:
        transitions = Transitions()
        initial = event_of(P, None, initial=True)
        assert transitions.expand(event_of(R, None, initial=True)) != []
        assert transitions.expand(initial) == [initial]
        assert [one.task.state for one in transitions.expand(event_of(S, P))] == [R, S]

    def test_what_a_full_queue_left_out_is_inferred_from_what_the_informer_got(self) -> None:
        transitions = Transitions()
        transitions.expand(event_of(P, None))
        late = replace(event_of(S, R), old=None)  # read from the store
        assert [one.task.state for one in transitions.expand(late)] == [R, S]
        unknown = replace(event_of(S, R), old=None)
        assert Transitions().expand(unknown) == [unknown]

    def test_a_delete_is_no_state(self) -> None:
        transitions = Transitions()
        transitions.expand(event_of(P, None))
        gone = replace(event_of(P, P), kind=EventKind.DELETED)
        assert transitions.expand(gone) == [gone]
        assert not transitions._last


# ---------------------------------------------------------------------- with a reactor


def shown(events: Sequence[TaskEvent], task: str) -> list[str]:
    return [
        f"{one.kind.value} {one.task.state.name}{'?' if one.inferred else ''}"
        for one in events
        if one.task.id == task
    ]


def test_an_informer_gets_every_state_though_the_engine_showed_the_end_alone(
    engine: FakeEngine, running: Reactor
) -> None:
    engine.add_task("s")
    plain, complete = RecordingInformer(), RecordingInformer()
    running.register(plain)
    running.register(complete, transitions="complete")
    running.wait_synced(20)
    gone: list[str] = []
    running.on.running(transitions="complete")(lambda event: gone.append(event.task.id))
    engine.succeed("s", "1")
    for informer in (plain, complete):
        informer.wait_for(lambda seen: bool(seen.terminal()), 20)
    assert shown(complete.events, "1")[-2:] in (
        ["updated RUNNING?", "updated SUCCEED"],
        ["updated RUNNING", "updated SUCCEED"],
    )
    assert not any(one.inferred for one in plain.events)
    eventually(lambda: gone == ["1"])


@pytest.mark.parametrize("batches", [False, True])
def test_a_checkpoint_stores_observations_alone(
    engine: FakeEngine, engine_connection: Connection, tmp_path: Path, batches: bool
) -> None:
    class Single(TaskInformer):
        def __init__(self) -> None:
            self.events: list[TaskEvent] = []

        def on_transition(self, event: TaskEvent) -> None:
            self.events.append(event)

    class Batched(TaskInformer):
        def __init__(self) -> None:
            self.events: list[TaskEvent] = []

        def on_batch(self, events: Sequence[TaskEvent]) -> None:
            self.events += events

    def life() -> list[TaskEvent]:
        informer = Batched() if batches else Single()
        with Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db") as reactor:
            reactor.register(informer, uid="x", transitions="complete", batch_size=2)
            reactor.wait_synced(20)
        return informer.events

    engine.add_task("s")
    assert shown(life(), "1") == ["added PENDING"]
    engine.succeed("s", "1")
    engine.add_task("s")
    engine.succeed("s", "2")
    events = life()
    assert shown(events, "1") == ["updated RUNNING?", "updated SUCCEED"]
    assert shown(events, "2") == ["added PENDING?", "updated RUNNING?", "updated SUCCEED"]
    assert life() == []


@pytest.mark.parametrize("dropped", [False, True])
def test_a_stop_between_an_inferred_event_and_the_observed_one_repeats_both(
    engine: FakeEngine, engine_connection: Connection, tmp_path: Path, dropped: bool
) -> None:
    def life(stop_at: TaskState | None = None) -> list[TaskEvent]:
        events: list[TaskEvent] = []
        reactor = Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db")

        def where(event: TaskEvent) -> bool:
            if dropped and event.task.state is stop_at:
                events.append(event)
                reactor.abort()
                return False
            return True

        @reactor.on.transition(uid="x", transitions="complete", where=where)
        def seen(event: TaskEvent) -> None:
            events.append(event)
            if event.task.state is stop_at:
                reactor.abort()

        with reactor:
            if stop_at is None:
                reactor.wait_synced(20)
            else:
                eventually(lambda: events)
        return events

    engine.add_task("s")
    assert shown(life(), "1") == ["added PENDING"]
    engine.succeed("s", "1")
    assert shown(life(R), "1") == ["updated RUNNING?"]
    assert shown(life(), "1") == ["updated RUNNING?", "updated SUCCEED"]
    assert life() == []


def test_an_inferred_event_that_no_batch_takes_is_not_stored(
    engine: FakeEngine, engine_connection: Connection, tmp_path: Path
) -> None:
    def life(*, fails: bool) -> list[TaskEvent]:
        got: list[TaskEvent] = []
        reactor = Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db")

        @reactor.on.batch(
            uid="x",
            transitions="complete",
            batch_delay=0.0,
            where=lambda event: not (fails and event.inferred),
        )
        def seen(events: Sequence[TaskEvent]) -> None:
            got.extend(events)
            if fails:
                reactor.abort()
                raise ValueError("cut")

        with reactor:
            if fails:
                eventually(lambda: got)
            else:
                reactor.wait_synced(20)
        return got

    engine.add_task("s")
    assert shown(life(fails=False), "1") == ["added PENDING"]
    engine.succeed("s", "1")
    assert shown(life(fails=True), "1") == ["updated SUCCEED"]
    assert shown(life(fails=False), "1") == ["updated RUNNING?", "updated SUCCEED"]


def test_unknown_values_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="transitions must be one of 'observed'"):
        Reactor().register(RecordingInformer(), transitions="all")
