"""``OverdueEvent``: something was expected of a task or a session, and did not happen in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.informers.expect import Expected, Rule
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState, Task
from flamepy.watching.state import event_dicts

SCHEMA_VERSION = 1


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
        task, session = self.task, self.session
        return {
            "schema": SCHEMA_VERSION,
            "type": "overdue",
            "key": self.key,
            "rule": self.rule.name,
            "within": self.rule.within,
            "application": self.application,
            "session": self.session_id,
            "task": None if task is None else task.id,
            "state": None if task is None else task.state.name.lower(),
            "age": self.age,
            "creation_time": None if task is None else _text(task.creation_time),
            "session_state": None if session is None else session.state.name.lower(),
            "session_creation_time": None if session is None else _text(session.creation_time),
            "counts": None if session is None else event_dicts.counts_in(session.counts),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> OverdueEvent:  # Any: what JSON gives
        """Return the event that ``to_dict`` wrote, without what it leaves out.

        The rule is back without its ``where``.

        Raises:
            InvalidArgumentError: it is not such a dictionary.
        """
        form = event_dicts.check_form(given, "overdue", SCHEMA_VERSION)
        session = None if form.get("session_state") is None else _session_of(form)
        return cls(
            rule=_rule_of(form),
            application=str(form.get("application", "")),
            session_id=event_dicts.text_in(form, "session"),
            task=None if form.get("task") is None else event_dicts.task_of(form),
            session=session,
            age=float(form.get("age", 0.0)),
            key=event_dicts.text_in(form, "key"),
        )


def _rule_of(form: Mapping[str, Any]) -> Rule:
    name = event_dicts.text_in(form, "rule")
    expected, _, rest = name.partition("(")
    _, _, application = rest.removesuffix(")").partition(", application=")
    try:
        return Rule(Expected(expected), float(form["within"]), application or None)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"the event's rule must be a rule's name and its seconds, got {repr_of(name)}"
        ) from error


def _session_of(form: Mapping[str, Any]) -> SessionInfo:
    made = event_dicts.needed(
        event_dicts.time_of(form, "session_creation_time"), "session_creation_time"
    )
    return SessionInfo(
        event_dicts.text_in(form, "session"),
        str(form.get("application", "")),
        event_dicts.state_of(SessionState, form, "session_state"),
        made,
        event_dicts.counts_of(form),
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
