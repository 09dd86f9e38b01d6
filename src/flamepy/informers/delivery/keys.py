"""The key of an event: of each key one event is handled at a time, in order. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from flamepy.errors import InvalidArgumentError
from flamepy.informers.options import KeyFunction
from flamepy.texts import repr_of
from flamepy.watching.state.events import SessionEvent, TaskEvent

AnyEvent = TaskEvent | SessionEvent


def of_task(event: AnyEvent) -> Hashable:
    """Return which task an event is of; for one of a session, which session."""
    if isinstance(event, TaskEvent):
        return event.task.session_id, event.task.id
    return event.session.id


def of_session(event: AnyEvent) -> Hashable:
    """Return which session an event belongs to."""
    return event.task.session_id if isinstance(event, TaskEvent) else event.session.id


def of_application(event: AnyEvent) -> Hashable:
    """Return the name of an event's application."""
    return event.application


NAMED: dict[str, KeyFunction] = {
    "task": of_task,
    "session": of_session,
    "application": of_application,
}


def key_function(key: str | KeyFunction | None) -> KeyFunction:
    """Return what gives an event its key; of each task by default."""
    if key is None:
        return of_task
    return NAMED[key] if isinstance(key, str) else key


def checked(key: Hashable) -> Hashable:
    """Return a key of a user's function.

    Raises:
        InvalidArgumentError: it cannot be a key.
    """
    try:
        hash(key)
    except Exception as error:
        raise InvalidArgumentError(
            f"key must return something hashable, such as a text or a tuple, got {repr_of(key)}"
        ) from error
    return key
