"""``DeadLetter``: one event whose handling failed for good, as it is stored. Pure."""

from __future__ import annotations

import base64
import json
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from flamepy.informers.informer import SessionProgress
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.texts import described
from flamepy.watching.state.events import SessionEvent, TaskEvent

TRACEBACK_LENGTH = 20_000  # characters; the end of a longer one is kept
ERROR_LENGTH = 2_000  # characters

AnyEvent = TaskEvent | SessionEvent | OverdueEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that an informer could not handle.

    Attributes:
        id: its number in the file; 0 before it is stored.
        informer: the ``uid`` of the registration, or its name if it has no ``uid``.
        callback: what failed.
        key: the event's.
        event: the event as ``to_dict`` writes it; with ``input`` and ``output`` in base64 where the
            registration gets payloads.
        error: the exception, as a text.
        traceback: of the last attempt.
        attempts: how often the callback was called with it, over all retries.
        failed_at: when it failed last, by the wall clock, UTC.
        retrying: it waits to be handled again.
    """

    id: int = 0
    informer: str
    callback: str
    key: str
    event: dict[str, Any]  # Any: what JSON takes
    error: str
    traceback: str
    attempts: int
    failed_at: datetime
    retrying: bool = False

    @property
    def application(self) -> str:
        """Name of the event's application."""
        return str(self.event.get("application", ""))

    @property
    def session(self) -> str:
        """Id of the event's session."""
        return str(self.event.get("session", ""))

    @property
    def task(self) -> str:
        """Id of the event's task; "" for an event of a session."""
        return str(self.event.get("task", ""))

    @classmethod
    def of(
        cls,
        event: TaskEvent | SessionEvent,
        error: BaseException,
        *,
        informer: str,
        callback: str,
        attempts: int,
        now: float,
    ) -> DeadLetter:
        """Return the letter of an event; ``now`` is seconds since the epoch."""
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return cls(
            informer=informer,
            callback=callback,
            key=event.key,
            event=written(event, payloads=True),
            error=described(error)[:ERROR_LENGTH],
            traceback=trace[-TRACEBACK_LENGTH:],
            attempts=attempts,
            failed_at=datetime.fromtimestamp(now, timezone.utc),
        )

    def observed(self) -> AnyEvent:
        """Return the event, to be handled again.

        Raises:
            InvalidArgumentError: another release wrote it in another form.
        """
        return event_of(self.event)

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it."""
        return {
            "id": self.id,
            "informer": self.informer,
            "callback": self.callback,
            "key": self.key,
            "error": self.error,
            "attempts": self.attempts,
            "failed_at": self.failed_at.isoformat(timespec="milliseconds"),
            "retrying": self.retrying,
            "event": self.event,
            "traceback": self.traceback,
        }

    def row(self) -> tuple[object, ...]:
        """Return it as the table has it, without the id."""
        return (
            self.informer,
            self.callback,
            self.key,
            json.dumps(self.event),
            self.error,
            self.traceback,
            self.attempts,
            self.failed_at.timestamp(),
            int(self.retrying),
        )

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> DeadLetter:  # Any: what SQLite gives
        """Return what a row of the table has."""
        number, informer, callback, key, event, error, trace, attempts, failed_at, retrying = row
        return cls(
            id=number,
            informer=informer,
            callback=callback,
            key=key,
            event=json.loads(event),
            error=error,
            traceback=trace,
            attempts=attempts,
            failed_at=datetime.fromtimestamp(failed_at, timezone.utc),
            retrying=bool(retrying),
        )


@dataclass(frozen=True, slots=True)
class Retried:
    """A dead letter's event, on its way to the informer again."""

    number: int
    event: AnyEvent


def letters_of(
    item: object,
    error: BaseException,
    *,
    informer: str,
    callback: str,
    attempts: int,
    now: float,
) -> list[DeadLetter]:
    """Return the letters of what a callback was called with: an event, or a batch of them."""
    item = item.event if isinstance(item, SessionProgress) else item
    events = item if isinstance(item, list) else [item]
    return [
        DeadLetter.of(
            event, error, informer=informer, callback=callback, attempts=attempts, now=now
        )
        for event in events
        if isinstance(event, (TaskEvent, SessionEvent))
    ]


def written(event: AnyEvent, *, payloads: bool) -> dict[str, Any]:
    """Return an event as JSON takes it, with input and output in base64 if it has them."""
    written = event.to_dict()
    if payloads and isinstance(event, TaskEvent) and event.task.payloads_loaded:
        for name, data in (("input", event.task.input), ("output", event.task.output)):
            written[name] = None if data is None else base64.b64encode(data).decode("ascii")
    return written


def event_of(given: dict[str, Any]) -> AnyEvent:
    """Return the event that ``written`` wrote.

    Raises:
        InvalidArgumentError: another release wrote it in another form.
    """
    if given.get("type") == "session":
        return SessionEvent.from_dict(given)
    if given.get("type") == "overdue":
        return OverdueEvent.from_dict(given)
    event = TaskEvent.from_dict(given)
    if "input" not in given and "output" not in given:
        return event
    task = replace(
        event.task,
        input=_bytes(given.get("input")),
        output=_bytes(given.get("output")),
        payloads_loaded=True,
    )
    return replace(event, task=task)


def _bytes(text: object) -> bytes | None:
    return None if text is None else base64.b64decode(str(text))
