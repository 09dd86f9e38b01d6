"""Which signals an item of a receiver's queue is sent as."""

from __future__ import annotations

from datetime import datetime, timezone

from flamepy.informers import signals
from flamepy.informers.delivery.inbox import Notice
from flamepy.informers.receivers.routing import emissions
from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent


def test_a_stalled_task_is_sent_with_its_application_and_session() -> None:
    created = datetime(2026, 1, 1, tzinfo=timezone.utc)
    task = Task("1", "s", TaskState.PENDING, created, payloads_loaded=False)
    event = TaskEvent(kind=EventKind.UPDATED, task=task, application="app")
    (emission,) = emissions(Notice("stalled", {"event": event}), "http://127.0.0.1:1")
    assert emission.signal is signals.task_stalled
    assert (emission.sender, emission.values) == ("app", {"event": event})
    assert emission.matching == ("app", "s")
