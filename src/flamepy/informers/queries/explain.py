"""``reactor.explain``: what was observed of a task or a session, and what became of its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flamepy.informers.outcomes.history import Explanation
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of
from flamepy.watching.state.store import Store

COMPARED = 2000  # sessions whose ids are compared with an unknown one: some ten milliseconds
ALIKE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The answer of ``reactor.explain``; ``str`` of it is for people.

    Attributes:
        session: id of the session.
        task: id of the task; None for a whole session.
        text: what the engine showed last.
        observed: how that was learned.
        handlers: what each informer did with it.
    """

    session: str
    task: str | None
    text: str
    observed: tuple[str, ...]
    handlers: tuple[Explanation, ...]

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it."""
        return {
            "session": self.session,
            "task": self.task,
            "text": self.text,
            "observed": list(self.observed),
            "handlers": [one.to_dict() for one in self.handlers],
        }

    def __str__(self) -> str:
        lines = [self.text, *(f"  {one}" for one in self.observed)]
        for handler in self.handlers:
            lines.append(f"{handler.name}: {handler.text}")
            lines += [f"  {one}" for one in handler.notes]
        return "\n".join(lines)


def explained(
    store: Store, session: str, task: str | None, handlers: Sequence[Explanation]
) -> Explained:
    """Return what is known of a task or a session."""
    name = session if task is None else f"{session}/{task}"
    record = store.sessions.get(session)
    observed = []
    if record is None or record.info is None:
        text = f"{name}: {_absence(store, session)}"
    else:
        counts = record.info.counts
        observed.append(
            f"session of {record.application}, {record.info.state.name.lower()}: "
            f"{counts.pending} pending, {counts.running} running, {counts.terminal} ended"
        )
        text = f"{name}: {record.info.state.name.lower()}"
    if record is not None and task is not None:
        known = record.tasks.get(int(task)) if task.isdecimal() else None
        if known is None:
            text = f"{name}: not read yet, or ended long ago, or there is no such task"
        else:
            text = f"{name}: {known.task.state.name.lower()}"
            age = max(0.0, monotonic() - known.window.end)
            observed.append(f"seen by {known.source}, {age:.1f} s ago")
            if known.task.error:
                observed.append(f"the service said: {known.task.error}")
    return Explained(
        session=session, task=task, text=text, observed=tuple(observed), handlers=tuple(handlers)
    )


def _absence(store: Store, session: str) -> str:
    """Say why nothing is known of a session: it is gone, or no poll has shown it."""
    from difflib import get_close_matches  # most programs never ask

    epoch, since = store.history.recall(session)
    if epoch:
        age = max(0.0, monotonic() - since)
        return (
            f"gone; session {repr_of(session)} left the engine {age:.1f} s ago: it was deleted, "
            "evicted after its end, or lost by a restart; what is left is what each informer did"
        )
    known = [one.id for one in list(store.sessions.values())[-COMPARED:] if one.info is not None]
    near = [one for one in known if session and one.startswith(session)][:3]
    near = near or get_close_matches(session, known, n=3, cutoff=ALIKE)
    hint = f"; did you mean {' or '.join(map(repr_of, near))}?" if near else ";"
    return (
        f"not known; no poll has shown a session {repr_of(session)}{hint} `flamepy sessions` lists "
        "those of the engine; one that is new is known a second later, one that was gone before "
        "this process began never is"
    )
