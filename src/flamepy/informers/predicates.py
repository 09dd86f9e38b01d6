"""Filters for ``register(where=...)``: functions of an event that combine with ``& | ~``. Pure.

Any callable that takes a ``TaskEvent`` and returns a truth value serves as well; these save
writing the common ones. They run on the informer's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from flamepy.types import TaskState
from flamepy.watching.events import TaskEvent


class Predicate:
    """A test of an event that can be combined with others."""

    def __init__(self, test: Callable[[TaskEvent], bool], text: str) -> None:
        self._test = test
        self._text = text

    def __call__(self, event: TaskEvent) -> bool:
        """Return True if the event passes."""
        return self._test(event)

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(lambda event: self(event) and other(event), f"({self} & {other})")

    def __or__(self, other: Predicate) -> Predicate:
        return Predicate(lambda event: self(event) or other(event), f"({self} | {other})")

    def __invert__(self) -> Predicate:
        return Predicate(lambda event: not self(event), f"~{self}")

    def __repr__(self) -> str:
        return self._text


def state_in(*states: TaskState) -> Predicate:
    """Let events pass whose task is in one of the states."""
    wanted = frozenset(states)
    names = ", ".join(state.name for state in states)
    return Predicate(lambda event: event.task.state in wanted, f"state_in({names})")


def application(name: str) -> Predicate:
    """Let events pass of tasks of one application."""
    return Predicate(lambda event: event.application == name, f"application({name!r})")


def session(session_id: str) -> Predicate:
    """Let events pass of tasks of one session."""
    return Predicate(lambda event: event.task.session_id == session_id, f"session({session_id!r})")


live = Predicate(lambda event: not event.initial, "live")
"""Let events pass of what happened after the registration only."""
