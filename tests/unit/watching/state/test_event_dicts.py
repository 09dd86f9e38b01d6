"""An event that was written as a dictionary comes back as the same event, or is refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.clocks import monotonic
from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState
from flamepy.watching.state.events import (
    EventKind,
    EventSource,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
moments = st.integers(0, 10**9).map(lambda ms: START + timedelta(milliseconds=ms))
states = st.sampled_from([*TaskState, TaskState(9)])
texts = st.text(max_size=40)
counts = st.builds(TaskCounts, *[st.integers(0, 1000)] * 5)


@st.composite
def task_events(draw: st.DrawFn) -> TaskEvent:
    state = draw(states)
    events = (Event(3, draw(texts)),) if state == TaskState.FAILED else ()
    task = Task(
        str(draw(st.integers(1, 10**6))),
        draw(st.text(min_size=1, max_size=20)),
        state,
        draw(moments),
        completion_time=draw(st.none() | moments),
        events=events,
        payloads_loaded=False,
    )
    old = draw(st.none() | states)
    return TaskEvent(
        kind=draw(st.sampled_from(EventKind)),
        task=task,
        old=old
        if old is None
        else Task(task.id, task.session_id, old, task.creation_time, payloads_loaded=False),
        application=draw(texts),
        source=draw(st.sampled_from(EventSource)),
        endpoint=draw(texts),
        epoch=draw(st.integers(0, 9)),
        sequence=draw(st.integers(0, 10**9)),
        initial=draw(st.booleans()),
        coalesced=draw(st.integers(0, 99)),
        final_state_known=draw(st.booleans()),
        observed_at=monotonic(),
        session_creation_time=draw(st.none() | moments),
    )


@st.composite
def session_events(draw: st.DrawFn) -> SessionEvent:
    kind = draw(st.sampled_from(SessionEventKind))
    recorded = Event(draw(st.integers(1, 5000)), draw(texts), draw(st.none() | moments))
    return SessionEvent(
        kind=kind,
        session=SessionInfo(
            draw(st.text(min_size=1, max_size=20)),
            draw(texts),
            draw(st.sampled_from(SessionState)),
            draw(moments),
            draw(counts),
            completion_time=draw(st.none() | moments),
        ),
        event=recorded if kind is SessionEventKind.EVENT else None,
        source=draw(st.sampled_from(EventSource)),
        initial=draw(st.booleans()),
        observed_at=monotonic(),
    )


def told(event: TaskEvent | SessionEvent) -> dict[str, Any]:
    found = event.to_dict()
    del found["lag"], found["observed_at"]  # they are read from clocks
    return found


@given(event=task_events() | session_events())
def test_what_was_written_comes_back(event: TaskEvent | SessionEvent) -> None:
    back = type(event).from_dict(json.loads(json.dumps(event.to_dict())))
    assert told(back) == told(event)
    assert back.key == event.key
    if isinstance(event, TaskEvent) and isinstance(back, TaskEvent):
        assert back.is_requeue == event.is_requeue


def test_it_was_seen_as_long_ago_as_it_says() -> None:
    event = SessionEvent(
        kind=SessionEventKind.OPENED,
        session=SessionInfo("s", "app", SessionState.OPEN, START),
        observed_at=monotonic() - 100,
    )
    assert 99 < SessionEvent.from_dict(event.to_dict()).lag < 160


GOOD = TaskEvent(kind=EventKind.ADDED, task=Task("1", "s", TaskState.PENDING, START)).to_dict()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"type": "session"}, "type must be 'task', got 'session'"),
        ({"schema": 99}, "schema must be 1.*got 99"),
        ({"state": "flying"}, "state must be.*got 'flying'"),
        ({"kind": None}, "kind must be one of added, updated, deleted, got None"),
        ({"task": 5}, "task must be a text, got 5"),
        ({"creation_time": None}, "creation_time must be a time, got None"),
        ({"creation_time": "soon"}, "creation_time must be a time.*got 'soon'"),
    ],
)
def test_another_dictionary_is_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rule):
        TaskEvent.from_dict({**GOOD, **change})


def test_what_is_no_dictionary_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="must be a dictionary"):
        TaskEvent.from_dict([])  # type: ignore[arg-type]  # that is the test
