"""The model's totals equal a direct count after any schedule of events; nothing in it grows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import START, made_session, made_task
from support.schedules import AnyEvent, Schedule

from flamepy.types import (
    Event,
    Executor,
    ExecutorState,
    Node,
    NodeState,
    ResourceRequirement,
    SessionState,
    TaskCounts,
    TaskState,
)
from flamepy.view import ClusterView, SessionQuery, TaskQuery, ViewLimits
from flamepy.view.model import Connection
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

NOW = START.timestamp() + 1_000.0
SMALL = ViewLimits(failure_groups=2, timelines=5, feed=10)


def check(view: ClusterView, played: Schedule) -> None:
    """Compare every total with a direct count of the store."""
    assert view.counts == played.counted()
    assert view.observed == played.delivered()
    infos = [one.info for one in played.store.sessions.values() if one.info is not None]
    overview = view.overview(NOW)
    assert overview.open_sessions == sum(one.state is SessionState.OPEN for one in infos)
    assert overview.closed_sessions == sum(one.state is SessionState.CLOSED for one in infos)
    rows = {one.name: one for one in view.application_rows(NOW)}
    assert set(rows) == {one.application for one in infos}
    for name, row in rows.items():
        mine = [one.counts for one in infos if one.application == name]
        assert row.counts.total == sum(one.total for one in mine)
    pages = [view.sessions(SessionQuery(offset=at, limit=800), NOW) for at in (0, 800)]
    shown = [one for page in pages for one in page.rows]
    assert len(shown) == pages[0].matched
    assert {one.id: one.counts for one in shown} == {one.id: one.counts for one in infos}


@given(st.integers(0, 2**32), st.integers(1, 80), st.sampled_from([0, 3, 100_000]))
def test_totals_equal_a_direct_count_after_any_schedule(seed: int, steps: int, retain: int) -> None:
    played, view = Schedule(seed, retain=retain), ClusterView(SMALL)
    for event in played.play(steps):
        view.observe(event, NOW)
    check(view, played)
    for event in played.everything():
        view.observe(event, NOW)
    check(view, played)


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_events_that_come_twice_are_counted_once(seed: int, steps: int) -> None:
    """A queue that overflowed delivers the present state again, without the state before."""
    played, view = Schedule(seed), ClusterView(SMALL)
    for event in played.play(steps):
        view.observe(event, NOW)
        if isinstance(event, TaskEvent) and event.kind is not EventKind.DELETED:
            view.observe(replace(event, old=None, coalesced=3), NOW)
    check(view, played)


def test_a_hundred_thousand_tasks() -> None:
    played, view = Schedule(7), ClusterView()
    for number in range(1_000):
        name = f"t{number}"
        played.create()
        tasks = [TaskState(played.random.randrange(5)) for _ in range(100)]
        played.engine[name] = replace(played.engine[next(iter(played.engine))], tasks=tasks)
    for event in played.everything():
        view.observe(event, NOW)
    assert view.counts.total >= 100_000
    check(view, played)
    for _ in range(3):
        for event in played.play(200):
            view.observe(event, NOW)
        check(view, played)


def opened(counts: TaskCounts | None = None, **more: object) -> SessionEvent:
    session = made_session(counts=counts, **more)  # type: ignore[arg-type]
    return SessionEvent(kind=SessionEventKind.OPENED, session=session)


def progressed(counts: TaskCounts) -> SessionEvent:
    return SessionEvent(kind=SessionEventKind.PROGRESS, session=made_session(counts=counts))


def ended(number: int, state: TaskState, at: float, text: str | None = None) -> TaskEvent:
    task = replace(
        made_task(number, state, text=text), completion_time=START + timedelta(seconds=at)
    )
    return TaskEvent(kind=EventKind.UPDATED, task=task, application="app", source=EventSource.LIST)


class TestOverTime:
    def test_what_ended_and_was_created_is_counted_where_it_happened(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        view.observe(progressed(TaskCounts(pending=5)), NOW + 1)
        view.observe(progressed(TaskCounts(pending=1, running=1, succeed=2, failed=1)), NOW + 3)
        columns = view.columns(NOW + 3, 4).values
        assert columns["created"] == [None, 5.0, None, 0.0]
        assert columns["succeeded"][-1] == 2.0
        assert columns["failed"][-1] == 1.0

    def test_a_task_on_its_way_to_an_executor_is_not_created_twice(self) -> None:
        view = ClusterView()
        view.observe(opened(TaskCounts(pending=3)), NOW)
        view.observe(progressed(TaskCounts(pending=2)), NOW + 1)
        view.observe(progressed(TaskCounts(pending=2, running=1)), NOW + 2)
        assert sum(one or 0 for one in view.columns(NOW + 2, 10).values["created"]) == 3

    def test_what_was_there_before_is_not_what_happened_now(self) -> None:
        view = ClusterView()
        view.observe(replace(opened(TaskCounts(succeed=90)), initial=True), NOW)
        view.observe(replace(ended(1, TaskState.SUCCEED, 1.0), initial=True), NOW)
        assert view.series.columns(NOW, 60).values["succeeded"] == [None] * 60
        assert view.feed() == []
        assert view.durations(NOW).count == 0

    def test_an_engine_that_is_away_leaves_a_gap(self) -> None:
        view = ClusterView()
        view.observe(opened(TaskCounts(pending=1)), NOW)
        view.tick(Connection(age=0.1), NOW)
        view.tick(Connection(age=1.1, away_for=1.0), NOW + 1)
        view.tick(Connection(age=0.1), NOW + 2)
        assert view.columns(NOW + 2, 3).values["pending"] == [1.0, None, 1.0]

    def test_a_rate_and_what_is_left_at_that_rate(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        for second in range(1, 21):
            view.observe(progressed(TaskCounts(pending=100 - second, succeed=second)), NOW + second)
        row = view.session("s1", NOW + 20)
        assert row is not None
        assert row.rate == pytest.approx(1.0, rel=0.1)
        assert row.eta == pytest.approx(80.0, rel=0.1)
        assert row.progress == pytest.approx(0.2)
        assert view.overview(NOW + 20).rate == pytest.approx(1.0, rel=0.1)
        assert view.application_rows(NOW + 20)[0].rate == pytest.approx(1.0, rel=0.1)


class TestTasks:
    def test_failures_are_grouped_and_counted_for_their_session(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        for number in (1, 2, 3):
            view.observe(ended(number, TaskState.FAILED, 5, f"disk {number} is full"), NOW)
            view.observe(ended(number, TaskState.FAILED, 5, f"disk {number} is full"), NOW)
        (group,) = view.failures().rows
        assert (group.text, group.count) == ("disk # is full", 3)
        assert group.tasks[0] == ("s1", "3")
        assert view.application_rows(NOW)[0].failures == 3

    def test_a_failure_from_before_is_in_the_groups_at_its_own_time(self) -> None:
        view = ClusterView()
        view.observe(replace(ended(1, TaskState.FAILED, 5, "x"), initial=True), NOW)
        assert view.failures().rows[0].last == START.timestamp() + 5

    def test_durations_and_lag_are_of_what_was_observed_to_end(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        at = START.timestamp() + 8.5
        view.observe(ended(1, TaskState.SUCCEED, 8.0), at)
        assert view.durations(at).p50 == pytest.approx(8.0, rel=0.2)
        lag = view.lag(at)
        assert lag.observed.p50 == pytest.approx(0.5, rel=0.2)
        assert [name for name, _ in lag.by_source] == ["list"]

    def test_a_timeline_has_each_state_once_with_its_source(self) -> None:
        view = ClusterView()
        running = TaskEvent(kind=EventKind.ADDED, task=made_task(1, TaskState.RUNNING))
        view.observe(running, NOW)
        view.observe(running, NOW + 1)
        view.observe(ended(1, TaskState.SUCCEED, 8.0), NOW + 2)
        line = view.timeline("s1", "1")
        assert [(one.state, one.at) for one in line] == [("running", NOW), ("succeed", NOW + 2)]
        assert line[1].source == "list"

    def test_a_page_of_tasks_names_their_applications(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        page = view.tasks(TaskQuery(), [made_task(1), made_task(2)])
        assert [one.application for one in page.rows] == ["app", "app"]


class TestEngine:
    def test_crashes_and_losses_are_counted_and_in_the_feed(self) -> None:
        view = ClusterView()
        view.observe(opened(), NOW)
        failed = SessionEvent(
            kind=SessionEventKind.EVENT,
            session=made_session(events=(Event(1001, "no such file", START),)),
            event=Event(1001, "no such file", START),
        )
        view.observe(failed, NOW)
        gone = SessionEvent(
            kind=SessionEventKind.DELETED, session=made_session(), final_state_known=False
        )
        view.observe(gone, NOW)
        overview = view.overview(NOW)
        assert (overview.service_crashes, overview.resets) == (1, 1)
        assert [one.what for one in view.feed()] == ["deleted", "engine event", "opened"]

    def test_machines_and_who_is_served(self) -> None:
        view = ClusterView()
        assert view.overview(NOW).executors is None
        need = ResourceRequirement(cpu=1)
        node = Node("n", NodeState.READY, need, need)
        free = Executor("e1", ExecutorState.IDLE, "n", need)
        busy = Executor("e1", ExecutorState.BOUND, "n", need, session_id="s1")
        view.observe(opened(TaskCounts(running=1)), NOW)
        view.observe_machines([node], [free], NOW)
        view.observe_machines([node], [busy], NOW + 2)
        overview = view.overview(NOW + 2)
        assert (overview.executors, overview.executors_bound) == (1, 1)
        assert overview.service_starts == 1
        row = view.session("s1", NOW + 2)
        assert row is not None
        assert row.reason == "the last 1 task running on 1 executor"
        assert view.executors()[0].application == "app"
        assert view.nodes()[0].bound == 1

    def test_attention_counts_sessions_that_cannot_get_a_service(self) -> None:
        view = ClusterView()
        events = (Event(1002, "retry limit 5/5", START),)
        view.observe(opened(TaskCounts(pending=1), events=events), NOW)
        assert view.overview(NOW).attention == 1
        page = view.sessions(SessionQuery(state="attention"), NOW)
        assert page.rows[0].reason == "no executor: retry limit 5/5"
        assert view.sessions(SessionQuery(state="idle"), NOW).matched == 0


def test_what_has_no_bound_of_its_own_is_bounded() -> None:
    view = ClusterView(SMALL)
    view.observe(opened(), NOW)
    events: list[AnyEvent] = [
        ended(number, TaskState.FAILED, 1.0, "x" * number) for number in range(1, 60)
    ]
    for number, event in enumerate(events):
        view.observe(event, NOW + 10 * number)
    groups = view.failures()
    assert (len(groups.rows), groups.left_out) == (
        2,
        "57 failures of older groups are not listed",
    )
    assert len(view.feed(1_000)) <= 10
    assert view.timeline("s1", "1") == []
    assert len(view.timeline("s1", "59")) == 1
