"""Restarts of our own process: what differs is told, once, whatever the file goes through."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import forking
from support.inboxes import ModelHub
from support.made import made_session, made_task
from support.waiting import eventually

from flamepy.errors import ConfigError, InvalidArgumentError, InvalidStateError
from flamepy.informers import (
    Reactor,
    SessionEvent,
    SessionInformer,
    TaskEvent,
    TaskInformer,
    signals,
)
from flamepy.informers.checkpoint import file as checkpoint_file
from flamepy.informers.checkpoint import store as checkpoint_store
from flamepy.informers.checkpoint import tables as checkpoint_rows
from flamepy.informers.checkpoint.delivered import Memory
from flamepy.informers.checkpoint.resumption import (
    DeliveredTask,
    Past,
    PastSession,
    Presence,
    Ranges,
    Resumption,
    Shown,
    Step,
    micros,
    session_key,
)
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.delivery.inbox import Gone, Inbox, LagMarker, ShownCounters, Synced, Wanted
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.informer import TemporaryError
from flamepy.informers.options import Options
from flamepy.informers.workers.queue import Mailbox
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import SessionState, TaskCounts, TaskState
from flamepy.watching.state.events import EventKind
from flamepy.watching.state.missed import MissedEnds, Reason
from flamepy.watching.state.subscriptions import Scope

P, R, S, F = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED, TaskState.FAILED


def told(informer: RecordingInformer) -> list[tuple[str, str, str]]:
    return [(one.kind.value, one.task.id, one.task.state.name) for one in informer.events]


# ---------------------------------------------------------------------- any history, any kill


class Life:
    """One process: an inbox, and an informer that is played by hand and may be killed."""

    def __init__(self, hub: ModelHub, path: Path, limit: int, retain: int, replay: str) -> None:
        self.next = lambda hub: Life(hub, path, limit, retain, replay)
        self.told: list[TaskEvent] = []
        self.lost: list[MissedEnds] = []
        self.store = CheckpointStore(path, retain=retain)
        self.store.open()
        self.memory: Memory = self.store.memory("me", replay=replay, scope=Scope())
        self.mailbox = Mailbox(limit)
        self.inbox = Inbox(
            hub,
            self.mailbox.put,
            wanted=Wanted(replay=replay, compares=self.memory.unfinished),
        )
        self.inbox.subscribe(Scope())

    def read(self, most: int) -> None:
        for work in self.mailbox.take(0.0, most):
            for item in self.mailbox.open(work):
                self.handle(item)
            self.mailbox.finish(work)

    def handle(self, item: object) -> None:
        if isinstance(item, TaskEvent):
            for event, tell in self.memory.task(item):
                self.tell(event, tell)
        elif isinstance(item, LagMarker):
            self.inbox.catch_up()
        elif isinstance(item, Gone):
            self.memory.gone(item.session, item.missed)
        elif isinstance(item, ShownCounters):
            self.memory.shown(self.inbox.take_shown())
        elif isinstance(item, Synced):
            self.lost += self.memory.lost(item.presence or Presence())
            for missing in self.memory.missing(item.presence or Presence()):
                self.tell(missing, True)
            self.memory.synced(item.presence or Presence())

    def tell(self, event: object, tell: bool) -> None:
        assert isinstance(event, TaskEvent)
        if tell:
            self.told.append(event)
        self.memory.note(event)
        if tell:
            self.memory.commit()

    def read_all(self) -> None:
        while len(self.mailbox):
            self.read(10)

    def kill(self) -> None:
        self.store.close()


STEPS = st.one_of(
    st.tuples(
        st.just("show"), st.sampled_from(["s", "t"]), st.integers(1, 5), st.sampled_from([P, R, S])
    ),
    st.tuples(st.just("read"), st.integers(1, 4)),
    st.tuples(st.just("reset"), st.sampled_from(["s", "t"])),
    st.tuples(st.just("kill")),
)


class Engine:
    """What the engine has: kept while nobody watches, shown again to each new process."""

    def __init__(self) -> None:
        self.born = {"s": 0, "t": 0}
        self.tasks: dict[tuple[str, int], TaskState] = {}
        self.ended: set[tuple[str, int, int]] = set()
        self.lost: set[tuple[str, int, int]] = set()

    def show(self, session: str, number: int, state: TaskState) -> bool:
        if self.tasks.get((session, number), P).is_terminal:
            return False
        self.tasks[session, number] = state
        if state.is_terminal:
            self.ended.add((session, number, self.born[session]))
        return True

    def reset(self, session: str) -> None:
        for name, number in [key for key in self.tasks if key[0] == session]:
            del self.tasks[name, number]
            self.lost.add((session, number, self.born[session]))
        self.born[session] += 1

    def fresh_hub(self) -> ModelHub:
        hub = ModelHub()
        for name, born in self.born.items():
            hub.born[name] = born
            hub.show_session(name)
        return hub

    def list(self, hub: ModelHub) -> None:
        for (session, number), state in sorted(self.tasks.items()):
            hub.show(number, state, session=session)


def incarnation(event: TaskEvent) -> tuple[str, int, int]:
    made = event.task.creation_time
    return (
        event.task.session_id,
        int(event.task.id),
        int((made - made_task().creation_time).seconds),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=60), st.integers(1, 8), st.sampled_from([0, 2, 1000]))
def test_any_history_with_kills(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[Any],
    limit: int,
    retain: int,
) -> None:
    path = tmp_path_factory.mktemp("life") / "state.db"
    monkeypatch.setattr(checkpoint_rows, "SLACK", 0)
    engine = Engine()
    hub = engine.fresh_hub()
    life = Life(hub, path, limit, retain, "all")
    hub.polled()
    lives = [life]
    try:
        play(engine, hub, lives, steps)
    finally:
        lives[-1].kill()
    check(engine, [event for one in lives for event in one.told], retired=retain < 1000)


def play(engine: Engine, hub: ModelHub, lives: list[Life], steps: list[Any]) -> None:
    for step in steps:
        life = lives[-1]
        if step[0] == "show" and engine.show(*step[1:]):
            hub.show(step[2], step[3], session=step[1])
        elif step[0] == "read":
            life.read(step[1])
        elif step[0] == "reset":
            engine.reset(step[1])
            hub.show_session(step[1], reset=True)
        elif step[0] == "kill":
            life.kill()
            hub = engine.fresh_hub()
            lives.append(life.next(hub))
            engine.list(hub)
            hub.polled()
    lives[-1].read_all()


def check(engine: Engine, events: list[TaskEvent], *, retired: bool) -> None:
    keys = Counter((incarnation(event), event.key, event.kind) for event in events)
    assert all(count == 1 for key, count in keys.items() if not key[1].endswith("pending")), keys
    present = {(name, number, engine.born[name]) for name, number in engine.tasks}
    ends = {incarnation(one) for one in events if one.task.state.is_terminal and not gone(one)}
    assert engine.ended & present <= ends
    last: dict[tuple[str, int, int], TaskEvent] = {}
    for event in events:
        if incarnation(event) in last:
            before = last[incarnation(event)]
            assert event.kind is not EventKind.ADDED, f"{event.key} was added twice"
            assert not gone(before), f"{event.key} after its delete"
            known = event.old is not None and not gone(event)  # unknown behind a full queue
            assert not known or event.old.state == before.task.state
        last[incarnation(event)] = event
    for key, event in last.items():
        if not (retired and event.task.state.is_terminal):  # of the oldest no delete is told
            assert gone(event) == (key in engine.lost)
        if gone(event):
            assert event.final_state_known == event.task.state.is_terminal
        elif key not in engine.lost:
            assert event.task.state == engine.tasks[key[0], key[1]]


def gone(event: TaskEvent) -> bool:
    return event.kind is EventKind.DELETED


@given(st.lists(st.integers(1, 60)))
def test_ranges_are_a_set(numbers: list[int]) -> None:
    ranges = Ranges()
    for number in numbers:
        ranges.add(number)
    again = Ranges(str(ranges))
    assert [one for one in range(62) if one in ranges] == sorted(set(numbers))
    assert [one for one in range(62) if one in again] == sorted(set(numbers))
    assert str(again).count(",") == sum(one + 1 not in numbers for one in set(numbers)) - bool(
        numbers
    )


# ---------------------------------------------------------------------- one decision each


class TestResumption:
    def test_an_end_that_was_told_stays_whatever_the_engine_shows(self) -> None:
        life = resumed({1: S})
        assert life.task(event(1, R)) == []
        assert life.task(event(1, F, EventKind.UPDATED)) == []
        assert [one.event.kind for one in life.task(event(1, F, EventKind.DELETED))] == ["deleted"]

    def test_another_task_under_the_number_is_told_behind_the_delete(self) -> None:
        (gone, step), (added, _) = resumed({1: R}).task(event(1, P, born=5))
        assert (gone.kind, gone.final_state_known, step) == (EventKind.DELETED, False, True)
        assert added.kind is EventKind.ADDED

    def test_an_end_that_the_store_no_longer_keeps_is_told(self) -> None:
        life = resumed({1: R, 2: S})
        session = next(iter(life._sessions))
        missing = list(life.missing(Presence({"s1": session[1]}, {("s1", 1): F})))
        assert [(one.kind.value, one.task.state) for one in missing] == [("updated", F)]
        assert missing[0].old is not None
        assert missing[0].old.state == R

    def test_what_is_out_of_the_scope_is_forgotten_without_a_word(self) -> None:
        life = resumed({1: R}, scope=Scope(application="other"))
        assert list(life.missing(Presence())) == []
        assert len(life.finish(Presence())) == 1

    def test_what_is_new_is_news_only_for_who_was_told_everything(self) -> None:
        assert resumed({}).task(event(1, S))[0].event.initial is False
        assert resumed({}, complete=False).task(event(1, S))[0].event.initial is True
        for replay, tells in (("none", [False, False]), ("active", [True, False])):
            life = resumed({}, complete=False, replay=replay)
            assert [life.task(event(1, one))[0].tell for one in (P, S)] == tells


def event(
    number: int, state: TaskState, kind: EventKind = EventKind.ADDED, born: int = 0
) -> TaskEvent:
    session = made_session()
    return TaskEvent(
        kind=kind,
        task=made_task(number, state, born=born),
        application="app",
        initial=kind is EventKind.ADDED,
        session_creation_time=session.creation_time,
    )


def resumed(
    tasks: dict[int, TaskState],
    *,
    complete: bool = True,
    replay: str = "all",
    scope: Scope | None = None,
) -> Resumption:
    created = micros(made_task().creation_time)
    told = {number: DeliveredTask(created, state) for number, state in tasks.items()}
    past = Past(complete, {("s1", created): PastSession("app", told)} if tasks else {})
    return Resumption(past, replay, scope or Scope())


# ---------------------------------------------------------------------- with a reactor


class TestMissed:
    """An end that was shown is told, or counted as missed once, whatever dies in between."""

    def life(
        self, path: Path, limit: int = 100, retain: int = 1000, *, closed: bool = True
    ) -> tuple[Life, ModelHub]:
        """Return a life and its hub; a session shows 3 successes and 1 failure, 2 tasks run."""
        hub = ModelHub()
        life = Life(hub, path, limit, retain, "all")
        hub.polled()
        life.read_all()
        self.show(hub, closed=closed)
        return life, hub

    def show(self, hub: ModelHub, *, closed: bool = True) -> None:
        info = replace(
            made_session("s", TaskCounts(succeed=3, failed=1, running=2), application="s"),
            state=SessionState.CLOSED if closed else SessionState.OPEN,
        )
        hub._emit(hub.store.observe_session(info, hub._window()))
        for number in range(1, 5):
            hub.show(number, F if number == 4 else S)

    @pytest.mark.parametrize("closed", [True, False])
    @pytest.mark.parametrize("retain", [0, 1000])
    @pytest.mark.parametrize("limit", [2, 100])
    @pytest.mark.parametrize("read", range(1, 7))
    def test_what_the_next_process_cannot_tell_is_counted_once(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        read: int,
        limit: int,
        retain: int,
        closed: bool,
    ) -> None:
        monkeypatch.setattr(checkpoint_rows, "SLACK", 0)
        life, _ = self.life(tmp_path / "state.db", limit, retain, closed=closed)
        for _ in range(read):
            life.read(1)
        told = sum(one.task.state.is_terminal for one in life.told)
        life.kill()
        expected = 4 - told + (2 if closed else 0)
        empty = ModelHub()
        lives = [life.next(empty)]
        empty.polled()
        if read % 2:  # killed between the count and the deletes
            assert sum(one.total for one in lives[0].memory.lost(Presence())) == expected
            lives[0].kill()
            empty = ModelHub()
            lives.append(life.next(empty))
            empty.polled()
        lives[-1].read_all()
        assert lives[-1].memory.missed == expected
        if not read % 2 and expected:
            (missed,) = lives[-1].lost
            assert (missed.total, missed.reason) == (expected, Reason.AWAY)
            assert missed.session.id == "s"
            known = told == 0 or retain > 0
            assert missed.counts.terminal == (4 - told if known else 0)
        lives[-1].kill()
        last = life.next(ModelHub())
        assert last.memory.missed == expected, "and never again"
        last.kill()

    def test_what_is_still_there_is_told_and_not_missed(self, tmp_path: Path) -> None:
        life, _ = self.life(tmp_path / "state.db")
        life.read(3)
        life.kill()
        again = ModelHub()
        following = life.next(again)
        self.show(again)
        again.polled()
        following.read_all()
        ends = [one.task.id for one in (*life.told, *following.told)]
        assert sorted(ends) == ["1", "2", "3", "4"]
        assert following.memory.missed == 0
        following.kill()

    def test_what_this_process_has_counted_the_next_one_does_not(self, tmp_path: Path) -> None:
        life, hub = self.life(tmp_path / "state.db")
        life.read_all()
        outcome = hub.store.drop_session("s", hub._window())
        assert outcome.missed is not None
        assert hub.subscribers.missed(outcome.missed)
        hub._emit(outcome)
        life.read_all()
        assert life.memory.missed == 2
        life.memory.commit()
        life.kill()
        empty = ModelHub()
        following = life.next(empty)
        empty.polled()
        following.read_all()
        assert following.memory.missed == 2
        following.kill()


class Watching:
    """One life after another on one file."""

    def __init__(self, engine: FakeEngine, path: Path) -> None:
        self.engine = engine
        self.path = path

    def live(
        self,
        informer: Any = None,
        act: Callable[[Reactor], object] = lambda _: None,
        **options: Any,
    ) -> Any:
        """Register, be told everything, stop; return the informer."""
        informer = RecordingInformer() if informer is None else informer
        options = {"uid": "me", **options}
        retain = options.pop("retain", None)
        with Reactor(
            endpoint=self.engine.endpoint, checkpoint=self.path, retain_terminal=retain
        ) as reactor:
            reactor.register(informer, **options).wait_synced(20)
            act(reactor)
        return informer


@pytest.fixture
def watching(engine: FakeEngine, tmp_path: Path) -> Watching:
    for _ in range(4):
        engine.add_task("s")
    engine.succeed("s", "1")
    engine.start("s", "2")
    engine.start("s", "3")
    return Watching(engine, tmp_path / "state.db")


class TestWhatIsTold:
    def test_only_what_differs_and_not_as_there_before(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        first = watching.live()
        assert [one.initial for one in first.events] == [True] * 4
        engine.succeed("s", "2")
        engine.requeue("s", "3")
        engine.add_task("s")
        second = watching.live()
        assert told(second) == [
            ("updated", "2", "SUCCEED"),
            ("updated", "3", "PENDING"),
            ("added", "5", "PENDING"),
        ]
        assert [one.initial for one in second.events] == [False] * 3
        assert second.events[0].old is not None
        assert second.events[0].old.state == R
        assert second.events[1].is_requeue
        assert told(watching.live()) == []

    def test_what_is_gone_is_deleted(self, watching: Watching, engine: FakeEngine) -> None:
        watching.live()
        engine.drop_session("s")
        second = watching.live()
        assert {(one.task.id, one.final_state_known) for one in second.events} == {
            *(("1", True), ("2", False), ("3", False), ("4", False))
        }
        assert all(one.kind is EventKind.DELETED for one in second.events)
        assert told(watching.live()) == []

    def test_a_session_of_the_same_id_is_another_one(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        watching.live()
        made = int(time.time())
        engine.drop_session("s")
        eventually(lambda: int(time.time()) > made, "another second: ids have no finer birth")
        engine.add_session("s")
        engine.add_task("s")
        kinds = [(one.kind.value, one.task.id) for one in watching.live().events]
        assert kinds == [*(("deleted", str(number)) for number in range(1, 5)), ("added", "1")]

    @pytest.mark.parametrize("replay", ["none", "active"])
    def test_what_was_there_at_the_first_start_is_never_told_what_came_is(
        self, watching: Watching, engine: FakeEngine, replay: str
    ) -> None:
        first = watching.live(replay=replay)
        assert len(first.events) == (0 if replay == "none" else 3)
        engine.add_task("s")
        engine.succeed("s", "5")
        engine.succeed("s", "2")
        second = watching.live(replay=replay)
        assert told(second) == [("updated", "2", "SUCCEED"), ("added", "5", "SUCCEED")]

    def test_another_scope_is_a_first_start_for_what_is_new_in_it(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        engine.add_session("t")
        engine.add_task("t")
        watching.live(session="s", replay="none")
        engine.succeed("s", "2")
        assert told(watching.live(replay="none")) == [("updated", "2", "SUCCEED")]

    def test_who_counts_is_told_everything_again(self, watching: Watching) -> None:
        class Counting(RecordingInformer):
            resume = False

        for _ in range(2):
            assert len(watching.live(resume=False).events) == 4
            assert len(watching.live(Counting()).events) == 4
        assert len(watching.live(Counting(), resume=True).events) == 4
        assert len(watching.live(Counting(), resume=True).events) == 0

    def test_who_has_no_name_is_told_everything_again_and_a_hint(
        self, watching: Watching, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            assert len(watching.live(uid=None).events) == 4
        hints = [one for one in caplog.messages if "has no uid" in one]
        assert len(hints) == 2
        assert "RecordingInformer" in hints[0]

    def test_sessions_are_remembered_as_well(self, watching: Watching, engine: FakeEngine) -> None:
        assert watching.live(Sessions()).seen == ["opened 1/2/1"]
        assert watching.live(Sessions()).seen == []
        for number in "234":
            engine.succeed("s", number)
        engine.add_session_event("s", 1001, "no room")
        assert sorted(watching.live(Sessions()).seen) == [
            "drained 0/0/4",
            "event 0/0/4",
            "progress 0/0/4",
        ]
        assert watching.live(Sessions()).seen == []
        engine.drop_session("s")
        assert watching.live(Sessions()).seen == ["deleted 0/0/4"]
        assert watching.live(Sessions()).seen == []


class Sessions(SessionInformer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def note(self, event: SessionEvent) -> None:
        now = event.counts
        self.seen.append(f"{event.kind.value} {now.pending}/{now.running}/{now.succeed}")

    on_opened = on_drained = on_closed = on_deleted = on_event = note

    def on_progress(self, counts: Any) -> None:
        now = counts.counts
        self.seen.append(f"progress {now.pending}/{now.running}/{now.succeed}")


def test_a_restart_says_what_was_missed_in_figures_and_by_the_signal(
    watching: Watching, engine: FakeEngine
) -> None:
    """The process stops while most of what it was shown waits; the engine forgets it meanwhile."""
    gate, entered = threading.Event(), threading.Event()
    told: list[str] = []

    class Slow(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            told.append(event.task.id)
            entered.set()
            gate.wait(30)

    for number in ("2", "3", "4"):
        engine.succeed("s", number)
    reactor = Reactor(endpoint=engine.endpoint, checkpoint=watching.path).start()
    reactor.register(Slow(), uid="me")
    assert entered.wait(30)
    stopping = threading.Timer(0.0, reactor.stop, (0.2,))
    stopping.start()
    stopping.join(30)
    gate.set()
    engine.drop_session("s")
    seen: list[dict[str, Any]] = []

    def note(sender: str, **values: Any) -> None:
        seen.append(values)

    figures: list[tuple[int, int]] = []

    def look(reactor: Reactor) -> None:
        eventually(lambda: seen, "the signal")
        (registration,) = [one for one in reactor.registrations if one.uid == "me"]
        figures.append((registration.stats.missed, reactor.health().missed))

    with signals.events_missed.connected_to(note):
        watching.live(act=look)
    (missed,) = seen
    assert missed["total"] == missed["counts"].succeed
    assert missed["total"] in (3, 4), "the one that the stop cut may count as told"
    assert figures == [(missed["total"], missed["total"])]
    assert str(missed["reason"]) == "gone while nothing watched"


class TestWhatCounts:
    """What is remembered, and when."""

    def test_a_callback_that_the_stop_cut_is_called_again(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        class Stuck(RecordingInformer):
            reached, gate = threading.Event(), threading.Event()

            def on_transition(self, event: TaskEvent) -> None:
                super().on_transition(event)
                if event.task.id == "2":
                    self.reached.set()
                    self.gate.wait(20)

        stuck = Stuck()
        reactor = Reactor(endpoint=engine.endpoint, checkpoint=watching.path).start()
        reactor.register(stuck, uid="me")
        assert stuck.reached.wait(20)
        reactor.stop(0.0)
        second = watching.live()
        stuck.gate.set()
        assert [one.task.id for one in stuck.events] == ["1", "2"]
        assert [one.task.id for one in second.events] == ["2", "3", "4"]

    def test_each_event_is_kept_before_the_next_callback(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        kept: list[int] = []

        class Looking(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                copy = watching.path.with_name("copy.db")
                for suffix in ("", "-wal"):
                    source = Path(f"{watching.path}{suffix}")
                    Path(f"{copy}{suffix}").write_bytes(source.read_bytes())
                kept.append(rows(copy, "tasks"))
                Path(f"{copy}-wal").unlink(missing_ok=True)

        watching.live(Looking())
        assert kept == [0, 1, 2, 3]

    def test_a_callback_that_failed_for_good_is_not_called_again(self, watching: Watching) -> None:
        class Failing(RecordingInformer):
            def on_transition(self, event: TaskEvent) -> None:
                super().on_transition(event)
                raise ValueError("no")

        assert len(watching.live(Failing()).events) == 4
        assert watching.live(Failing()).events == []

    def test_a_batch_is_one_callback(self, watching: Watching, engine: FakeEngine) -> None:
        class Batches(TaskInformer):
            def __init__(self, stuck: bool) -> None:
                self.batches: list[list[str]] = []
                self.stuck = stuck
                self.reached, self.gate = threading.Event(), threading.Event()

            def on_batch(self, events: Any) -> None:
                self.batches.append([one.task.id for one in events])
                if self.stuck and len(self.batches) == 2:
                    self.reached.set()
                    self.gate.wait(20)

        first = Batches(True)
        reactor = Reactor(endpoint=engine.endpoint, checkpoint=watching.path).start()
        reactor.register(first, uid="me", batch_size=2)
        assert first.reached.wait(20)
        reactor.stop(0.0)
        second = watching.live(Batches(False), batch_size=2)
        first.gate.set()
        assert first.batches == [["1", "2"], ["3", "4"]]
        assert second.batches == [["3", "4"]]

    def test_what_where_leaves_out_is_kept_in_a_second(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        def kept(_: Reactor) -> None:
            engine.succeed("s", "2")
            log = Path(f"{watching.path}-wal")
            size = log.stat().st_size
            eventually(lambda: log.stat().st_size > size, "the log to grow", 20)

        informer = watching.live(act=kept, where=lambda event: False)
        assert informer.events == []
        assert told(watching.live()) == []


def rows(path: Path, table: str) -> int:
    database = sqlite3.connect(path)
    try:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        database.close()


# ---------------------------------------------------------------------- the file


class TestFile:
    def test_it_is_private(self, watching: Watching) -> None:
        def look(_: Reactor) -> None:
            files = [one for one in watching.path.parent.iterdir()]
            assert {one.stat().st_mode & 0o777 for one in files} == {0o600}
            assert len(files) == 4, files  # the database, its log, the log's index, the lock

        watching.live(act=look)
        watching.path.chmod(0o644)
        watching.live(act=look)

    def test_a_second_reactor_is_refused_until_the_first_has_stopped(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        def second(_: Reactor) -> None:
            with pytest.raises(InvalidStateError, match=f"process {os.getpid()}: stop that one"):
                Reactor(endpoint=engine.endpoint, checkpoint=watching.path).start()

        watching.live(act=second)
        assert watching.live().events == []

    def test_a_forked_child_keeps_nothing(self, watching: Watching) -> None:
        reading, writing = os.pipe()
        children = []

        def fork(reactor: Reactor) -> None:
            def act() -> None:
                assert reactor.health().checkpoint is None
                os.close(writing)
                os.read(reading, 1)

            children.append(forking.fork(act))

        watching.live(act=fork)
        assert watching.live().events == []
        os.close(writing)
        os.close(reading)
        assert forking.end(children[0]) == 0

    @pytest.mark.parametrize("kind", ["damaged", "foreign", "text", "pages"])
    def test_what_is_no_checkpoint_is_set_aside(
        self, watching: Watching, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        if kind != "text":
            watching.live()
        spoil(watching.path, kind)
        before = watching.path.read_bytes()
        caplog.clear()
        assert len(watching.live().events) == 4
        aside = Path(f"{watching.path}.aside-1")
        assert aside.read_bytes() == before
        (message,) = [one for one in caplog.messages if "set aside" in one]
        assert str(watching.path) in message
        assert str(aside) in message
        assert {"foreign": "another program"}.get(kind, "") in message
        assert watching.live().events == []
        spoil(watching.path, "damaged")
        watching.live()
        assert Path(f"{watching.path}.aside-2").exists()
        assert aside.read_bytes() == before

    def test_one_of_a_newer_release_is_refused_and_left_as_it_is(self, watching: Watching) -> None:
        watching.live()
        spoil(watching.path, "newer")
        before = watching.path.read_bytes()
        with pytest.raises(
            ConfigError, match=r"format 99; this one knows \d+.*pip install"
        ) as said:
            watching.live()
        assert str(watching.path) in said.value.message
        assert watching.path.read_bytes() == before
        assert not list(watching.path.parent.glob("*.aside-*"))

    def test_it_stays_small(self, watching: Watching, engine: FakeEngine) -> None:
        sizes = []
        for round_number in range(6):
            for number in range(5, 305):
                engine.add_task("s")
                engine.succeed("s", str(round_number * 300 + number))
            events = watching.live(retain=50).events
            assert len(events) == 300 + (4 if round_number == 0 else 0)
            sizes.append(watching.path.stat().st_size)
            assert rows(watching.path, "tasks") <= 50 + checkpoint_rows.SLACK + 3
        assert watching.live(retain=50).events == []
        assert max(sizes) <= 53_248, sizes
        engine.drop_session("s")
        watching.live(retain=50)
        assert (rows(watching.path, "tasks"), rows(watching.path, "sessions")) == (0, 0)

    def test_sessions_that_go_while_it_looks_leave_it(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        informer = RecordingInformer()

        def drop(_: Reactor) -> None:
            engine.drop_session("s")
            informer.wait_for(lambda one: len(one.events) == 8, 20)

        watching.live(informer, drop)
        assert (rows(watching.path, "tasks"), rows(watching.path, "sessions")) == (0, 0)

    def test_careless_arguments_are_refused(self, tmp_path: Path, engine: FakeEngine) -> None:
        for wrong, why in ((tmp_path, "is a folder"), ("", "path of a file"), (3, "path of a")):
            with pytest.raises(InvalidArgumentError, match=why):
                Reactor(checkpoint=wrong)
        with Reactor(endpoint=engine.endpoint) as reactor:
            assert reactor.health().to_dict()["checkpoint"] is None
            with pytest.raises(InvalidArgumentError, match="resume must be"):
                reactor.register(RecordingInformer(), resume="no")


def spoil(path: Path, kind: str) -> None:
    if kind in ("damaged", "text"):
        path.write_bytes(b"this is a letter, not a database\n" * 10)
    elif kind == "pages":
        content = bytearray(path.read_bytes())
        content[4096:8192] = b"\xff" * 4096
        path.write_bytes(content)
    else:
        database = sqlite3.connect(path)
        number = {"foreign": "application_id = 7", "newer": "user_version = 99"}[kind]
        database.execute(f"PRAGMA {number}")
        database.close()


class TestTrouble:
    """A file that cannot be used costs a warning, and is used once it can be."""

    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint_store, "RETRY_DELAY", 0.1)

    def test_a_folder_that_cannot_be_used(
        self, watching: Watching, engine: FakeEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "flamepy.informers")
        watching.path = watching.path.parent / "folder" / "state.db"
        watching.path.parent.write_text("in the way")
        informer = RecordingInformer()

        def repair(reactor: Reactor) -> None:
            informer.wait_for(lambda one: len(one.events) == 4, 20)
            assert reactor.health().checkpoint is False
            watching.path.parent.unlink()
            eventually(lambda: reactor.health().checkpoint, "it to work again")
            engine.succeed("s", "2")
            informer.wait_for(lambda one: len(one.events) == 5, 20)

        watching.live(informer, repair)
        told_of = [one for one in caplog.records if str(watching.path) in one.getMessage()]
        assert [one.levelname for one in told_of] == ["WARNING", "INFO"]
        assert watching.live().events == []

    def test_a_full_disk(
        self,
        watching: Watching,
        engine: FakeEngine,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        room = ["100000"]
        connect = checkpoint_file._connect

        def limited(path: Path) -> sqlite3.Connection:
            database = connect(path)
            database.execute(f"PRAGMA max_page_count = {room[0]}")
            return database

        monkeypatch.setattr(checkpoint_file, "_connect", limited)
        watching.live()
        room[0] = "1"
        for number in range(5, 605):
            engine.add_task("s")
            engine.succeed("s", str(number))
        informer = RecordingInformer()

        def make_room(reactor: Reactor) -> None:
            informer.wait_for(lambda one: len(one.events) == 600, 20)
            assert reactor.health().checkpoint is False
            assert reactor.health().to_dict()["checkpoint"] is False
            room[0] = "100000"
            eventually(lambda: reactor.health().checkpoint, "it to work again")

        caplog.clear()
        watching.live(informer, make_room)
        warnings = [one for one in caplog.messages if "cannot be used" in one]
        assert [("full" in one) for one in warnings] == [True]
        assert watching.live().events == []

    def test_a_file_that_is_lost_while_it_cannot_be_written(
        self, watching: Watching, engine: FakeEngine
    ) -> None:
        informer = RecordingInformer()

        def lose(reactor: Reactor) -> None:
            store = reactor._checkpoint._store
            assert store is not None
            store._fail(OSError("as if"))
            spoil(watching.path, "text")
            engine.succeed("s", "2")
            eventually(lambda: Path(f"{watching.path}.aside-1").exists(), "it to be set aside")
            eventually(lambda: reactor.health().checkpoint, "it to work again")

        watching.live(informer, lose, replay="none")
        again = watching.live(replay="none")
        assert again.events == [], "what it no longer knows is as at the first start, not news"

    def test_what_waits_is_bounded(self, tmp_path: Path) -> None:
        (tmp_path / "folder").write_text("in the way")
        store = CheckpointStore(tmp_path / "folder" / "state.db", retain=10)
        store.open()
        memory = store.memory("me", replay="all", scope=Scope())
        for number in range(1, 2000):
            memory.note(event(number, S))
            memory.commit()
        assert len(memory._changes.tasks) <= 20 + 256
        store.close()


class TestStore:
    """What a memory finds in the file, without an engine."""

    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint_store, "RETRY_DELAY", 0.0)

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], CheckpointStore]]:
        made: list[CheckpointStore] = []

        def make() -> CheckpointStore:
            for one in made:
                one.close()
            made.append(CheckpointStore(tmp_path / "state.db"))
            made[-1].open()
            return made[-1]

        yield make
        for one in made:
            one.close()

    def test_a_callback_that_waits_for_another_try_at_the_stop_is_not_told(self, opened) -> None:
        class Retrying(TaskInformer):
            failed = threading.Event()

            def on_transition(self, event: TaskEvent) -> None:
                self.failed.set()
                raise TemporaryError(delay=60)

        nothing = Hooks(*[lambda _: None] * 4)
        one = Registration(Retrying(), Scope(), Options(uid="me"), hooks=nothing)
        one.prepare(memory_of(opened()))
        one.put(event(1, S))
        assert Retrying.failed.wait(20)
        one.close(0.0)
        assert one.worker.thread is not None
        one.worker.thread.join(20)
        assert memory_of(opened()).task(event(1, S)) == [Step(event(1, S), True)]

    def test_a_task_of_an_earlier_session_is_new_once_that_is_forgotten(self, opened) -> None:
        told = memory_of(opened())
        told.note(event(1, R))
        told.synced(Presence({"s1": session_key(event(1, R))[1]}))
        again = memory_of(opened())
        assert [one.final_state_known for one in again.missing(Presence())] == [False]
        again.synced(Presence())
        later = made_session(born=5).creation_time
        assert len(again.task(replace(event(1, P), session_creation_time=later))) == 1

    def test_a_file_that_is_new_does_not_claim_to_know_everything(
        self, opened, tmp_path: Path
    ) -> None:
        store = opened()
        memory = memory_of(store)
        store._fail(OSError("as if"))
        spoil(tmp_path / "state.db", "text")
        memory.synced(Presence())
        assert store.works
        assert memory_of(opened()).task(event(1, S))[0].event.initial, "as at the first start"

    def test_a_file_that_could_not_be_read_is_written_anew(
        self, opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = memory_of(opened())
        memory.note(event(1, R))
        memory.commit()
        reading = checkpoint_file._check_header
        monkeypatch.setattr(checkpoint_file, "_check_header", broken)
        memory = memory_of(opened())
        monkeypatch.setattr(checkpoint_file, "_check_header", reading)
        memory.note(event(2, R))
        memory.commit()
        again = memory_of(opened())
        assert again.unfinished == {("s1", 2)}


def broken(path: Path) -> None:
    raise OSError("as if")


def memory_of(store: CheckpointStore) -> Memory:
    return store.memory("me", replay="all", scope=Scope())


def test_missed_ends_that_this_process_saw_are_not_counted_again_for_the_one_before() -> None:
    """A hub that outlives a reactor reports a session that the checkpoint has as well."""

    class Kept:
        retry_at = None

        def write(self, changes: object) -> bool:
            return True

    key, other = ("s", 1), ("away", 2)
    counts = TaskCounts(succeed=5)
    past = Past(sessions={one: PastSession("a", shown=Shown(counts, True)) for one in (key, other)})
    memory = Memory(past, Kept(), replay="all", scope=Scope())
    memory.gone(key, 5)
    assert [(one.session.id, one.total) for one in memory.lost(Presence())] == [("away", 5)]
    assert memory.missed == 10
