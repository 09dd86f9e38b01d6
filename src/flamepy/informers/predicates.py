"""Filters for ``register(where=...)``: functions of an event that combine with ``& | ~``. Pure.

Any callable that takes an event and returns a truth value serves as well, also in a combination;
these save writing the common ones. All judge events of tasks and of sessions, ``state_in`` those
whose states it was given. They run on the informer's thread::

    where=predicates.live & ~predicates.state_in(TaskState.RUNNING)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of
from flamepy.types import Application, SessionState, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

AnyEvent = TaskEvent | SessionEvent
Test = Callable[[Any], object]  # Any: an event of a task, or of a session


class Predicate:
    """A test of an event that can be combined with others, and with any function of an event."""

    def __init__(self, test: Test, text: str, *, only: frozenset[str] = frozenset()) -> None:
        self._test = test
        self._text = text
        self._only = only  # texts of those in it that judge events of tasks, or of sessions, only

    def __call__(self, event: AnyEvent) -> bool:
        """Return True if the event passes."""
        return bool(self._test(event))

    def __and__(self, other: Test) -> Predicate:
        if not callable(other):
            return NotImplemented
        text = f"({self} & {_text(other)})"
        return Predicate(
            lambda event: self(event) and other(event), text, only=self._only | _only(other)
        )

    def __or__(self, other: Test) -> Predicate:
        if not callable(other):
            return NotImplemented
        text = f"({self} | {_text(other)})"
        return Predicate(
            lambda event: self(event) or other(event), text, only=self._only | _only(other)
        )

    def __rand__(self, other: Test) -> Predicate:
        return Predicate(other, _text(other)) & self if callable(other) else NotImplemented

    def __ror__(self, other: Test) -> Predicate:
        return Predicate(other, _text(other)) | self if callable(other) else NotImplemented

    def __invert__(self) -> Predicate:
        return Predicate(lambda event: not self(event), f"~{self}", only=self._only)

    def __bool__(self) -> bool:
        # ``a and b`` would be ``b``, and a factory that was not called would let everything pass.
        raise InvalidArgumentError(
            f"the predicate {self} is neither true nor false without an event; combine with & | ~ "
            "instead of and, or, not, and give where= the result of a call: state_in(...)"
        )

    def __repr__(self) -> str:
        return self._text


def _text(test: Test) -> str:
    if isinstance(test, Predicate):
        return repr(test)
    return getattr(test, "__name__", None) or repr(test)


def _only(test: Test) -> frozenset[str]:
    return test._only if isinstance(test, Predicate) else frozenset()


def check_judges(where: object, *, tasks: bool, sessions: bool) -> None:
    """Refuse a predicate that would leave out every event of tasks, or every one of sessions.

    Raises:
        InvalidArgumentError: names the predicate and the way out.
    """
    only = where._only if isinstance(where, Predicate) else frozenset()
    for wanted, kind, other in (
        (tasks, "tasks", "SessionState"),
        (sessions, "sessions", "TaskState"),
    ):
        if wanted and only == {other}:
            raise InvalidArgumentError(
                f"where={where} knows states of another kind than events of {kind} have: name "
                f"both in state_in(TaskState..., SessionState...), or register two informers"
            )


def check_made(where: object) -> None:
    """Refuse a function of this module that was not called: it makes predicates, it is not one."""
    name = getattr(where, "__name__", "")
    if getattr(where, "__module__", None) == __name__ and name in _MAKERS:
        raise InvalidArgumentError(
            f"where=predicates.{name} is no predicate yet: call it, predicates.{name}(...)"
        )


_MAKERS = {"application", "changed", "label", "session", "state_in"}


def state_in(*states: TaskState | SessionState) -> Predicate:
    """Pass events whose task, or whose session, is in one of the states.

    Raises:
        InvalidArgumentError: none is given, or something else than a state.
    """
    for state in states or (None,):
        if not isinstance(state, (TaskState, SessionState)):
            raise InvalidArgumentError(
                f"state_in takes states such as TaskState.FAILED, one or more, got {repr_of(state)}"
            )
    wanted = frozenset((type(state), state) for state in states)
    kinds = {type(state).__name__ for state in states}
    names = ", ".join(state.name for state in states)
    only = frozenset(kinds if len(kinds) == 1 else ())

    def test(event: AnyEvent) -> bool:
        state = event.task.state if isinstance(event, TaskEvent) else event.session.state
        return (type(state), state) in wanted

    return Predicate(test, f"state_in({names})", only=only)


def application(name: str) -> Predicate:
    """Pass events of tasks and sessions of one application."""
    return Predicate(lambda event: event.application == name, f"application({repr_of(name)})")


def session(session_id: str) -> Predicate:
    """Pass events of one session and of its tasks."""
    return Predicate(
        lambda event: event.session_id == session_id, f"session({repr_of(session_id)})"
    )


def changed() -> Predicate:
    """Pass events that show a state: not deletes, nor a state that was delivered before."""
    return Predicate(_changed, "changed()")


def _changed(event: AnyEvent) -> bool:
    if isinstance(event, SessionEvent):
        return event.kind in (SessionEventKind.OPENED, SessionEventKind.CLOSED)
    if event.kind is EventKind.DELETED:
        return False
    return event.old is None or event.old.state != event.task.state


def label(
    wanted: str | tuple[str, str], get_application: Callable[[str], Application | None]
) -> Predicate:
    """Pass events of tasks whose application has a label.

    Events do not know labels and the engine is not asked for them unless you say how:
    ``label("gpu", connection.get_application)``. Each application is looked up once, at its first
    event, on the informer's thread; a label that changes later is not seen. While the engine
    cannot answer that, the look-up raises, which counts as a failure of ``where``.

    Args:
        wanted: a label's text; ``"team"`` finds ``team=red`` too, ``("team", "red")`` that only.
        get_application: returns an application by its name, or None.
    """
    if not callable(get_application):
        raise InvalidArgumentError(
            "label needs a function from an application's name to the application, such as "
            f"connection.get_application, got {repr_of(get_application)}"
        )
    text = wanted if isinstance(wanted, str) else "=".join(wanted)
    prefix = f"{text}=" if isinstance(wanted, str) else None
    known: dict[str, bool] = {}

    def test(event: AnyEvent) -> bool:
        name = event.application
        if name not in known:
            found = get_application(name)
            labels = (found.labels if found is not None else None) or ()
            known[name] = any(
                one == text or (prefix is not None and one.startswith(prefix)) for one in labels
            )
        return known[name]

    return Predicate(test, f"label({repr_of(text)})")


live = Predicate(lambda event: not event.initial, "live")
"""Pass only events of what happened after the registration."""
