"""Events are the CloudEvents that README's table says; the library's own reader is a judge."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from flamepy_webhook import messages
from flamepy_webhook.cloud_events import NAMES, AnyEvent, Naming, cloud_event, values_of
from flamepy_webhook.templates import BodyTemplate
from samples import (
    ENDED,
    ENDPOINT,
    MADE,
    WRITTEN,
    overdue,
    session,
    session_event,
    task,
    task_event,
)

from flamepy.core import Event, TaskState
from flamepy.informers import EventKind, SessionEventKind

README = (Path(__file__).parents[1] / "README.md").read_text()


def made(event: AnyEvent, **naming: Any) -> CloudEvent:
    return cloud_event(
        event,
        key=event.key,
        number=42,
        written=WRITTEN,
        endpoint="http://of-the-reactor:8080",
        naming=Naming(**naming),
    )


def attributes(event: AnyEvent, **naming: Any) -> dict[str, Any]:
    return made(event, **naming).get_attributes()


def test_a_structured_request_word_for_word() -> None:
    message = messages.structured(made(task_event()))
    assert message.headers == {"content-type": "application/cloudevents+json"}
    data = {
        "schema": 1,
        "type": "task",
        "kind": "updated",
        "key": "s/1/7@1767323045678/failed",
        "application": "render",
        "source": "list",
        "endpoint": ENDPOINT,
        "epoch": 0,
        "sequence": 9,
        "initial": False,
        "coalesced": 0,
        "session": "s/1",
        "task": "7",
        "state": "failed",
        "old_state": None,
        "error": "disk full",
        "inferred": False,
        "final_state_known": True,
        "creation_time": "2026-01-02T03:04:05.678+00:00",
        "completion_time": "2026-01-02T03:05:05.678+00:00",
        "session_creation_time": None,
    }
    assert json.loads(message.body) == {
        "specversion": "1.0",
        "id": "321d5dc49484f71e7e5eae558cadecdd",
        "source": ENDPOINT,
        "type": "flame.task.failed",
        "subject": "sessions/s%2F1/tasks/7",
        "time": "2026-01-02T03:05:05.678000Z",
        "sequence": "00000000000000000042",
        "partitionkey": "s/1/7",
        "datacontenttype": "application/json",
        "data": data,
    }
    assert message.id == "321d5dc49484f71e7e5eae558cadecdd"


EVENTS: list[tuple[AnyEvent, str, str]] = [
    *((task_event(one), f"task.{one.name.lower()}", "s/1/7") for one in TaskState),
    (task_event(kind=EventKind.DELETED), "task.deleted", "s/1/7"),
    *((session_event(one), f"session.{one.value}", "s/1") for one in SessionEventKind),
    (overdue(task()), "task.overdue", "s/1/7"),
    (overdue(None), "session.overdue", "s/1"),
]


@pytest.mark.parametrize(("event", "kind", "partition"), EVENTS, ids=[one[1] for one in EVENTS])
def test_every_event_has_its_type_and_is_read_by_the_library(
    event: AnyEvent, kind: str, partition: str
) -> None:
    event_made = made(event)
    found = event_made.get_attributes()
    assert (found["type"], found["partitionkey"]) == (f"flame.{kind}", partition)
    for message, read in (
        (messages.structured(event_made), from_structured),
        (messages.binary(event_made), from_binary),
    ):
        back = read(HTTPMessage(message.headers, message.body), JSONFormat())
        assert back.get_attributes() == found
        assert back.get_data() == event_made.get_data()


def test_the_readme_lists_every_type_and_no_other_one() -> None:
    listed = re.findall(r"^\| `flame\.([a-z_.]+)` \|", README, re.MULTILINE)
    assert listed == [kind for _, kind, _ in EVENTS]


def test_the_readme_lists_every_name_of_templates() -> None:
    table = README.split("| name in a template |")[1].split("\n\n")[0]
    assert set(re.findall(r"`\$([a-z_]+)`", table)) == set(NAMES)


def test_the_id_is_one_of_the_key_alone() -> None:
    first, again = task_event(), task_event(initial=True, epoch=3)
    assert attributes(first)["id"] == attributes(again)["id"]
    assert attributes(first)["id"] != attributes(task_event(TaskState.RUNNING))["id"]
    assert re.fullmatch(r"[0-9a-f]{32}", attributes(first)["id"])


def test_two_attempts_send_the_same_data() -> None:
    """Even when the event is read from the outbox much later."""
    early, late = task_event(observed_at=1.0), task_event(observed_at=500.0)
    assert messages.structured(made(early)).body == messages.structured(made(late)).body


def test_the_time_is_the_engines_where_it_has_one() -> None:
    added = {"kind": EventKind.ADDED}
    ended = session(completion_time=ENDED)
    recorded = Event(code=1001, message="no", creation_time=ENDED)
    for event, time in [
        (task_event(TaskState.PENDING, **added), MADE),
        (task_event(TaskState.PENDING), WRITTEN),  # queued again: at no time that is known
        (task_event(TaskState.RUNNING, **added), WRITTEN),
        (task_event(TaskState.SUCCEED), ENDED),
        (task_event(task=task(TaskState.RUNNING, completion_time=ENDED)), WRITTEN),
        (task_event(kind=EventKind.DELETED), WRITTEN),
        (session_event(SessionEventKind.OPENED), MADE),
        (session_event(SessionEventKind.CLOSED, session=ended), ENDED),
        (session_event(SessionEventKind.EVENT, event=recorded), ENDED),
        (session_event(SessionEventKind.PROGRESS), WRITTEN),
        (overdue(None), WRITTEN),
    ]:
        assert attributes(event)["time"] == time


def test_sequences_are_ordered_as_texts() -> None:
    def sequence(number: int) -> str:
        event = task_event()
        return str(
            cloud_event(
                event, key="k", number=number, written=WRITTEN, endpoint="", naming=Naming()
            ).get_attributes()["sequence"]
        )

    numbers = [1, 9, 10, 99, 100, 2**63 - 1]
    assert sorted(map(sequence, numbers)) == [sequence(one) for one in numbers]


def test_the_source_is_the_engine_or_what_was_chosen() -> None:
    assert attributes(task_event())["source"] == ENDPOINT
    assert attributes(overdue(None))["source"] == "http://of-the-reactor:8080"
    assert attributes(task_event(), source="urn:site:a")["source"] == "urn:site:a"
    assert attributes(task_event(), type_prefix="org.example")["type"] == "org.example.task.failed"


def test_a_password_in_the_endpoint_is_not_sent() -> None:
    event = session_event(SessionEventKind.OPENED)
    object.__setattr__(event, "endpoint", "http://me:canary@flame:8080?token=canary")
    body = messages.structured(made(event)).body
    assert b"canary" not in body
    assert b'"http://flame:8080"' in body


def test_dataref_replaces_the_data() -> None:
    event = made(task_event(), dataref="https://x.example/$application/$session/$task?e=$id")
    found = event.get_attributes()
    assert found["dataref"] == f"https://x.example/render/s%2F1/7?e={found['id']}"
    assert "datacontenttype" not in found
    assert "data" not in json.loads(messages.structured(event).body)
    assert messages.binary(event).body == b""
    subject = attributes(task_event(), dataref="https://x.example/$subject")["dataref"]
    assert subject == "https://x.example/sessions/s%2F1/tasks/7"


def test_payloads_are_sent_only_when_asked_for() -> None:
    event = task_event(task=task(input=b"canary\xff", output=None))
    plain = messages.structured(made(event)).body
    assert b"base64" not in plain
    assert base64.b64encode(b"canary\xff") not in plain
    data = json.loads(messages.structured(made(event, payloads=True)).body)["data"]
    assert base64.b64decode(data["input_base64"]) == b"canary\xff"
    assert data["output_base64"] is None


def test_a_batch_is_a_list_of_structured_events() -> None:
    events = [made(task_event()), made(overdue(None))]
    message = messages.batch(events)
    assert message.headers == {"content-type": "application/cloudevents-batch+json"}
    assert json.loads(message.body) == [json.loads(messages.structured(e).body) for e in events]
    assert message.id == messages.batch(events).id
    assert message.id not in {messages.batch(events[:1]).id, messages.batch(events[::-1]).id}


@pytest.mark.parametrize("event", [one[0] for one in EVENTS], ids=[one[1] for one in EVENTS])
def test_every_name_stands_for_something_in_every_event(event: AnyEvent) -> None:
    values = values_of(made(event), event)
    assert values.keys() == NAMES.keys()
    for name, value in values.items():
        assert value is None or type(value) in (str, int, float, bool), name
        assert (value is None) <= (not isinstance(NAMES[name], str)), name
    text = json.dumps({name: f"${name}" for name in NAMES})
    BodyTemplate(text, names=NAMES).fill(values)


def test_a_template_says_what_happened() -> None:
    template = BodyTemplate({"text": "$summary"}, names=NAMES)
    event = task_event()
    assert json.loads(messages.templated(made(event), event, template).body) == {
        "text": "task 7 of session s/1 (render): failed: disk full"
    }
    for given, text in [
        (overdue(None), "session s/1 (render): overdue, rule drained_within_60 after 62 s"),
        (session_event(SessionEventKind.CLOSED), "session s/1 (render): closed"),
    ]:
        body = messages.templated(made(given), given, template).body
        assert json.loads(body)["text"].replace(given_rule(given), "drained_within_60") == text


def given_rule(event: AnyEvent) -> str:
    return event.rule.name if hasattr(event, "rule") else "drained_within_60"
