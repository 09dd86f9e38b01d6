"""What is read from the engine when a person asks: a task, its payload, objects, dead letters.

Everything here blocks. Nothing is unpickled.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flamepy.errors import FlameError, InvalidArgumentError, InvalidStateError
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy, Task, TaskState
from flamepy.view import plain
from flamepy.view.task_query import number_of, task_row
from flamepy.watching.state.events import EventKind, TaskEvent

if TYPE_CHECKING:
    from flamepy.config import FlameContext
    from flamepy.informers.reactor import Reactor

Document = dict[str, Any]  # Any: what JSON takes
Words = Mapping[str, str]

TIMEOUT = 10.0  # seconds of a call
PREVIEW = 16_384  # bytes of a payload
ERROR_LENGTH = 65_536  # characters
EXPLAINED_LENGTH = 1_000  # characters of a line
LETTERS, OBJECTS = 200, 2_000


def read_task(reactor: Reactor, words: Words) -> Task:
    """Return a task as the engine has it now. Raises FlameError."""
    session_id, task_id = words.get("session", ""), words.get("task", "")
    number_of(task_id)
    return reactor.engine.run(
        lambda frontend: frontend.get_task(session_id, task_id), timeout=TIMEOUT
    )


def task_detail(reactor: Reactor, words: Words) -> Document:
    """Return what is shown of one task: the engine's events, sizes, the whole error, its key."""
    task = read_task(reactor, words)
    error = task.error
    return {
        "task": plain(task_row(task, "")),
        "error": None if error is None else error[:ERROR_LENGTH],
        "error_length": 0 if error is None else len(error),
        "input_size": None if task.input is None else len(task.input),
        "output_size": None if task.output is None else len(task.output),
        "key": TaskEvent(kind=EventKind.UPDATED, task=task).key,
        "events": [
            {
                "state": TaskState(one.code).name.lower(),
                "at": plain(one.creation_time),
                "text": (one.message or "")[:ERROR_LENGTH],
            }
            for one in task.events
        ],
    }


def explained(reactor: Reactor, words: Words) -> Document:
    """Return what each informer did with a task or a session, long texts cut. Raises FlameError."""
    found = reactor.explain(words.get("session", ""), words.get("task") or None)
    made: Document = plain(found.to_dict())
    made["observed"] = [one[:EXPLAINED_LENGTH] for one in made["observed"]]
    return made


def preview(reactor: Reactor, words: Words) -> Document:
    """Return the beginning of a task's input or output, as text if it is one. Raises FlameError."""
    of = words.get("of", "")
    if of not in ("input", "output"):
        raise InvalidArgumentError(f"of must be input or output, got {repr_of(of)}")
    task = read_task(reactor, words)
    return shown_payload(task.input if of == "input" else task.output)


def shown_payload(data: bytes | None) -> Document:
    """Return the beginning of a payload: JSON, other text, or bytes in hexadecimal. Pure."""
    if data is None:
        return {"kind": "nothing", "text": "", "size": 0, "cut": False}
    kind, cut = "text", len(data) > PREVIEW
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:PREVIEW], final=not cut)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        kind, text, cut = "bytes", data[: PREVIEW // 8].hex(" "), len(data) > PREVIEW // 8
    elif not cut and text[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            text, kind = json.dumps(json.loads(text), indent=2, ensure_ascii=False), "json"
    return {"kind": kind, "text": text[: 2 * PREVIEW], "size": len(data), "cut": cut}


def dead_letters(reactor: Reactor) -> Document:
    """Return the dead letters of a reactor, the newest last; and why where it keeps none."""
    try:
        box = reactor.dead_letters
    except InvalidStateError as error:
        return {"rows": [], "total": 0, "why": error.message}
    counts = box.counts()
    rows = [{"key": str(one.id), **plain(one.to_dict())} for one in box.list(limit=LETTERS)]
    return {"rows": rows, "total": sum(counts.values()), "counts": counts, "why": ""}


def cache_objects(context: FlameContext | None, words: Words) -> Document:
    """Return the objects of the object cache, the largest first; and why it cannot be read."""
    try:
        from flamepy.objects.client import ObjectClient
        from flamepy.wire.objects import check_extra

        check_extra()
        if context is None:
            raise InvalidStateError("no object cache is known here")
        policy = RetryPolicy(attempts=1)
        client = ObjectClient(context, policy=policy, patience=1.0, on_ambiguous="verify")
        try:
            found = client.list(timeout=TIMEOUT)
        finally:
            client.close()
    except FlameError as error:
        return {"rows": [], "matched": 0, "bytes": 0, "why": error.message}
    text = words.get("text", "")
    chosen = sorted((one for one in found if text in one.key), key=lambda one: -one.size)
    rows = [{"key": one.key, "bytes": one.size} for one in chosen[:OBJECTS]]
    total = sum(one.size for one in chosen)
    return {"rows": rows, "matched": len(chosen), "bytes": total, "why": ""}
