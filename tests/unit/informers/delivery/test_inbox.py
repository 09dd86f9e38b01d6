"""A subscriber's side on the loop: bounded, late, exact - whatever the reader does (G2, G8, G9)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.inboxes import ModelHub, Reader

from flamepy.informers.delivery.inbox import EPISODE
from flamepy.types import TaskState
from flamepy.watching.state.events import EventKind, TaskEvent

P, R, S, F = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED, TaskState.FAILED


def hub_with(*numbers: int) -> ModelHub:
    hub = ModelHub()
    hub.show_session("s")
    for number in numbers:
        hub.show(number)
    return hub


def told(reader: Reader) -> list[tuple[str, str, str]]:
    return [(one.task.id, one.kind.value, one.task.state.name) for one in reader.events]


# ---------------------------------------------------------------------- any history


def incarnation(event: TaskEvent) -> tuple[str, str, object]:
    return event.task.session_id, event.task.id, event.task.creation_time


def check(reader: Reader, replay: str) -> None:
    """Compare what a reader took with what there was and what the hub told."""
    story: dict[object, list[TaskEvent]] = {}
    for event in [*reader.present, *reader.inbox.emitted]:
        story.setdefault(incarnation(event), []).append(event)
    got: dict[object, list[TaskEvent]] = {}
    for event in reader.events:
        got.setdefault(incarnation(event), []).append(event)
    assert got.keys() <= story.keys()
    for key, happened in story.items():
        seen = got.get(key, [])
        states = iter([(one.kind is EventKind.DELETED, one.task.state) for one in happened])
        shown = [(one.kind is EventKind.DELETED, one.task.state) for one in seen]
        assert all(one in states for one in shown), f"{key}: {shown} is not in the order of events"
        for end in (S, F):
            ended = [one for one in happened if one.task.state == end and not_deleted(one)]
            assert sum(one.task.state == end and not_deleted(one) for one in seen) == len(ended)
        kinds = Counter(one.kind for one in seen)
        assert kinds[EventKind.ADDED] <= 1
        if replay == "all":
            assert all((one.kind is EventKind.ADDED) == (one is seen[0]) for one in seen)
        deleted = happened[-1].kind is EventKind.DELETED
        if seen or any(one.task.state.is_terminal and not_deleted(one) for one in happened):
            assert kinds[EventKind.DELETED] == deleted
        if not deleted:
            assert seen[-1].task.state == happened[-1].task.state, "the present state in the end"
    holders = {(incarnation(event), id(event.memo_holder)) for event in reader.events}
    assert len(holders) == len({incarnation(event) for event in reader.events}), "one memo a task"
    emitted = len(reader.present) + len(reader.inbox.emitted)
    assert len(reader.events) + reader.coalesced == emitted


def not_deleted(event: TaskEvent) -> bool:
    return event.kind is not EventKind.DELETED


SESSIONS = st.sampled_from(["s", "t"])
STEPS = st.one_of(
    st.tuples(
        st.just("show"),
        SESSIONS,
        st.integers(1, 4),
        st.sampled_from([P, R, S, F]),
        st.booleans(),  # a failure: held; another incarnation, now and then
        st.integers(0, 9).map(lambda dice: dice == 0),
    ),
    st.tuples(st.just("read"), st.integers(1, 4)),
    st.tuples(st.just("answer")),
    st.tuples(st.just("drop"), SESSIONS),
    st.tuples(st.just("reset"), SESSIONS),
    st.tuples(st.just("many"), SESSIONS, st.sampled_from([P, S])),
    st.tuples(st.just("poll")),
)


class Play:
    """A history with one reader that comes in the middle of it, and another beside it."""

    def __init__(self) -> None:
        self.hub = ModelHub()
        for name in ("s", "t"):
            self.hub.show_session(name)
        self.birth = Counter[tuple[str, int]]()

    def step(self, step: tuple, readers: list[Reader]) -> None:
        name, rest = step[0], step[1:]
        if name == "show":
            session, number, state, held, again = rest
            self.birth[session, number] += again
            born = self.hub.born.get(session, 0) * 100 + self.birth[session, number]
            self.hub.show(
                number, state, session=session, born=born, held=held and state == TaskState.FAILED
            )
        elif name == "many":
            for number in range(1, 9):
                self.step(("show", rest[0], number, rest[1], False, False), readers)
        elif name == "drop":
            self.hub.drop_session(rest[0])
            self.hub.show_session(rest[0], reset=True)
        elif name == "reset":
            self.hub.show_session(rest[0], reset=True)
        elif name == "poll":
            self.hub.polled()
        else:
            for reader in readers:
                reader.answer() if name == "answer" else reader.read(rest[0])


@settings(max_examples=400, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(0, 3),
    st.sampled_from(["all", "active", "none"]),
    st.lists(STEPS, max_size=15),
    st.lists(STEPS, max_size=60),
)
def test_every_end_and_delete_comes_once_in_order_and_the_counts_are_exact(
    limit: int, reserve: int, replay: str, before: list, after: list
) -> None:
    play = Play()
    other = Reader(play.hub, 2)  # behind most of the time: what it needs is kept
    for step in before:
        play.step(step, [other])
    reader = Reader(play.hub, limit, replay=replay, reserve=min(reserve, max(0, limit - 2) // 2))
    for step in after:
        play.step(step, [reader, other])
        assert len(reader.mailbox) <= limit + 3, "events, and a few markers"
    for one in (reader, other):
        one.read_all()
    check(other, "all")
    check(reader, replay)
    assert not reader.inbox.is_lagging
    assert play.hub.subscribers.needed_since() is None, "nothing is kept for anybody"


# ---------------------------------------------------------------------- one by one


def test_deletes_that_one_answer_shows_survive_a_queue_that_has_no_place_for_them() -> None:
    """They are decided before anybody is behind, so no later look at the store shows them."""
    hub = hub_with(*range(1, 21))
    reader = Reader(hub, 5)
    reader.read_all()
    hub.drop_session("s")
    reader.read_all()
    gone = [one.task.id for one in reader.events if one.kind is EventKind.DELETED]
    assert sorted(map(int, gone)) == list(range(1, 21))


def test_an_end_behind_and_its_delete_need_two_places() -> None:
    hub = hub_with(1)
    reader = Reader(hub, 1)
    hub.show(2)
    hub.show(3)
    hub.show(2, S)
    hub.drop_session("s")
    reader.read_all()
    of_two = [(kind, state) for task, kind, state in told(reader) if task == "2"]
    assert of_two[-2:] == [("updated", "SUCCEED"), ("deleted", "SUCCEED")]


def test_a_newcomer_is_not_told_of_what_went_before_it_came() -> None:
    hub = hub_with(1, 2)
    slow = Reader(hub, 1)
    hub.show(1, S)
    hub.drop_session("s")
    newcomer = Reader(hub, 10)
    newcomer.read_all()
    assert told(newcomer) == []
    slow.read_all()
    assert ("1", "deleted", "SUCCEED") in told(slow)


@pytest.mark.parametrize("replay", ["all", "active"])
def test_an_end_during_a_newcomers_walk_is_no_old_news(replay: str) -> None:
    """It is told, and not as ``initial``: an alerter leaves those out."""
    hub = hub_with(1, 2, 3)
    reader = Reader(hub, 1, replay=replay)
    hub.polled()
    hub.show(3, F)
    reader.read_all()
    ends = [one for one in reader.events if one.task.state.is_terminal]
    assert [(one.task.id, one.initial) for one in ends] == [("3", False)]


@pytest.mark.parametrize("replay", ["active", "none"])
def test_an_end_behind_a_full_queue_is_no_old_news(replay: str) -> None:
    hub = hub_with()
    reader = Reader(hub, 1, replay=replay)
    for number in (1, 2):
        hub.show(number)  # before the first poll: they were there
    hub.polled()
    hub.show_session("t")
    for number in (1, 2, 3):
        hub.show(number, session="t")
    hub.show(2, F)
    reader.read_all()
    ends = [one for one in reader.events if one.task.state.is_terminal]
    assert [(one.task.id, one.initial) for one in ends] == [("2", False)]


def test_one_episode_of_an_overflow_is_told_once() -> None:
    hub = hub_with()
    reader = Reader(hub, 1)
    for number in range(1, 31):
        hub.show(number)
        if number % 3 == 0:
            reader.read_all()
            assert not reader.inbox.is_lagging
    assert reader.overflows > 0
    first = reader.overflows
    assert first <= 3, "31 s in which it falls behind again and again"
    hub.time += 2 * EPISODE
    hub.show(40)
    hub.show(41)
    assert reader.overflows == first + 1


def test_synced_comes_although_the_reader_is_always_behind() -> None:
    hub = hub_with(1, 2, 3)
    reader = Reader(hub, 1)
    hub.polled()
    number = 3
    while not reader.syncs:
        number += 1
        assert number < 50
        hub.show(number)
        hub.show(number, S)
        assert reader.inbox.is_lagging
        reader.read()
        reader.answer()
    assert {one.task.id for one in reader.events[: reader.syncs[0]]} >= {"1", "2", "3"}
    reader.read_all()
    assert len(reader.syncs) == 1


def test_what_found_no_place_is_owed_until_it_is_queued() -> None:
    hub = hub_with()
    reader = Reader(hub, 2)
    hub.polled()
    reader.read_all()
    assert (reader.inbox.owed, reader.inbox.owed_since) == (0, None)
    for number in range(1, 8):
        hub.show(number)
    hub.show(7, R)
    assert reader.inbox.owed == 5
    since = reader.inbox.owed_since
    assert since is not None
    while reader.inbox.owed:
        reader.read()
        reader.answer()
        hub.show(7, S)
        waiting = sum(isinstance(one.peek(), TaskEvent) for one in reader.mailbox._queued)
        assert len({one.task.id for one in reader.events}) + waiting + reader.inbox.owed >= 7
        assert reader.inbox.owed <= 5
    reader.read_all()
    assert {one.task.id for one in reader.events} == set("1234567")
    assert reader.inbox.owed_since is None


def test_a_closed_queue_is_no_overflow() -> None:
    hub = hub_with()
    reader = Reader(hub, 5)
    reader.mailbox.close()
    hub.show(1)
    assert (reader.overflows, reader.inbox.is_lagging) == (0, False)
    assert hub.subscribers.needed_since() is None


def test_whoever_leaves_while_behind_is_told_nothing_and_keeps_nothing() -> None:
    hub = hub_with(1, 2, 3)
    reader = Reader(hub, 1)
    assert reader.inbox.is_lagging
    reader.inbox.unsubscribe()
    reader.inbox.unsubscribe()
    assert hub.subscribers.needed_since() is None
    waiting = len(reader.mailbox)
    reader.inbox.catch_up()
    hub.show(4)
    assert len(reader.mailbox) == waiting


def test_the_last_event_of_a_walk_says_what_was_left_out() -> None:
    hub = hub_with(1)
    reader = Reader(hub, 1)
    hub.polled()
    reader.read_all()
    hub.show(2)
    for state in (R, P, R, P, R, S):
        hub.show(1, state)
    reader.read_all()
    assert [(one.task.id, one.coalesced) for one in reader.events[-2:]] == [("2", 0), ("1", 5)]
    assert reader.coalesced == 5


class TestLiveBeforeInitial:
    """With places kept for them, live events overtake the initial state that waits."""

    def test_a_change_of_a_task_that_waits_is_its_first_event(self) -> None:
        hub = hub_with(*range(1, 21))
        reader = Reader(hub, 4, reserve=1)
        hub.polled()
        hub.show(20, R)
        reader.read(4)  # two of the walk, its marker, the live one
        seen = [(one.task.id, one.kind, one.task.state, one.initial) for one in reader.events]
        assert seen[-1] == ("20", EventKind.ADDED, R, False)
        hub.show(20, S)
        reader.read_all()
        assert [one.task.state for one in reader.events if one.task.id == "20"] == [R, S]
        assert {one.task.id for one in reader.events} == {str(one) for one in range(1, 21)}

    def test_a_new_task_does_not_wait_for_them(self) -> None:
        hub = hub_with(*range(1, 21))
        reader = Reader(hub, 4, reserve=1)
        hub.polled()
        hub.show(21)
        reader.read(4)  # two of the walk, its marker, the live one
        assert [one.task.id for one in reader.events if not one.initial] == ["21"]
        reader.read_all()
        assert Counter(one.task.id for one in reader.events)["21"] == 1

    def test_the_first_events_of_a_reply_that_found_no_place_are_overtaken_too(self) -> None:
        hub = hub_with()
        reader = Reader(hub, 4, reserve=1)
        for number in range(1, 21):
            hub.show(number)
        reader.read(2)
        hub.polled()
        hub.show(19, R)
        reader.read_all()
        places = [one.task.id for one in reader.events]
        assert places.index("19") < 8
        assert Counter(places)["19"] == 1

    def test_without_such_places_they_wait(self) -> None:
        hub = hub_with(*range(1, 21))
        reader = Reader(hub, 4)
        hub.polled()
        hub.show(21)
        reader.read_all()
        assert reader.events[-1].task.id == "21"
