"""``session.run(data, informer=x)``: one queue and one thread for an informer's followed runs."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer
from flamepy.errors import FlameError, InternalError, InvalidArgumentError
from flamepy.informers.queries.follow import Followers
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task
from flamepy.watching.hub import Hub


def following(connection: Connection) -> Followers:
    return connection.link.attachment("informers.following", Followers)


def test_a_next_run_gets_no_second_thread_beside_one_that_is_still_busy(
    engine: FakeEngine, engine_connection
) -> None:
    gate = threading.Event()
    seen: list[tuple[str, str, str]] = []

    class Slow(TaskInformer):
        def on_update(self, task: Task) -> None:
            gate.wait(30)
            seen.append((threading.current_thread().name, task.id, task.state.name))

    informer, session = Slow(), engine_connection.get_session("s")
    first = session.run(b"1", informer=informer)
    engine.succeed("s", "1")
    first.result(30)
    known = following(engine_connection)
    eventually(lambda: not known._jobs, "the first run to end")
    second = session.run(b"2", informer=informer)
    engine.succeed("s", "2")
    second.result(30)
    eventually(lambda: not known._jobs, "the second run to end")
    threads = [one.name for one in threading.enumerate() if "handler" in one.name]
    assert threads == ["flamepy-handler-Slow"]
    gate.set()
    eventually(lambda: sum(state == "SUCCEED" for _, _, state in seen) == 2, "both ends")
    assert [task for _, task, state in seen if state == "SUCCEED"] == ["1", "2"]
    eventually(lambda: not known._followers, "the informer to be let go")


def test_coroutines_are_awaited_and_their_thread_ends(
    engine: FakeEngine, engine_connection
) -> None:
    seen: list[str] = []

    class Mine(TaskInformer):
        async def on_update(self, task: Task) -> None:
            await asyncio.sleep(0)
            seen.append(task.state.name)

    engine_connection.get_session("s").run(b"1", informer=Mine())
    engine.succeed("s", "1")
    eventually(lambda: seen[-1:] == ["SUCCEED"], "the end")
    eventually(lambda: not following(engine_connection)._followers, "the informer to be let go")


def test_a_failure_of_each_run_is_said_once_whoever_is_told(
    engine: FakeEngine, engine_connection, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TaskInformer):
        def on_succeeded(self, task: Task) -> None:
            raise ValueError("a bug")

    session = engine_connection.get_session("s")
    for number in range(1, 21):
        session.run(b"1", informer=Broken())
        engine.succeed("s", str(number))
    known = following(engine_connection)
    eventually(lambda: not known._jobs and not known._followers, "all runs to end")
    engine_connection.close()
    first, last = [one for one in caplog.messages if "a bug" in one]
    assert "times" not in first
    assert "(19 times" in last


def test_a_mistake_of_ours_is_told(
    engine: FakeEngine, engine_connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Hub, session_id: str, task_id: str) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Hub, "watch", broken)
    informer = RecordingInformer()
    engine_connection.get_session("s").run(b"1", informer=informer)
    informer.wait_for(lambda seen: bool(seen.errors), 30)
    error: FlameError = informer.errors[0]
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_the_tasks_of_a_map_are_followed_and_their_events_name_the_application(
    engine: FakeEngine, engine_connection
) -> None:
    informer, session = RecordingInformer(), engine_connection.get_session("s")
    outputs: list[bytes | None] = []
    reading = threading.Thread(
        target=lambda: outputs.extend(session.map([b"1", b"2"], informer=informer))
    )
    reading.start()
    eventually(lambda: len(list(session.list_tasks())) == 2, "two tasks")
    engine.succeed("s", "1")
    engine.succeed("s", "2")
    reading.join(30)
    assert outputs == [None, None]
    informer.wait_for(lambda seen: sum(one.is_completed() for one in seen.updates) == 2, 30)
    assert {one.task.id for one in informer.events} == {"1", "2"}
    assert {one.application for one in informer.events} == {session.application}


def test_what_is_no_informer_is_refused_before_anything_is_sent(engine_connection) -> None:
    session = engine_connection.get_session("s")
    with pytest.raises(InvalidArgumentError):
        session.run(b"1", informer="no")
    with pytest.raises(InvalidArgumentError):
        session.map([b"1"], informer="no")
    assert list(session.list_tasks()) == []


def test_the_events_of_a_run_have_one_memo(engine: FakeEngine, engine_connection) -> None:
    informer = RecordingInformer()
    engine_connection.get_session("s").run(b"1", informer=informer)
    informer.wait_for(lambda seen: bool(seen.events), 30)
    engine.succeed("s", "1")
    informer.wait_for(lambda seen: bool(seen.terminal()), 30)
    first, *later = informer.events
    first.memo["span"] = 7
    assert [event.memo for event in later] == [{"span": 7}] * len(later)
    assert later
