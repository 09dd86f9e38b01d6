"""The lines of a recording: one JSON object each, with a number that grows. Pure.

An event is as ``to_dict`` has it, with what that leaves out and a callback can see: counters of
the session at the event of a task, settings of a session and what it was before. Other lines are
``header`` (a process began to record), ``connection``, ``synced`` and ``end``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.types import (
    ConnectionState,
    ResourceRequirement,
    SessionInfo,
    SessionState,
    TaskCounts,
)
from flamepy.watching.state import event_dicts
from flamepy.watching.state.events import SessionEvent, SessionEventKind, TaskEvent

FORMAT = 1
STATES = ("pending", "running", "succeed", "failed", "cancelled")
HALF = 0.0005  # seconds: times are written in whole ms, cut, and have to come out the same
SETTINGS = ("min_instances", "max_instances", "batch_size", "priority")

Fields = Mapping[str, Any]  # Any: what JSON takes


@dataclass(frozen=True, slots=True)
class Synced:
    """The line after the last event of the present state."""


@dataclass(frozen=True, slots=True)
class Header:
    """A process began to record.

    Attributes:
        fields: versions, endpoint, time and scope.
    """

    fields: Fields


Item = TaskEvent | SessionEvent | ConnectionState | Synced | Header


def encode(number: int, fields: Fields) -> bytes:
    """Return a line, with its end."""
    text = json.dumps({"n": number, **fields}, separators=(",", ":"), ensure_ascii=True)
    return text.encode() + b"\n"


def fields_of(event: TaskEvent | SessionEvent) -> dict[str, Any]:  # Any: what JSON takes
    """Return what is written of an event."""
    fields = event.to_dict()
    if isinstance(event, TaskEvent):
        if event.session is not None:
            fields["session_counts"] = [getattr(event.session.counts, one) for one in STATES]
    else:
        fields["settings"] = _settings_of(event.session)
        fields["old"] = None if event.old is None else _old_of(event.old)
    return fields


def _settings_of(info: SessionInfo) -> dict[str, Any]:  # Any: what JSON takes
    settings: dict[str, Any] = {name: getattr(info, name) for name in SETTINGS}
    if info.resreq is not None:
        settings["resreq"] = [info.resreq.cpu, info.resreq.memory, info.resreq.gpu]
    return settings


def _old_of(info: SessionInfo) -> dict[str, Any]:  # Any: what JSON takes
    counts = [getattr(info.counts, one) for one in STATES]
    return {"state": info.state.name.lower(), "counts": counts}


class Decoder:
    """Makes items of lines, in order; remembers the sessions, whose state events refer to."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], SessionInfo] = {}  # by id and creation time

    def item(self, fields: Fields) -> Item | None:
        """Return the item of a line; None for one of a kind that a later release added.

        Raises:
            InvalidArgumentError: it is not such a line.
        """
        kind = fields.get("type")
        if kind == "task":
            return self._task(fields)
        if kind == "session":
            return self._session(fields)
        if kind == "header":
            if fields.get("format") != FORMAT:
                raise InvalidArgumentError(
                    f"format {fields.get('format')} was written by another release: this one "
                    f"reads format {FORMAT}"
                )
            return Header(fields)
        if kind == "synced":
            return Synced()
        if kind == "connection":
            return _connection(fields)
        return None

    def _task(self, fields: Fields) -> TaskEvent:
        event = TaskEvent.from_dict(fields)
        event = replace(event, observed_at=event.observed_at + HALF)
        info = self._sessions.get((event.session_id, str(fields.get("session_creation_time"))))
        counts = fields.get("session_counts")
        if info is None or counts is None:
            return event
        return replace(event, session=replace(info, counts=TaskCounts(*counts)))

    def _session(self, fields: Fields) -> SessionEvent:
        event = SessionEvent.from_dict(fields)
        settings = dict(fields.get("settings") or {})
        resreq = settings.pop("resreq", None)
        known = {name: value for name, value in settings.items() if name in SETTINGS}
        info = replace(event.session, **known)
        if resreq is not None:
            info = replace(info, resreq=ResourceRequirement(*resreq))
        key = (info.id, str(fields.get("creation_time")))
        if event.kind is SessionEventKind.DELETED:
            self._sessions.pop(key, None)
        else:
            self._sessions[key] = info
        before = fields.get("old")
        old = None
        if before is not None:
            state = event_dicts.state_of(SessionState, before, "state")
            old = replace(info, state=state, counts=TaskCounts(*before["counts"]))
            if not state.is_known or state == SessionState.OPEN:
                old = replace(old, completion_time=None)
        return replace(event, session=info, old=old, observed_at=event.observed_at + HALF)


def _connection(fields: Fields) -> ConnectionState | None:
    try:
        return ConnectionState(fields.get("state"))
    except ValueError:
        return None


def problem_of(error: Exception) -> str:
    """Return what is wrong with a line."""
    return error.message if isinstance(error, FlameError) else type(error).__name__
