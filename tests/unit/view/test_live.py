"""A view of a running reactor is current after ``refresh``, with all that events do not have."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.informers import Reactor, TaskInformer, expect
from flamepy.testing import FakeEngine
from flamepy.view import LiveView, SessionQuery, TaskQuery


class Handler(TaskInformer):
    def __init__(self) -> None:
        self.allowed = threading.Event()

    def on_failed(self, event: object) -> None:
        raise ValueError("cannot handle it")

    def on_running(self, event: object) -> None:
        self.allowed.wait(20)


@pytest.fixture
def view(fake_engine: FakeEngine) -> Iterator[LiveView]:
    fake_engine.add_session("s")
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.02)
    with LiveView(reactor, machines_every=0.05) as made, reactor:
        yield made


def add_tasks(engine: FakeEngine, count: int) -> None:
    for _ in range(count):
        engine.add_task("s")


def until(view: LiveView, condition: object, what: str) -> None:
    def current() -> bool:
        view.refresh()
        return bool(condition())  # type: ignore[operator]

    eventually(current, what)


def test_it_follows_the_engine(fake_engine: FakeEngine, view: LiveView) -> None:
    add_tasks(fake_engine, 3)
    fake_engine.start("s", "1")
    fake_engine.fail("s", "1", "no disk 7")
    model = view.model
    until(view, lambda: model.observed.failed == model.counts.failed == 1, "the failure")
    assert model.counts.pending == 2
    assert [one.text for one in model.failures().rows] == ["no disk #"]
    page = view.tasks(TaskQuery(session="s", states=("failed",)))
    assert [one.error for one in page.rows] == ["no disk 7"]
    until(view, lambda: view.tasks(TaskQuery(states=("pending",))).matched == 2, "both others")
    assert view.tasks(TaskQuery(application=page.rows[0].application, sort="id")).matched == 3
    assert view.tasks(TaskQuery()).total == 3
    until(view, lambda: model.machines.known, "the nodes")
    overview = model.overview(model.sessions_known.get("s").moved_at)  # type: ignore[union-attr]
    assert overview.connection == "connected"
    assert overview.polls > 0
    assert overview.endpoint == fake_engine.endpoint


def test_an_outage_is_said_with_its_age_and_ends(fake_engine: FakeEngine, view: LiveView) -> None:
    model = view.model
    until(view, lambda: model.connection.age is not None, "the first poll")
    fake_engine.kill()
    until(view, lambda: model.connection.away_for is not None, "the outage")
    assert model.connection.away_reason
    assert model.counts.total == 0
    assert model.sessions(SessionQuery(), 0.0).matched == 1, "what is known stays"
    fake_engine.restart()
    until(view, lambda: model.connection.away_for is None, "the end of it")
    what = [one.what for one in model.feed()]
    assert what[:2] == ["engine back", "engine away"]


def test_handlers_with_their_errors_and_stuck_ones_with_their_stack(
    fake_engine: FakeEngine,
) -> None:
    fake_engine.add_session("s")
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.02)
    handler = Handler()
    reactor.register(handler, name="mail", timeout=0.05)
    with LiveView(reactor) as view, reactor:
        add_tasks(fake_engine, 2)
        fake_engine.start("s", "1")
        try:
            until(view, lambda: rows(view)[0].stuck if rows(view) else 0, "the stuck callback")
            assert "on_running" in rows(view)[0].stack
        finally:
            handler.allowed.set()
        fake_engine.start("s", "2")
        fake_engine.fail("s", "2", "x")
        until(view, lambda: rows(view)[0].last_error, "its error")
        assert "on_failed: ValueError: cannot handle it" in rows(view)[0].last_error
        assert view.model.lag(rows(view)[0].last_error_at or 0.0).done.count > 0


def rows(view: LiveView):
    return view.model.handlers(view.model.connection.age or 0.0)


def test_a_broken_rule_is_the_sessions_reason_until_it_holds(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.02)
    with LiveView(reactor, rules=[expect.end(within=0.05)]) as view, reactor:
        add_tasks(fake_engine, 1)
        fake_engine.start("s", "1")
        until(view, lambda: "overdue: task 1" in reason(view), "the breach")
        fake_engine.succeed("s", "1", b"")
        until(view, lambda: "overdue" not in reason(view), "that it holds again")


def reason(view: LiveView) -> str:
    row = view.model.session("s", 0.0)
    return "" if row is None else row.reason


def test_a_stopped_reactor_leaves_the_model_as_it_was(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    reactor = Reactor(endpoint=fake_engine.endpoint, plugins=(), poll_interval=0.02)
    view = LiveView(reactor).open()
    view.open()
    assert view.refresh() is False
    with reactor:
        until(view, lambda: len(view.model.sessions_known) == 1, "the session")
    view.refresh()
    assert len(view.model.sessions_known) == 1
    view.close()
    view.close()
    assert view.refresh() is False
