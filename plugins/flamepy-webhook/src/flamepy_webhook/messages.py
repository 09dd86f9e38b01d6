"""The requests that events become: header fields and a body, unsigned. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from flamepy_webhook.cloud_events import AnyEvent, values_of
from flamepy_webhook.templates import BodyTemplate

_FORMAT = JSONFormat()


@dataclass(frozen=True, slots=True)
class Message:
    """One request: ``id`` is its ``webhook-id``, the same whenever it is sent again."""

    id: str
    headers: dict[str, str]
    body: bytes


def structured(made: CloudEvent) -> Message:
    """Return a request with the whole event as JSON."""
    message = to_structured(made, _FORMAT)
    return Message(made.get_id(), message.headers, message.body)


def binary(made: CloudEvent) -> Message:
    """Return a request with the data as the body, and the attributes as ``ce-`` header fields."""
    message = to_binary(made, _FORMAT)
    return Message(made.get_id(), message.headers, message.body)


def batch(events: Sequence[CloudEvent]) -> Message:
    """Return a request with several events; its id is one of the ids in it.

    The library writes no batches, but one is nothing else than a JSON list of structured events.
    """
    ids = hashlib.sha256("\n".join(one.get_id() for one in events).encode()).hexdigest()[:32]
    body = b"[" + b",".join(_FORMAT.write(one) for one in events) + b"]"
    return Message(ids, {"content-type": "application/cloudevents-batch+json"}, body)


def templated(made: CloudEvent, event: AnyEvent, template: BodyTemplate) -> Message:
    """Return a request whose body a template says."""
    headers = {"content-type": template.content_type}
    return Message(made.get_id(), headers, template.fill(values_of(made, event)))
