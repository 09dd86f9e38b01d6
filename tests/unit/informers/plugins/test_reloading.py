"""A configuration is taken whole or not at all; what did not change is not touched."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer
from flamepy.errors import PluginError
from flamepy.informers import Reactor, TaskEvent
from flamepy.informers.plugins.loading import Plugin
from flamepy.informers.plugins.reload_plan import ReloadPlan, plan_reload
from flamepy.informers.plugins.reloading import ConfiguredInformers
from flamepy.testing import FakeEngine


class Noting(TaskInformer):
    """Notes what becomes of it."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.seen: list[str] = []
        self.life: list[str] = []

    def attach(self, reactor: Reactor) -> None:
        if self.refuses:
            raise ValueError("the port is taken")

    def start(self) -> None:
        self.life.append("start")

    def reopen(self) -> None:
        self.life.append("reopen")

    def close(self) -> None:
        self.life.append("close")

    def on_terminal(self, event: TaskEvent) -> None:
        self.seen.append(event.task.id)


def made(name: str, version: object = 1, *, refuses: bool = False, **arguments: object) -> Plugin:
    """Return a plugin whose entry has this version."""

    def again() -> Plugin:
        return made(name, version, **arguments)

    made_of = version, tuple(arguments.items())
    return Plugin(name, Noting(refuses), None, arguments, made_of, frozenset(), again)


def started(connection: Connection, *plugins: Plugin, **more: object) -> Reactor:
    return Reactor(connection=connection, plugins=plugins, **more)  # type: ignore[arg-type]  # its own


def end_task(engine: FakeEngine) -> None:
    task = engine.add_task("s")
    engine.start("s", task)
    engine.succeed("s", task)


class TestPlan:
    def test_what_is_new_changed_gone_and_as_it_was(self) -> None:
        running = {one.name: one for one in (made("a"), made("b"), made("c"))}
        new, other = made("d"), made("b", 2)
        plan = plan_reload(running, [made("a"), other, new])
        assert plan == ReloadPlan((new,), (other,), ("c",), ("a",))
        assert str(plan) == "added: d; changed: b; removed: c; unchanged: a"
        assert plan
        assert not plan_reload({"a": made("a")}, [made("a")])

    def test_two_with_one_uid_are_refused(self) -> None:
        with pytest.raises(PluginError, match="'a' and 'b' have the uid 'a': give each one"):
            plan_reload({}, [made("a"), made("b", uid="a")])


class TestReload:
    def test_each_is_dealt_with_and_an_unchanged_one_is_not_touched(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        kept, changed, gone = made("kept"), made("changed"), made("gone")
        with started(engine_connection, kept, changed, gone) as reactor:
            reactor.wait_synced(20)
            before = next(one for one in reactor.registrations if one.name == "kept")
            informers = ConfiguredInformers(reactor, [kept, changed, gone])
            other, new = made("changed", 2), made("new")
            informers.reload(lambda: [made("kept"), other, new])
            reactor.wait_synced(20)
            assert {one.name for one in reactor.registrations} == {"kept", "changed", "new"}
            assert before in reactor.registrations
            assert before.informer is kept.informer
            end_task(engine)
            for plugin in (kept, other, new):
                eventually(lambda one=plugin: one.informer.seen == ["1"])
            assert kept.informer.life == ["start"]
            for plugin in (changed, gone):
                assert plugin.informer.life == ["start", "close"]
                assert plugin.informer.seen == []

    def test_what_is_queued_for_one_that_goes_is_delivered(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        gate = threading.Event()

        class Held(Noting):
            def on_terminal(self, event: TaskEvent) -> None:
                assert gate.wait(60)
                super().on_terminal(event)

        gone = replace(made("gone"), informer=Held())
        with started(engine_connection, gone) as reactor:
            reactor.wait_synced(20)
            (registration,) = reactor.registrations
            for _ in range(3):
                end_task(engine)
            eventually(lambda: registration.stats.queued >= 3)
            informers = ConfiguredInformers(reactor, [gone], drain_timeout=60)
            reload = threading.Thread(target=informers.reload, args=[list])
            reload.start()
            eventually(lambda: not registration.active)
            gate.set()
            reload.join(60)
            assert gone.informer.seen == ["1", "2", "3"]
            assert gone.informer.life[-1] == "close"

    def test_one_that_cannot_be_read_changes_nothing(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        def broken() -> list[Plugin]:
            raise PluginError("no such plugin")

        one = made("one")
        with started(engine_connection, one) as reactor:
            reactor.wait_synced(20)
            with pytest.raises(PluginError, match="no such plugin"):
                ConfiguredInformers(reactor, [one]).reload(broken)
            end_task(engine)
            eventually(lambda: one.informer.seen == ["1"])
            assert one.informer.life == ["start"]

    def test_one_that_is_refused_halfway_is_undone(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        kept, changed, gone = made("kept"), made("changed"), made("gone")
        with started(engine_connection, kept, changed, gone) as reactor:
            reactor.wait_synced(20)
            informers = ConfiguredInformers(reactor, [kept, changed, gone])
            wanted = [made("kept"), made("changed", 2), made("new"), made("bad", refuses=True)]
            with pytest.raises(PluginError, match="'bad' could not be registered: the port is t"):
                informers.reload(lambda: wanted)
            names = sorted(one.name for one in reactor.registrations)
            assert names == ["changed", "gone", "kept"]
            end_task(engine)
            for one in reactor.registrations:
                eventually(lambda one=one: one.informer.seen == ["1"])
            assert kept.informer.life == ["start"]
            again = informers.reload(lambda: [made("kept"), made("changed"), made("gone")])
            assert not again, "what was undone is what was running"

    def test_one_that_returns_continues_at_its_checkpoint(
        self, engine: FakeEngine, engine_connection: Connection, tmp_path: Path
    ) -> None:
        one, other = made("one"), made("other")
        file = tmp_path / "state.db"
        with started(engine_connection, one, other, checkpoint=file) as reactor:
            reactor.wait_synced(20)
            informers = ConfiguredInformers(reactor, [one, other])
            end_task(engine)
            eventually(lambda: one.informer.seen == ["1"] and other.informer.seen == ["1"])
            informers.reload(lambda: [made("other")])
            end_task(engine)
            eventually(lambda: other.informer.seen == ["1", "2"])
            back = made("one")
            informers.reload(lambda: [back, made("other")])
            reactor.wait_synced(20)
            eventually(lambda: back.informer.seen == ["2"])
            changed = made("one", 2)
            informers.reload(lambda: [changed, made("other")])
            end_task(engine)
            eventually(lambda: changed.informer.seen == ["3"])
            assert one.informer.seen == ["1"]
            assert other.informer.life == ["start"]
            assert other.informer.seen == ["1", "2", "3"]

    def test_one_that_hangs_does_not_hold_up_the_others(
        self,
        engine: FakeEngine,
        engine_connection: Connection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        entered, leave = threading.Event(), threading.Event()

        class Hangs(Noting):
            def on_terminal(self, event: TaskEvent) -> None:
                entered.set()
                leave.wait(60)

        stuck = replace(made("stuck"), informer=Hangs())
        with started(engine_connection, stuck) as reactor:
            reactor.wait_synced(20)
            informers = ConfiguredInformers(reactor, [stuck], drain_timeout=0.05)
            end_task(engine)
            assert entered.wait(20)
            new = made("new")
            informers.reload(lambda: [new])
            eventually(lambda: new.informer.seen == ["1"])
            assert "stuck was removed and still runs a callback" in caplog.text
            leave.set()


def test_reopen_is_called_between_two_events_on_the_informers_thread(
    engine: FakeEngine, running: Reactor
) -> None:
    informer = Noting()
    registration = running.register(informer, workers=2)
    registration.wait_synced(20)
    registration.reopen()
    running.register(made("other").informer).reopen()
    eventually(lambda: informer.life == ["start", "reopen"])


def test_reopen_waits_for_the_callbacks_that_run_and_the_following_ones_wait_for_it(
    engine: FakeEngine, running: Reactor
) -> None:
    gate, entered = threading.Event(), threading.Event()

    class Held(Noting):
        def reopen(self) -> None:
            self.seen.append("reopen")

        def on_terminal(self, event: TaskEvent) -> None:
            entered.set()
            assert gate.wait(60)
            super().on_terminal(event)

    informer = Held()
    registration = running.register(informer, workers=2)
    registration.wait_synced(20)
    end_task(engine)
    assert entered.wait(20)
    registration.reopen()
    end_task(engine)
    eventually(lambda: registration.stats.queued >= 3)
    gate.set()
    eventually(lambda: len(informer.seen) == 3)
    assert informer.seen == ["1", "reopen", "2"]
