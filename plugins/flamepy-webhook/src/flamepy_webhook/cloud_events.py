"""Events of Flame as CloudEvents 1.0: what each attribute is. Pure.

The table of README.md is this module in words; it is a promise, so a change of either is a new
major version.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from string import Template
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from cloudevents.core.v1.event import CloudEvent

from flamepy.informers import EventKind, OverdueEvent, SessionEvent, TaskEvent
from flamepy_webhook.templates import Scalar

AnyEvent = TaskEvent | SessionEvent | OverdueEvent

# Of one delivery, not of what happened: another attempt would send another text of the same id.
_VOLATILE = ("observed_at", "lag")
_ATTRIBUTES = ("id", "source", "type", "subject", "time", "sequence", "partitionkey")
_TEXTS = (
    *("application", "session", "task", "kind", "state", "old_state", "error", "key", "endpoint"),
    *("creation_time", "completion_time", "session_creation_time", "rule"),
)
_COUNTS = ("pending", "running", "succeed", "failed", "cancelled")
_FLAGS = ("initial", "inferred", "final_state_known")
_NUMBERS = ("coalesced", "within", "age", "event_code", *_COUNTS)
# What a template may name, each with an example.
NAMES: dict[str, Scalar] = {
    **dict.fromkeys((*_ATTRIBUTES, *_TEXTS, "event_message", "summary"), "a text"),
    **dict.fromkeys(_FLAGS, True),
    **dict.fromkeys(_NUMBERS, 1),
}
# What the URL of ``dataref`` may name.
REFERENCE_NAMES = frozenset(("id", "application", "session", "task", "subject", "type"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The options that change attributes.

    Attributes:
        type_prefix: what each type starts with.
        source: the ``source`` of each event; None: the engine's endpoint.
        dataref: a URL with placeholders, sent instead of the data; None sends the data.
        payloads: whether the input and output of tasks are in the data.
    """

    type_prefix: str = "flame"
    source: str | None = None
    dataref: str | None = None
    payloads: bool = False


def cloud_event(
    event: AnyEvent, *, key: str, number: int, written: datetime, endpoint: str, naming: Naming
) -> CloudEvent:
    """Return the CloudEvent of an event.

    Args:
        event: what happened.
        key: its key, the same whenever it is sent again.
        number: its position in the outbox.
        written: when it was written there; the time of what has no time of its own.
        endpoint: of the engine, for an event that does not know it.
        naming: see there.
    """
    subject = subject_of(event)
    attributes: dict[str, Any] = {  # Any: the library's
        "specversion": "1.0",
        "id": id_of(key),
        "source": naming.source
        or _without_secrets(getattr(event, "endpoint", "") or endpoint)
        or "flame",
        "type": f"{naming.type_prefix}.{type_of(event)}",
        "subject": subject,
        "time": _time_of(event, written),
        "sequence": f"{number:020d}",
        "partitionkey": partition_key(event),
    }
    if naming.dataref is None:
        attributes["datacontenttype"] = "application/json"
        return CloudEvent(attributes, data_of(event, payloads=naming.payloads))
    places = {name: quote(text, safe="") for name, text in _places(event).items()}
    fixed = {name: str(attributes[name]) for name in ("id", "subject", "type")}
    attributes["dataref"] = Template(naming.dataref).substitute(fixed, **places)
    return CloudEvent(attributes)


def id_of(key: str) -> str:
    """Return the id of the event with a key: 128 bits of its SHA-256, as 32 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def type_of(event: AnyEvent) -> str:
    """Return an event's type without the prefix: ``task.failed``, ``session.closed``."""
    if isinstance(event, OverdueEvent):
        return "session.overdue" if event.task is None else "task.overdue"
    if isinstance(event, SessionEvent):
        return f"session.{event.kind.value}"
    if event.kind is EventKind.DELETED:
        return "task.deleted"
    return f"task.{event.task.state.name.lower()}"


def subject_of(event: AnyEvent) -> str:
    """Return the path of the task or session; slashes in ids are encoded."""
    task = task_of(event)
    path = f"sessions/{quote(event.session_id, safe='')}"
    return path if task is None else f"{path}/tasks/{quote(task, safe='')}"


def partition_key(event: AnyEvent) -> str:
    """Return the text that is equal for the events whose order is held."""
    task = task_of(event)
    return event.session_id if task is None else f"{event.session_id}/{task}"


def task_of(event: AnyEvent) -> str | None:
    """Return the id of the task that an event is of; None for one of a session."""
    if isinstance(event, SessionEvent):
        return None
    return None if event.task is None else event.task.id


def data_of(event: AnyEvent, *, payloads: bool) -> dict[str, Any]:  # Any: what JSON takes
    """Return the data: ``event.to_dict()`` without what differs between two attempts."""
    data = event.to_dict()
    for name in _VOLATILE:
        data.pop(name, None)
    if "endpoint" in data:
        data["endpoint"] = _without_secrets(data["endpoint"])
    if payloads and not isinstance(event, SessionEvent) and event.task is not None:
        for name in ("input", "output"):
            payload = getattr(event.task, name)
            data[f"{name}_base64"] = None if payload is None else base64.b64encode(payload).decode()
    return data


def values_of(made: CloudEvent, event: AnyEvent) -> dict[str, Scalar]:
    """Return what a template's names stand for.

    Where an event has no such thing, a text is "", a number or flag None.
    """
    data = data_of(event, payloads=False)
    recorded = data.get("event") or {}
    found = {
        **data,
        **(data.get("counts") or {}),
        "event_code": recorded.get("code"),
        "event_message": recorded.get("message"),
        **{name: str(made.get_attributes()[name]) for name in _ATTRIBUTES},
        "time": made.get_attributes()["time"].isoformat(),
        "summary": summary_of(event),
    }
    empty = {name: "" if isinstance(one, str) else None for name, one in NAMES.items()}
    return {name: empty[name] if found.get(name) is None else found[name] for name in NAMES}


def summary_of(event: AnyEvent) -> str:
    """Return one sentence for people."""
    places = _places(event)
    what = f"session {places['session']}"
    if places["task"]:
        what = f"task {places['task']} of {what}"
    if places["application"]:
        what += f" ({places['application']})"
    text = f"{what}: {type_of(event).partition('.')[2]}"
    if isinstance(event, OverdueEvent):
        return f"{text}, rule {event.rule.name} after {event.age:.0f} s"
    if isinstance(event, TaskEvent):
        return f"{text}: {event.task.error}" if event.task.error else text
    return f"{text}: {event.event.message}" if event.event and event.event.message else text


def _places(event: AnyEvent) -> dict[str, str]:
    return {
        "application": event.application,
        "session": event.session_id,
        "task": task_of(event) or "",
    }


def _time_of(event: AnyEvent, written: datetime) -> datetime:
    """Return when it happened by the engine's clock; without one, when it was written.

    An engine may keep the completion time of a task that runs again, so only an ended one has one.
    """
    moment: datetime | None = None
    if isinstance(event, TaskEvent) and event.kind is not EventKind.DELETED:
        task = event.task
        moment = task.completion_time if task.state.is_terminal else None
        if event.kind is EventKind.ADDED and task.state.name == "PENDING":
            moment = task.creation_time
    elif isinstance(event, SessionEvent):
        moment = {
            "opened": event.session.creation_time,
            "closed": event.session.completion_time,
            "event": event.event.creation_time if event.event else None,
        }.get(event.kind.value)
    return (moment or written).astimezone(timezone.utc)


def _without_secrets(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
