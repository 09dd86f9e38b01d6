"""``History``: what became of the latest events of one registration, for ``reactor.explain``. Pure.

A ring of small tuples: a note costs some hundred nanoseconds, whatever is asked later. It holds no
event, so that nothing large stays alive by it. Any thread may note; a query gets a copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flamepy.enums import TextEnum

SIZE = 4096  # notes; an event makes two or three


class Stage(TextEnum):
    """What happened to an event."""

    FILTERED = "left out"
    KNOWN = "delivered before"
    COLLECTED = "collected for a batch"
    DELIVERED = "delivered"
    RETRIED = "failed, to be tried again"
    FAILED = "failed for good"


Note = tuple[Stage, float, str, str, object, object]
"""Stage, monotonic second, session id, task id or "", state or kind, what else there is to say.

Of DELIVERED that is how many seconds the callbacks took.
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """One note, for people.

    Attributes:
        stage: what happened.
        age: for how many seconds it has been so.
        state: the task's state, or the kind of the session's event.
        detail: more of it: which option filtered it, seconds of the callback, the error.
    """

    stage: Stage
    age: float
    state: str
    detail: str

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.state} {self.stage}{more}, {self.age:.1f} s ago"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one informer did with the events of a task, or of a session.

    Attributes:
        name: the informer's.
        in_scope: False if it was registered for another session.
        state: of the registration: active, removed, paused or quarantined, with the reason.
        waiting: events of it that wait.
        running: callbacks that run with one now.
        waits_for: what the informer does now: callback, seconds, event; "" if nothing.
        notes: what became of the latest ones, the oldest first.
    """

    name: str
    in_scope: bool
    state: str
    waiting: int
    running: tuple[str, ...]
    notes: tuple[Noted, ...]
    waits_for: str = ""

    @property
    def text(self) -> str:
        """What holds now, in a line."""
        if not self.in_scope:
            return "registered for another session"
        parts = [f"{self.running[0]} runs"] if self.running else []
        if self.waiting:
            why = "" if self.state == "active" else f", {self.state}"
            busy = f" for this: {self.waits_for}" if self.waits_for and not self.running else ""
            parts.append(f"{self.waiting} waiting{why}{busy}")
        if not parts:
            parts.append(str(self.notes[-1].stage) if self.notes else "nothing seen lately")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it."""
        return {
            "name": self.name,
            "text": self.text,
            "state": self.state,
            "waiting": self.waiting,
            "running": list(self.running),
            "steps": [str(one) for one in self.notes],
        }


class History:
    """The latest notes of one registration.

    Attributes:
        note: adds a ``Note``; the method of the ring itself, for speed.
    """

    __slots__ = ("_ring", "note")

    def __init__(self, size: int = SIZE) -> None:
        self._ring: deque[Note] = deque(maxlen=size)
        self.note = self._ring.append

    def of(self, session: str, task: str | None, now: float) -> Iterator[Noted]:
        """Yield what was noted of a task, or of a session and all in it, the oldest first."""
        for stage, at, of_session, of_task, state, detail in self._copy():
            if of_session == session and task in (None, of_task):
                text = "" if detail is None else str(detail)
                if isinstance(detail, float):
                    text = f"took {detail:.3f} s"
                name = state.name.lower() if isinstance(state, Enum) else str(state)
                yield Noted(stage, now - at, name, text)

    def _copy(self) -> list[Note]:
        while True:
            try:
                return list(self._ring)
            except RuntimeError:  # another thread added one meanwhile
                continue
