"""``Event`` messages to ``types.Event`` and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flamepy._proto import types_pb2
from flamepy.types import Event
from flamepy.wire.times import from_millis, to_millis


def decode_events(messages: Sequence[types_pb2.Event]) -> tuple[Event, ...]:
    """Return the events in the order of the wire; an unset message becomes ``""``."""
    return tuple(
        Event(message.code, message.message, from_millis(message.creation_time))
        for message in messages
    )


def encode_events(events: Iterable[Event]) -> list[types_pb2.Event]:
    """Return the messages; ``message`` is set even when it is empty, as the engine does."""
    return [
        types_pb2.Event(
            code=event.code,
            message=event.message or "",
            creation_time=to_millis(event.creation_time) if event.creation_time else 0,
        )
        for event in events
    ]
