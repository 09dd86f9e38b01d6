"""``register(events=...)``: only the events of these names reach an informer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from support.made import made_task
from support.waiting import eventually

from flamepy.core import TaskInformer
from flamepy.errors import InvalidArgumentError
from flamepy.informers import (
    OverdueEvent,
    Reactor,
    SessionEvent,
    SessionInformer,
    TaskEvent,
    expect,
)
from flamepy.informers.delivery.callbacks import Callbacks, callbacks_of, event_names
from flamepy.informers.event_names import EVENT_NAMES, OF_TASKS, checked_events
from flamepy.informers.on import callback_names
from flamepy.testing import FakeEngine
from flamepy.types import TaskState
from flamepy.watching.state.events import EventKind


class Everything(TaskInformer, SessionInformer):
    """Notes each event that it gets."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_transition(self, event: TaskEvent) -> None:
        self.seen.append(f"{event.task.id} {event.task.state.name}")

    def on_opened(self, event: SessionEvent) -> None:
        self.seen.append("opened")

    def on_closed(self, event: SessionEvent) -> None:
        self.seen.append("closed")


class Ends(TaskInformer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_terminal(self, event: TaskEvent) -> None:
        self.seen.append(event.task.id)


class Batches(TaskInformer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_batch(self, events: Sequence[TaskEvent]) -> None:
        self.seen += [one.task.id for one in events]


def fail_one_and_end_another(engine: FakeEngine) -> None:
    failed, ended = engine.add_task("s"), engine.add_task("s")
    engine.fail("s", failed, "disk full")
    engine.start("s", ended)
    engine.succeed("s", ended)


def test_the_names_are_those_of_the_callbacks_of_one_kind_of_event() -> None:
    general = {"transition", "update", "batch", "error", "synced", "connection", "session_deleted"}
    assert set(EVENT_NAMES) == set(callback_names()) - general


@pytest.mark.parametrize("name", OF_TASKS)
def test_each_name_of_tasks_chooses_an_event_of_its_callback(name: str) -> None:
    states = [*TaskState]
    events = [
        TaskEvent(kind=kind, task=made_task(state=state), old=old)
        for kind in EventKind
        for state in states
        for old in (None, made_task(state=TaskState.RUNNING))
    ]
    assert any(name in event_names(one) for one in events)
    assert f"on_{name}" in callbacks_of(name)


class TestDelivery:
    def test_only_chosen_events_reach_the_callbacks(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        informer, ends = Everything(), Ends()
        chosen = running.register(informer, events=["failed"])
        running.register(ends, events=["failed", "cancelled"])
        every = Ends()
        running.register(every)
        running.wait_synced(20)
        fail_one_and_end_another(engine)
        eventually(lambda: len(every.seen) == 2)
        eventually(lambda: not any(one.stats.queued for one in running.registrations))
        assert informer.seen == ["1 FAILED"]
        assert ends.seen == ["1"]
        assert chosen.stats.delivered == 1
        notes = chosen.explain("s", "2").notes
        assert any("events=" in str(one) for one in notes)

    def test_a_batch_has_only_chosen_events(self, engine: FakeEngine, running: Reactor) -> None:
        informer = Batches()
        running.register(informer, events=["failed"], batch_delay=0.0).wait_synced(20)
        every = Ends()
        running.register(every).wait_synced(20)
        fail_one_and_end_another(engine)
        eventually(lambda: len(every.seen) == 2)
        eventually(lambda: informer.seen == ["1"])
        eventually(lambda: not any(one.stats.queued for one in running.registrations))
        assert informer.seen == ["1"]

    def test_what_is_left_out_is_recorded_in_a_checkpoint(
        self, engine: FakeEngine, engine_connection: Any, tmp_path: Any
    ) -> None:
        file = tmp_path / "state.db"
        with Reactor(connection=engine_connection, checkpoint=file) as reactor:
            first = Ends()
            reactor.register(first, uid="ends", events=["failed"]).wait_synced(20)
            fail_one_and_end_another(engine)
            eventually(lambda: first.seen == ["1"])
        second = Ends()
        with Reactor(connection=engine_connection, checkpoint=file) as reactor:
            registration = reactor.register(second, uid="ends", events=["failed"])
            registration.wait_synced(20)
            engine.fail("s", engine.add_task("s"), "again")
            eventually(lambda: second.seen == ["3"])

    def test_overdue_alone_reports_what_is_late_and_no_task(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        late = threading.Event()
        seen: list[str] = []

        class Late(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None:
                late.set()

            def on_transition(self, event: TaskEvent) -> None:
                seen.append(event.key)

        rules = [expect.end(within=0.01)]
        running.register(Late(), events=["overdue"], rules=rules).wait_synced(20)
        engine.add_task("s")
        assert late.wait(20)
        assert seen == []


class TestWhatIsWatched:
    """What no chosen event needs costs no call."""

    def test_events_of_sessions_alone_need_no_tasks(self) -> None:
        callbacks = Callbacks(Everything(), events=["opened"])
        assert (callbacks.wants_tasks, callbacks.wants_sessions) == (False, True)
        assert not callbacks.follows_tasks

    def test_events_of_tasks_alone_need_no_sessions(self) -> None:
        callbacks = Callbacks(Everything(), events=["failed"])
        assert (callbacks.wants_tasks, callbacks.wants_sessions) == (True, False)

    def test_rules_are_not_watched_without_overdue(self) -> None:
        class Late(TaskInformer):
            rules = (expect.end(within=5),)

            def on_overdue(self, event: OverdueEvent) -> None: ...

            def on_failed(self, event: TaskEvent) -> None: ...

        assert not Callbacks(Late(), events=["failed"]).rules
        assert Callbacks(Late(), events=["failed", "overdue"]).rules


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("events", "said"),
        [
            ("failed", r"several names, got 'failed'; write \['failed'\]; there are added, "),
            (5, "several names, got 5"),
            (["fialed"], "has 'fialed', which is no event; did you mean 'failed'"),
            (["on_failed"], "has 'on_failed', which is no event; did you mean 'failed'"),
            (["zzz"], "'zzz', which is no event; there are added, running, .*overdue"),
            ([7], "has 7, which is no event"),
            ([], "events is empty"),
        ],
    )
    def test_names_that_are_none(self, events: Any, said: str) -> None:
        with pytest.raises(InvalidArgumentError, match=said):
            checked_events(events)

    def test_a_name_that_never_reaches_a_callback(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"'opened' and Ends overrides none .*on_op"):
            Reactor().register(Ends(), events=["failed", "opened"])

    def test_overdue_without_rules_and_rules_without_overdue(self) -> None:
        class Late(TaskInformer):
            def on_overdue(self, event: OverdueEvent) -> None: ...

            def on_failed(self, event: TaskEvent) -> None: ...

        with pytest.raises(InvalidArgumentError, match="Ends has no rules, so nothing is ever"):
            Callbacks(Ends(), events=["overdue"])
        with pytest.raises(InvalidArgumentError, match="leaves 'overdue' out"):
            Callbacks(Late(), [expect.end(within=5)], events=["failed"])
