"""The names by which ``events`` of a registration chooses events. Pure.

They are the names of the callbacks without ``on_``, of those that get one kind of event.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

OF_TASKS = (
    *("added", "running", "succeeded", "failed", "cancelled", "terminal", "requeued", "deleted"),
)
OF_SESSIONS = ("opened", "progress", "drained", "closed", "deleted", "event")
OVERDUE = "overdue"
EVENT_NAMES = tuple(dict.fromkeys((*OF_TASKS, *OF_SESSIONS, OVERDUE)))


def checked_events(events: object) -> tuple[str, ...] | None:
    """Return the names of ``events`` without repetitions; None for every event.

    Raises:
        InvalidArgumentError: it is not several names, or one is unknown.
    """
    if events is None:
        return None
    listed = f"there are {', '.join(EVENT_NAMES)}"
    if isinstance(events, str) or not isinstance(events, Iterable):
        way = f"write [{repr_of(events)}]" if isinstance(events, str) else "write ['failed']"
        raise InvalidArgumentError(
            f"events must be several names, got {repr_of(events)}; {way}; {listed}"
        )
    names = tuple(dict.fromkeys(events))
    for name in names:
        if not isinstance(name, str) or name not in EVENT_NAMES:
            raise InvalidArgumentError(f"events has {repr_of(name)}{_meant(name)}; {listed}")
    if not names:
        raise InvalidArgumentError(
            "events is empty, so nothing would be delivered: leave it out for every event; "
            f"{listed}"
        )
    return names


def _meant(name: object) -> str:
    plain = name.removeprefix("on_") if isinstance(name, str) else ""
    near = difflib.get_close_matches(plain, EVENT_NAMES, n=1)
    return f", which is no event; did you mean {near[0]!r}?" if near else ", which is no event"
