"""The latest notes of an informer can be asked for by task and by session."""

from __future__ import annotations

import threading

from flamepy.informers.outcomes.history import Explanation, History, Stage
from flamepy.types import TaskState


def note(history: History, task: str, at: float = 1.0, session: str = "s") -> None:
    history.note((Stage.DELIVERED, at, session, task, TaskState.SUCCEED, 0.25))


def test_notes_are_found_by_task_and_by_session() -> None:
    history = History()
    note(history, "1")
    note(history, "2", at=2.0)
    note(history, "1", session="t")
    assert [str(one) for one in history.of("s", "1", 3.0)] == [
        "succeed delivered (took 0.250 s), 2.0 s ago"
    ]
    assert len(list(history.of("s", None, 3.0))) == 2
    assert list(history.of("u", None, 3.0)) == []


def test_the_oldest_are_forgotten() -> None:
    history = History(size=3)
    for number in range(5):
        note(history, str(number))
    assert [one.age for one in history.of("s", None, 1.0)] == [0.0] * 3
    assert not list(history.of("s", "1", 1.0))


def test_it_can_be_asked_while_it_grows() -> None:
    history, stop = History(), threading.Event()

    def grow() -> None:
        while not stop.is_set():
            note(history, "1")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(200):
            assert all(one.stage is Stage.DELIVERED for one in history.of("s", "1", 1.0))
    finally:
        stop.set()
        thread.join()


def test_an_explanation_says_what_holds_now() -> None:
    def text(**given: object) -> str:
        plain = {"in_scope": True, "state": "active", "waiting": 0, "running": (), "notes": ()}
        return Explanation(name="mine", **{**plain, **given}).text  # type: ignore[arg-type]  # by name

    assert text() == "nothing seen lately"
    assert text(in_scope=False) == "registered for another session"
    assert text(running=("on_failed",)) == "on_failed runs"
    assert text(waiting=2, state="paused: repair") == "2 waiting, paused: repair"
