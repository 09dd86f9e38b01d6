"""The subject of an event: a template of which each field is one token. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from urllib.parse import quote

from flamepy.errors import InvalidArgumentError
from flamepy.informers import EventKind, OverdueEvent, SessionEvent, TaskEvent

Event = TaskEvent | SessionEvent | OverdueEvent
NOTHING = "_"  # the token of an empty field


def _type(event: Event) -> str:
    if isinstance(event, OverdueEvent):
        return "overdue"
    return "task" if isinstance(event, TaskEvent) else "session"


def _task(event: Event) -> str:
    if isinstance(event, SessionEvent) or event.task is None:
        return ""
    return event.task.id


def _state(event: Event) -> str:
    if isinstance(event, OverdueEvent):
        return event.rule.expected
    if isinstance(event, SessionEvent):
        return event.kind.value
    return "deleted" if event.kind is EventKind.DELETED else event.task.state.name.lower()


FIELDS: Mapping[str, Callable[[Event], str]] = {
    "application": lambda event: event.application,
    "session": lambda event: event.session_id,
    "state": _state,
    "task": _task,
    "type": _type,
}


def token(text: str) -> str:
    """Return a text as one token of a subject: what has a meaning there is percent-encoded."""
    return quote(text, safe="").replace(".", "%2E") or NOTHING


class Subject:
    """A template such as ``flame.{application}.{type}.{state}``.

    Args:
        template: tokens and fields in braces; a field is a name and nothing else.

    Raises:
        InvalidArgumentError: a field is unknown, or no event could have such a subject.
    """

    def __init__(self, template: str) -> None:
        if not isinstance(template, str):
            raise InvalidArgumentError(f"subject must be a text, got {template!r}")
        self._parts: list[tuple[str, Callable[[Event], str] | None]] = []
        try:
            parsed = list(Formatter().parse(template))
        except ValueError as error:
            raise InvalidArgumentError(f"subject {template!r}: {error}") from None
        for literal, field, form, conversion in parsed:
            if field is not None and (field not in FIELDS or form or conversion):
                raise InvalidArgumentError(
                    f"subject {template!r} has a field that is not one of {', '.join(FIELDS)}, or "
                    "more than its name in the braces"
                )
            self._parts.append((literal, None if field is None else FIELDS[field]))
        _check(template, "".join(literal + ("x" if of else "") for literal, of in self._parts))

    def of(self, event: Event) -> str:
        """Return the subject of an event."""
        return "".join(
            literal + (token(field(event)) if field is not None else "")
            for literal, field in self._parts
        )


def _check(template: str, example: str) -> None:
    wrong = [one for one in example if one in "*>" or one.isspace() or not one.isprintable()]
    if wrong or not all(example.split(".")):
        raise InvalidArgumentError(
            f"subject {template!r} must be tokens with a dot between two of them, without *, > and "
            "spaces, as in 'flame.{application}.{type}.{state}'"
        )
    if example.startswith("$"):
        raise InvalidArgumentError(
            f"subject {template!r} begins with $, which NATS keeps for itself"
        )
