"""What is expected of tasks and sessions: the rules for ``register(..., rules=[...])``. Pure.

::

    reactor.register(Alerts(), rules=[expect.end(within=600), expect.drained(within=3600)])

Each rule is a duration: of a task, or of a session with its tasks. The informer's ``on_overdue`` is
called once for each task or session that breaks it; a rule that holds again is armed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from flamepy.enums import TextEnum
from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of


class Expected(TextEnum):
    """What is to happen in time."""

    START = "start"
    RUN = "run"
    END = "end"
    DRAINED = "drained"
    PROGRESS = "progress"
    TASKS = "tasks"

    @property
    def of_tasks(self) -> bool:
        """True for a rule of single tasks, False for one of sessions."""
        return self in (Expected.START, Expected.RUN, Expected.END)


Where = Callable[[Any], object]  # Any: a Task, or a SessionInfo


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; made by the functions of this module.

    Attributes:
        expected: what is to happen.
        within: seconds.
        application: only in sessions of this application; None for every one in the informer's
            scope.
        where: only for a task, or a session, for which it returns a true value when it is first
            seen; called on the informer's thread.
    """

    expected: Expected
    within: float
    application: str | None = None
    where: Where | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What a checkpoint and an event call it: ``end(within=600)``."""
        of = "" if self.application is None else f", application={self.application!s}"
        return f"{self.expected}(within={self.within:g}{of})"


def start(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect a task to leave PENDING within a number of seconds of its creation.

    After the engine put it back into its queue the time begins again.

    Args:
        within: seconds, more than 0.
        application: only tasks of this application.
        where: called with the ``Task`` when it is first seen; a false answer leaves it out.

    Raises:
        InvalidArgumentError: a value is out of its range.
    """
    return _rule(Expected.START, within, application, where)


def run(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect a task to leave RUNNING within a number of seconds; arguments as of ``start``."""
    return _rule(Expected.RUN, within, application, where)


def end(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect a task to end within some seconds of its creation; arguments as of ``start``."""
    return _rule(Expected.END, within, application, where)


def drained(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect a session to have no unfinished task within a number of seconds of its first one.

    Args:
        within: seconds, more than 0.
        application: only sessions of this application.
        where: called with the ``SessionInfo`` when it is first seen; a false answer leaves it out.

    Raises:
        InvalidArgumentError: a value is out of its range.
    """
    return _rule(Expected.DRAINED, within, application, where)


def progress(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect a task of a session with unfinished ones to end at least every ``within`` seconds.

    Arguments as of ``drained``.
    """
    return _rule(Expected.PROGRESS, within, application, where)


def tasks(*, within: float, application: str | None = None, where: Where | None = None) -> Rule:
    """Expect an open session to get a task every ``within`` seconds; the rest as of ``drained``."""
    return _rule(Expected.TASKS, within, application, where)


def _rule(expected: Expected, within: object, application: object, where: Where | None) -> Rule:
    name = f"expect.{expected}"
    limit = seconds(f"{name}: within", within, zero=False)
    if application is not None and (not isinstance(application, str) or not application):
        raise InvalidArgumentError(
            f"{name}: application must be an application's name, got {repr_of(application)}"
        )
    if where is not None and not callable(where):
        raise InvalidArgumentError(f"{name}: where must be a function, got {repr_of(where)}")
    return Rule(expected, limit, application, where)


def checked(rules: object) -> tuple[Rule, ...]:
    """Return rules as a tuple.

    Raises:
        InvalidArgumentError: it is not several rules, or one is given twice.
    """
    if rules is None:
        return ()
    if isinstance(rules, Rule):
        raise InvalidArgumentError(f"rules must be a list, such as [expect.{rules.name}]")
    if not isinstance(rules, Iterable):
        raise InvalidArgumentError(f"rules must be a list of rules, got {repr_of(rules)}")
    found = tuple(rules)
    for one in found:
        if not isinstance(one, Rule):
            raise InvalidArgumentError(
                f"a rule is made by flamepy.informers.expect, such as expect.end(within=600), got "
                f"{repr_of(one)}"
            )
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"the rule {name} is given twice; leave one out")
    return found
