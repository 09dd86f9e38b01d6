"""``OverdueEvent``: something was expected of a task or a session, and did not happen in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flamepy.informers.expect import Rule
from flamepy.types import SessionInfo, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueEvent:
    """What ``on_overdue`` gets.

    Attributes:
        rule: the rule that was broken.
        application: name of the session's application; "" while it is not known.
        session_id: id of the session.
        task: the task as last seen, for a rule of tasks; None for one of sessions.
        session: the session as last seen; None where no poll has shown it.
        age: seconds since the rule was armed: since the task's creation, say.
        key: a text that is the same whenever this is delivered again.
    """

    rule: Rule
    application: str
    session_id: str
    task: Task | None
    session: SessionInfo | None
    age: float
    key: str

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return the event as JSON takes it, without payloads."""
        return {
            "schema": 1,
            "type": "overdue",
            "key": self.key,
            "rule": self.rule.name,
            "within": self.rule.within,
            "application": self.application,
            "session": self.session_id,
            "task": None if self.task is None else self.task.id,
            "state": None if self.task is None else self.task.state.name.lower(),
            "age": self.age,
        }
