"""The subject of an event: each field is one token, whatever its text."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from flamepy_nats.subjects import Subject, token

from flamepy.errors import InvalidArgumentError
from flamepy.informers import (
    EventKind,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    expect,
)
from flamepy.types import SessionInfo, SessionState, Task, TaskCounts, TaskState

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
EVERY = Subject("{type}.{application}.{session}.{task}.{state}")


def task(state: TaskState = TaskState.RUNNING, kind: EventKind = EventKind.UPDATED) -> TaskEvent:
    return TaskEvent(kind=kind, task=Task("7", "s.1", state, AT), application="my app")


def test_a_task() -> None:
    assert EVERY.of(task()) == "task.my%20app.s%2E1.7.running"
    assert EVERY.of(task(kind=EventKind.DELETED)).endswith(".7.deleted")


def test_a_session() -> None:
    session = SessionInfo("s", "app", SessionState.OPEN, AT, counts=TaskCounts())
    event = SessionEvent(kind=SessionEventKind.OPENED, session=session)
    assert EVERY.of(event) == "session.app.s._.opened"


def test_what_is_overdue() -> None:
    event = OverdueEvent(
        rule=expect.end(within=1), application="app", session_id="s", task=task().task,
        session=None, age=2.0, key="k",
    )  # fmt: skip
    assert EVERY.of(event) == "overdue.app.s.7.end"


@pytest.mark.parametrize(
    "text", ["a.b", "*", ">", "a b", "", "a\r\nPUB x 1", "größe", "%", "a\x00"]
)
def test_a_text_is_one_token(text: str) -> None:
    made = token(text)
    assert made
    assert not set(made) & set(".*> \r\n\t\x00")


def test_different_texts_are_different_tokens() -> None:
    texts = ["a.b", "a%2Eb", "a_b", "a b", "a%20b"]
    assert len({token(one) for one in texts}) == len(texts)


@pytest.mark.parametrize(
    "template",
    ["", ".", "a..b", "a.", ".a", "a.*", "a.>", "a b", "a\n", "{other}", "{task.id}", "{task!r}",
     "{task:9}", "{task", "{}", "{0}", "$JS.API.{task}", 7],
)  # fmt: skip
def test_a_subject_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(InvalidArgumentError, match="subject"):
        Subject(template)
