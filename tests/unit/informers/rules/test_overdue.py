"""An overdue event comes back from its dictionary, as dead letters and outboxes store it."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OverdueEvent, expect
from flamepy.types import SessionInfo, SessionState, Task, TaskCounts, TaskState

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TASK = Task("1", "s", TaskState.RUNNING, START, payloads_loaded=False)
SESSION = SessionInfo("s", "app", SessionState.OPEN, START, TaskCounts(pending=2))


def overdue(
    rule: expect.Rule, *, task: Task | None = None, session: SessionInfo | None = None
) -> OverdueEvent:
    return OverdueEvent(
        rule=rule,
        application="app",
        session_id="s",
        task=task,
        session=session,
        age=7.5,
        key="s/1@0/overdue",
    )


@pytest.mark.parametrize(
    "event",
    [
        overdue(expect.end(within=600), task=TASK, session=SESSION),
        overdue(expect.start(within=0.5, application="app"), task=TASK),
        overdue(expect.drained(within=60), session=SESSION),
        overdue(expect.tasks(within=60, where=lambda session: True)),
    ],
    ids=lambda event: event.rule.name,
)
def test_it_comes_back_whole(event: OverdueEvent) -> None:
    assert OverdueEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"type": "task"}, "type must be 'overdue', got 'task'"),
        ({"schema": 2}, "another release wrote this, got 2"),
        ({"rule": "sing(within=5)"}, "rule must be a rule's name and its seconds"),
        ({"within": None}, "rule must be a rule's name and its seconds"),
        ({"session": ""}, "session must be a text"),
        ({"session_creation_time": None}, "session_creation_time must be a time"),
    ],
)
def test_what_is_no_such_dictionary_is_named(change: dict[str, object], text: str) -> None:
    given = {**overdue(expect.end(within=600), task=TASK, session=SESSION).to_dict(), **change}
    with pytest.raises(InvalidArgumentError, match=text):
        OverdueEvent.from_dict(given)
