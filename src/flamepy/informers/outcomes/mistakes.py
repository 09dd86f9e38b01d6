"""What helps against a mistake in a callback: the attributes that an event has. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flamepy.texts import text_of
from flamepy.types import SessionInfo, Task
from flamepy.watching.state.events import SessionEvent, TaskEvent

_NAMED = re.compile(r"'(\w+)' object")


def attributes(error: BaseException, item: object) -> str:
    """Return which attributes there are, if ``error`` says that one of our objects lacks one.

    Args:
        error: what a callback raised.
        item: what it was called with.

    Returns:
        Text to append to a line of the log, or nothing: ``"; a TaskEvent has application, ..."``.
    """
    if not issubclass(type(error), (AttributeError, TypeError)):
        return ""
    assert isinstance(error, (AttributeError, TypeError))
    found = _meant(error, item)
    if found is None:
        return ""
    if isinstance(found, list):
        return f"; it got a list of {len(found)} events: take them one by one"
    names = [name for name in dir(type(found)) if not name.startswith("_")]
    return f"; a {type(found).__name__} has {', '.join(names)}"


def _meant(error: AttributeError | TypeError, item: object) -> object:
    """Return the object of ours that an error speaks of; None if it speaks of another one."""
    ours = list(_parts(item))
    about = getattr(error, "obj", None)
    if about is not None:
        own = type(about).__module__.startswith("flamepy.")
        return about if own or about is item else None
    named = _NAMED.search(text_of(error))
    kind = named.group(1) if named else ""
    return next((one for one in ours if type(one).__name__ == kind), None)


def _parts(item: object) -> Iterator[object]:
    if isinstance(item, list) and item:
        yield item
        yield from _parts(item[0])
    elif isinstance(item, (TaskEvent, SessionEvent)):
        yield item
        for one in (getattr(item, "task", None), item.session):
            if isinstance(one, (Task, SessionInfo)):
                yield one
