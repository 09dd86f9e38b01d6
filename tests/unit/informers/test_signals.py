"""Signals: strong by default, isolated from each other, sent once per change."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.informers import Reactor, signals
from flamepy.informers.signals import FlameSignal
from flamepy.testing import FakeEngine
from flamepy.watching.events import SessionEvent, TaskEvent

ALL = sorted(signals.namespace)


@pytest.fixture(autouse=True)
def receivers_restored() -> Iterator[None]:
    yield
    for name in ALL:
        signal: FlameSignal = getattr(signals, name)
        for receiver in list(signal.receivers_for(None)):
            signal.disconnect(receiver)


def test_a_receiver_is_held_unless_asked_otherwise() -> None:
    signal = FlameSignal("x")
    seen: list[str] = []
    signal.connect(lambda sender, **_: seen.append("strong"))
    weak = lambda sender, **_: seen.append("weak")  # noqa: E731
    signal.connect(weak, weak=True)
    del weak
    gc.collect()
    signal.send("app", event=None)
    assert seen == ["strong"]


def test_one_that_raises_disturbs_no_other_and_is_told(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    failures: list[BaseException] = []

    @signals.task_updated.connect
    def first(sender: str, **_: object) -> None:
        raise SystemExit(1)

    @signals.task_updated.connect
    async def second(sender: str, **_: object) -> None:
        seen.append(sender)

    signals.handler_failed.connect(lambda sender, error, **_: failures.append(error))
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection):
        fake_engine.add_task("s")
        eventually(lambda: seen == ["fake"] and bool(failures), "the other receiver")
    assert isinstance(failures[0], SystemExit)


def test_every_change_is_sent_with_the_application_as_sender(fake_engine: FakeEngine) -> None:
    seen: list[tuple[str, str, str]] = []

    def note(name: str):
        def receive(application: str, *, event: TaskEvent | SessionEvent, **_: object) -> None:
            if isinstance(event, TaskEvent):
                seen.append((name, application, event.task.error or event.task.state.name))
            else:
                seen.append((name, application, event.session.id))

        return receive

    for name in ALL:
        if name.startswith(("task_", "session_")):
            getattr(signals, name).connect(note(name))
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection):
        eventually(lambda: ("session_opened", "fake", "s") in seen, "the session")
        fake_engine.add_task("s")
        eventually(lambda: ("task_updated", "fake", "PENDING") in seen, "the task")
        fake_engine.fail("s", "1", "no way")
        eventually(lambda: ("task_failed", "fake", "no way") in seen, "its failure")
        fake_engine.add_task("s")
        eventually(lambda: seen.count(("task_updated", "fake", "PENDING")) == 2, "the second task")
        connection.close_session("s")
        eventually(lambda: ("session_closed", "fake", "s") in seen, "the close")
        eventually(lambda: ("task_cancelled", "fake", "CANCELLED") in seen, "the cancel")
    assert len([one for one in seen if one[0] == "task_failed"]) == 1


def test_two_reactors_of_one_connection_send_once(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    signals.task_updated.connect(lambda sender, event, **_: seen.append(event.task.id))
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection:
        with Reactor(connection=connection), Reactor(connection=connection):
            fake_engine.add_task("s")
            eventually(lambda: seen == ["1"], "the task")
        fake_engine.add_task("s")
        with Reactor(connection=connection):
            eventually(lambda: "2" in seen, "what happened in between")
    assert seen.count("2") == 1


def test_only_one_sender_when_asked_for_one(fake_engine: FakeEngine) -> None:
    seen: list[str] = []
    signals.task_updated.connect(lambda sender, **_: seen.append(sender), sender="b")
    for name in ("a", "b"):
        fake_engine.add_session(name, application=name)
        fake_engine.add_task(name)
    with connect(fake_engine.endpoint) as connection, Reactor(connection=connection):
        eventually(lambda: bool(seen), "the task of b")
    assert seen == ["b"]
