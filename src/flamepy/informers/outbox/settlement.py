"""What the outcomes of a batch mean: what is deleted, tried again and when, or given up. Pure."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from flamepy.informers.dead_letters.letter import TRACEBACK_LENGTH, DeadLetter
from flamepy.informers.informer import PermanentError, TemporaryError
from flamepy.informers.outbox.entry import Outcome, OutcomeKind, StoredEntry
from flamepy.informers.outbox.options import OutboxOptions
from flamepy.informers.outbox.table import Tried
from flamepy.texts import repr_of

CALLBACK = "send"  # what a dead letter names


@dataclass(frozen=True, slots=True)
class Moment:
    """The time: monotonic seconds, and seconds since the epoch."""

    monotonic: float
    wall: float


@dataclass(slots=True)
class Settlement:
    """What becomes of a batch.

    Attributes:
        sent: ids that the receiver has.
        tried: attempts that failed, of what is tried again.
        waiting: what is to be sent later, and did not fail.
        waits: seconds until each of these two is sent again, by id.
        dead: entries that are given up, and why.
        wait: seconds for which the destination waits; None unless all of it is tried again.
        error: the first error; None if everything was sent.
    """

    sent: list[int] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    waiting: list[Tried] = field(default_factory=list)
    waits: dict[int, float] = field(default_factory=dict)
    dead: list[tuple[StoredEntry, Outcome]] = field(default_factory=list)
    wait: float | None = None
    error: BaseException | str | None = None

    @property
    def gone(self) -> set[int]:
        """The ids that wait no longer."""
        return {*self.sent, *(stored.id for stored, _ in self.dead)}


def outcomes_of(answer: object, count: int) -> list[Outcome]:
    """Return the outcomes that ``send`` returned for a number of entries; None is all sent.

    Raises:
        TypeError: it returned something else; nothing is known of the entries then.
    """
    if answer is None:
        return [Outcome.sent()] * count
    if isinstance(answer, Sequence) and len(answer) == count:
        found = list(answer)
        if all(isinstance(one, Outcome) for one in found):
            return found
    raise TypeError(
        f"send must return None, or one Outcome for each of its {count} entries, in their order, "
        f"got {repr_of(answer)}"
    )


def settle(
    entries: Sequence[StoredEntry],
    outcomes: Sequence[Outcome] | BaseException,
    options: OutboxOptions,
    *,
    failures: int,
    now: float,
    random: Callable[[], float],
) -> Settlement:
    """Return what becomes of a batch.

    Args:
        entries: the batch.
        outcomes: of each entry, or what ``send`` raised.
        options: of the outbox.
        failures: batches to the destination that failed in a row before this one.
        now: seconds since the epoch.
        random: returns a number in [0, 1).
    """
    made = Settlement()
    if isinstance(outcomes, BaseException):
        outcomes = [_outcome_of(outcomes)] * len(entries)
    failed = [one for one in outcomes if one.kind is OutcomeKind.RETRY]
    if failed and not {one.kind for one in outcomes} & {OutcomeKind.SENT, OutcomeKind.REFUSED}:
        asked = [one.after for one in failed if one.after is not None]
        made.wait = options.wait(failures + 1, random())
        if len(asked) == len(failed):
            made.wait = min(asked)
    for stored, outcome in zip(entries, outcomes, strict=True):
        if outcome.kind is OutcomeKind.WAIT:
            wait = outcome.after or 0.0
            made.waits[stored.id] = wait
            made.waiting.append(Tried(stored.attempts, now + wait, outcome.text, stored.id))
            continue
        made.error = made.error or outcome.error
        expired = now - stored.created >= options.give_up_after
        if outcome.kind is OutcomeKind.SENT:
            made.sent.append(stored.id)
        elif outcome.kind is OutcomeKind.REFUSED or expired:
            made.dead.append((stored, outcome))
        else:
            wait = _wait(stored, outcome, made.wait, options, random)
            made.waits[stored.id] = wait
            made.tried.append(Tried(stored.attempts + 1, now + wait, outcome.text, stored.id))
    return made


def _wait(
    stored: StoredEntry,
    outcome: Outcome,
    whole: float | None,
    options: OutboxOptions,
    random: Callable[[], float],
) -> float:
    if outcome.after is not None:
        return outcome.after
    own = options.wait(stored.attempts + 1, random())
    return own if whole is None else max(whole, own)  # one that always fails holds up no others


def _outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of every entry of a batch for which ``send`` raised."""
    if isinstance(error, PermanentError):
        return Outcome.refused(error)
    return Outcome.retry(error, error.delay if isinstance(error, TemporaryError) else None)


def letter_of(stored: StoredEntry, outcome: Outcome, *, informer: str, now: float) -> DeadLetter:
    """Return the dead letter of an entry that is given up; ``now`` is seconds since the epoch."""
    error = outcome.error
    trace = ""
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return DeadLetter(
        informer=informer,
        callback=CALLBACK,
        key=stored.key,
        event=json.loads(stored.event),
        error=outcome.text,
        traceback=trace[-TRACEBACK_LENGTH:],
        attempts=stored.attempts + 1,
        failed_at=datetime.fromtimestamp(now, timezone.utc),
    )
