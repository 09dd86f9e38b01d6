"""``OutboxEntry``, which a sink sends, and ``Outcome``, which it answers. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from flamepy.enums import TextEnum
from flamepy.errors import InvalidArgumentError
from flamepy.informers.dead_letters.letter import AnyEvent, event_of, written
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import described, repr_of, text_of
from flamepy.watching.state.events import TaskEvent

ERROR_LENGTH = 2_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """One event that a sink is to send.

    Attributes:
        id: its number in the outbox; grows.
        key: the event's ``key``: the same text each time the event is sent, after restarts too.
        event: the event, as its ``from_dict`` makes it of what ``to_dict`` wrote; with payloads
            only where ``OutboxOptions.payloads`` asks for them.
        attempts: how often it was tried before.
        created: when it was stored, UTC.
        destination: what ``Sink.destination`` returned for the event.
    """

    id: int
    key: str
    event: AnyEvent
    attempts: int = 0
    created: datetime
    destination: str = ""


class OutcomeKind(TextEnum):
    """What became of an entry."""

    SENT = "sent"
    RETRY = "retry"
    WAIT = "wait"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry; made by ``sent``, ``retry``, ``wait`` and ``refused``.

    Attributes:
        kind: sent, to be tried again, to be sent later, or refused for good.
        error: why it was not sent: an exception, or a text.
        after: seconds until it is tried again; None leaves that to the back-off.
    """

    kind: OutcomeKind
    error: BaseException | str | None = None
    after: float | None = None

    @classmethod
    def sent(cls) -> Outcome:
        """The receiver has it."""
        return _SENT

    @classmethod
    def retry(cls, error: BaseException | str, after: float | None = None) -> Outcome:
        """It was not sent, and is tried again after ``after`` seconds, or a back-off.

        Raises:
            InvalidArgumentError: the error is neither an exception nor a text, or ``after`` is no
                number of seconds.
        """
        return cls(OutcomeKind.RETRY, _error(error), seconds_or_none("after", after))

    @classmethod
    def wait(cls, reason: str, after: float) -> Outcome:
        """It is to be sent later, and nothing failed: for a rate limit, or to be grouped.

        That counts as no attempt, is not logged, never makes a dead letter of it, and its
        destination takes other events meanwhile.

        Args:
            reason: shown by ``flamepy outbox list``.
            after: seconds until ``send`` gets it again.

        Raises:
            InvalidArgumentError: the reason is no text, or ``after`` is no number of seconds.
        """
        return cls(OutcomeKind.WAIT, _error(reason), seconds("after", after))

    @classmethod
    def refused(cls, error: BaseException | str) -> Outcome:
        """The receiver will never take it: it becomes a dead letter at once.

        Raises:
            InvalidArgumentError: the error is neither an exception nor a text.
        """
        return cls(OutcomeKind.REFUSED, _error(error))

    @property
    def text(self) -> str:
        """The error as a text; "" if it was sent."""
        if self.error is None:
            return ""
        error = self.error
        text = described(error) if isinstance(error, BaseException) else text_of(error)
        return text[:ERROR_LENGTH]


_SENT = Outcome(OutcomeKind.SENT)


def _error(error: object) -> BaseException | str:
    if isinstance(error, (BaseException, str)):
        return error
    raise InvalidArgumentError(
        f"an outcome's error must be an exception or a text, got {repr_of(error)}"
    )


class OutboxRow(NamedTuple):
    """An event as it is stored, before it has an id.

    Attributes:
        destination: where it goes.
        ordering: what it shares with events that it must not overtake; None if nothing.
        key: the event's.
        event: the event, as JSON.
        created: seconds since the epoch.
    """

    destination: str
    ordering: str | None
    key: str
    event: str
    created: float

    @property
    def size(self) -> int:
        """What it counts in ``max_bytes``."""
        return len(self.event)


def row_of(
    event: AnyEvent, *, destination: str, ordering: str, payloads: bool, now: float
) -> OutboxRow:
    """Return what is stored of an event.

    Args:
        event: the event.
        destination: where it goes.
        ordering: the option ``key``.
        payloads: whether input and output are stored.
        now: seconds since the epoch.
    """
    text = json.dumps(written(event, payloads=payloads))
    return OutboxRow(destination, _ordering(event, ordering), event.key, text, now)


def _ordering(event: AnyEvent, by: str) -> str | None:
    if by == "task":
        task = event.task if isinstance(event, (TaskEvent, OverdueEvent)) else None
        return event.session_id if task is None else f"{event.session_id}/{task.id}"
    if by == "session":
        return event.session_id
    return event.application if by == "application" else None


class StoredEntry(NamedTuple):
    """A row of the table: an event that waits.

    Attributes:
        id: its number.
        ordering, key, event, created: as of ``OutboxRow``.
        attempts: how often it was tried.
        due: not before, seconds since the epoch.
    """

    id: int
    ordering: str | None
    key: str
    event: str
    created: float
    attempts: int
    due: float


def entry_of(stored: StoredEntry, destination: str) -> OutboxEntry:
    """Return what a sink gets of a row.

    Raises:
        InvalidArgumentError: another release wrote it in another form.
    """
    given: dict[str, Any] = json.loads(stored.event)  # Any: what JSON gives
    return OutboxEntry(
        id=stored.id,
        key=stored.key,
        event=event_of(given),
        attempts=stored.attempts,
        created=datetime.fromtimestamp(stored.created, timezone.utc),
        destination=destination,
    )
