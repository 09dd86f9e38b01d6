"""One log line per change of state, with ids as fields, whatever the ids contain.

The line reads ``task running session=s1 task=3``; the record's attribute ``flame`` has the same
ids as a mapping, for structured logs. Ids come from clients, so they are quoted and cut.

Changes of tasks and of executors have loggers of their own, ``TASKS`` and ``EXECUTORS``: there are
some thousand of them a second, so ``flamepy up`` switches them off unless ``--verbose`` is given.
"""

from __future__ import annotations

import json
import logging
import re

TASKS = logging.getLogger("flamepy.local.tasks")
EXECUTORS = logging.getLogger("flamepy.local.executors")
LONGEST = 200  # characters of an id that a line shows
_PLAIN = re.compile(r"[A-Za-z0-9._:/@-]+")


def note(logger: logging.Logger, what: str, **ids: object) -> None:
    """Log a change at INFO.

    Args:
        logger: of the module that made the change.
        what: the object and what became of it: ``"session closed"``.
        ids: what it is about; None is left out.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    shown: dict[str, str] = {}
    line = what
    for name, value in ids.items():
        if value is not None:
            shown[name] = text = shorten(str(value))
            line += f" {name}={_quoted(text)}"
    # Three lines a task: logger.info would look for its caller, which is always here.
    record = logger.makeRecord(
        logger.name, logging.INFO, __file__, 0, line, (), None, "note", {"flame": shown}
    )
    logger.handle(record)


def shorten(text: str, limit: int = LONGEST) -> str:
    """Return a text, or its beginning and its length."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
