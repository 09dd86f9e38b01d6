"""Events as dictionaries that JSON takes, read back: what ``to_dict`` wrote. Pure.

``TaskEvent.from_dict`` and ``SessionEvent.from_dict`` are the way in. What a dictionary does not
have - payloads, a session's settings, the task events but the text of a failure - is left at its
default, so that the event that comes back has the same ``key``, state, times and text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of, text_of
from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState

Given = Mapping[str, Any]  # Any: what JSON gives
E = TypeVar("E")


def task_of(given: Given) -> Task:
    """Return the task of a dictionary.

    Raises:
        InvalidArgumentError: something is missing or of another kind.
    """
    state = state_of(TaskState, given, "state")
    text = given.get("error")
    ended = time_of(given, "completion_time")
    events = (Event(int(TaskState.FAILED), str(text), ended),) if text is not None else ()
    return Task(
        text_in(given, "task"),
        text_in(given, "session"),
        state,
        needed(time_of(given, "creation_time"), "creation_time"),
        completion_time=ended,
        events=events,
        payloads_loaded=False,
    )


def old_task_of(given: Given, task: Task) -> Task | None:
    """Return the task in the state before; None for a first observation."""
    if given.get("old_state") is None:
        return None
    state = state_of(TaskState, given, "old_state")
    return Task(task.id, task.session_id, state, task.creation_time, payloads_loaded=False)


def session_of(given: Given) -> SessionInfo:
    """Return the session of a dictionary.

    Raises:
        InvalidArgumentError: something is missing or of another kind.
    """
    return SessionInfo(
        text_in(given, "session"),
        str(given.get("application", "")),
        state_of(SessionState, given, "state"),
        needed(time_of(given, "creation_time"), "creation_time"),
        counts_of(given),
        completion_time=time_of(given, "completion_time"),
    )


def counts_of(given: Given) -> TaskCounts:
    """Return the counters of a dictionary."""
    counts = given.get("counts") or {}
    try:
        return TaskCounts(**{name: int(value) for name, value in counts.items()})
    except (TypeError, ValueError, AttributeError) as error:
        raise _wrong("counts", "numbers by state", counts) from error


def counts_in(counts: TaskCounts) -> dict[str, int]:
    """Return counters as a dictionary has them."""
    return {
        "pending": counts.pending,
        "running": counts.running,
        "succeed": counts.succeed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }


def recorded_of(given: Given) -> Event | None:
    """Return what the engine recorded of a session, for an EVENT."""
    event = given.get("event")
    if event is None:
        return None
    try:
        return Event(int(event["code"]), event.get("message"), time_of(event, "creation_time"))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _wrong("event", "an object with a code", event) from error


def provenance_of(given: Given) -> dict[str, Any]:  # Any: arguments of an event
    """Return how it was learned; the observation is as long ago as the dictionary says."""
    seen = time_of(given, "observed_at")
    age = 0.0 if seen is None else (datetime.now(timezone.utc) - seen).total_seconds()
    return {
        "application": str(given.get("application", "")),
        "endpoint": str(given.get("endpoint", "")),
        "epoch": int(given.get("epoch", 0)),
        "sequence": int(given.get("sequence", 0)),
        "initial": bool(given.get("initial", False)),
        "coalesced": int(given.get("coalesced", 0)),
        "final_state_known": bool(given.get("final_state_known", True)),
        "observed_at": monotonic() - max(0.0, age),
    }


def kind_of(kinds: type[E], given: Given, name: str) -> E:
    """Return a member of an enum by its value."""
    value = given.get(name)
    try:
        return kinds(value)  # type: ignore[call-arg]  # an enum takes a value
    except ValueError as error:
        raise _wrong(name, f"one of {', '.join(str(one) for one in kinds)}", value) from error  # type: ignore[attr-defined]  # an enum is iterable


def state_of(states: type[E], given: Given, name: str) -> E:
    """Return a state by its name in lower case; ``unknown_9`` is the number 9."""
    value = given.get(name)
    text = str(value).upper()
    try:
        if text.startswith("UNKNOWN_"):
            return states(int(text.removeprefix("UNKNOWN_")))  # type: ignore[call-arg]  # an enum takes a value
        return states[text]  # type: ignore[index,no-any-return]  # an enum has names
    except (KeyError, ValueError) as error:
        raise _wrong(name, "a state's name in lower case", value) from error


def time_of(given: Given, name: str) -> datetime | None:
    """Return a time; None if the dictionary has no such time."""
    value = given.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _wrong(name, "a time such as 2026-01-01T00:00:00.000+00:00", value) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def text_in(given: Given, name: str) -> str:
    """Return a text that must be there."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, "a text", value)
    return value


def check_form(given: object, kind: str, schema: int) -> Given:
    """Return a dictionary of the right type and schema.

    Raises:
        InvalidArgumentError: it is not one.
    """
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"an event must be a dictionary, got {repr_of(given)}")
    if given.get("type") != kind:
        raise _wrong("type", repr_of(kind), given.get("type"))
    if given.get("schema") != schema:
        raise _wrong("schema", f"{schema}: another release wrote this", given.get("schema"))
    return given


def needed(moment: datetime | None, name: str) -> datetime:
    """Return a time that must be there. Raises InvalidArgumentError if it is not."""
    if moment is None:
        raise _wrong(name, "a time", None)
    return moment


def _wrong(name: str, rule: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"the event's {name} must be {text_of(rule)}, got {repr_of(value)}")
