"""Which callbacks an informer overrides, and which of them an event goes to. Pure.

Looked up once, at registration, where a misspelt name or a wrong signature is refused: it would
be silence for ever. ``invocation`` makes the calls.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from flamepy.errors import InformerError, InvalidArgumentError
from flamepy.informers.event_names import OF_SESSIONS, OF_TASKS, OVERDUE
from flamepy.informers.expect import Rule, checked
from flamepy.informers.informer import Informer, SessionInformer, SessionProgress, TaskInformer
from flamepy.informers.outbox.sink import Sink
from flamepy.texts import repr_of, text_of
from flamepy.types import TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

Method = Callable[..., Any]  # Any: a user's callback, or the coroutine of an async one


@dataclass(frozen=True, slots=True)
class Call:
    """One overridden callback and how it takes an event."""

    name: str
    method: Method
    shape: Callable[[Any], object] | None = None  # what it gets of the event; None: the event


_SHAPES: dict[str, Callable[[Any], object]] = {  # Any: the event that the callback is called for
    "on_update": lambda event: event.task,
    "on_progress": SessionProgress.of,
}
_OF_STATE = {
    TaskState.RUNNING: "on_running",
    TaskState.SUCCEED: "on_succeeded",
    TaskState.FAILED: "on_failed",
    TaskState.CANCELLED: "on_cancelled",
}
_OF_KIND = {
    SessionEventKind.OPENED: "on_opened",
    SessionEventKind.PROGRESS: "on_progress",
    SessionEventKind.DRAINED: "on_drained",
    SessionEventKind.CLOSED: "on_closed",
    SessionEventKind.DELETED: "on_deleted",
    SessionEventKind.EVENT: "on_event",
}


def task_callbacks(kind: EventKind, state: TaskState, *, requeued: bool) -> list[str]:
    """Return the names of the callbacks that a task's event goes to, in the order of the calls."""
    if kind is EventKind.DELETED:
        return ["on_transition", "on_deleted"]
    names = ["on_transition", "on_update"]
    if kind is EventKind.ADDED:
        names.append("on_added")
    if requeued:
        names.append("on_requeued")
    if state in _OF_STATE:
        names.append(_OF_STATE[state])
    if state.is_terminal:
        names.append("on_terminal")
    return names


def event_names(event: TaskEvent | SessionEvent) -> set[str]:
    """Return the names by which ``events`` of a registration chooses an event."""
    if isinstance(event, SessionEvent):
        return {_OF_KIND[event.kind].removeprefix("on_")}
    return _chosen_by(event.kind, event.task.state, event.is_requeue)


def _chosen_by(kind: EventKind, state: TaskState, requeued: bool) -> set[str]:
    names = (one.removeprefix("on_") for one in task_callbacks(kind, state, requeued=requeued))
    return {one for one in names if one in OF_TASKS}


def callbacks_of(name: str) -> set[str]:
    """Return the callbacks that an event of a name of ``events`` may go to."""
    found = {f"on_{name}"}
    for kind, state, requeued in product(EventKind, TaskState, (True, False)):
        if name in _chosen_by(kind, state, requeued):
            found.update(task_callbacks(kind, state, requeued=requeued), ["on_batch"])
    return found


class Callbacks:
    """The overridden callbacks of one informer.

    Args:
        informer: whose callbacks they are.
        rules: of its registration, beside its own.
        events: the names of the events that it gets; None for all.

    Raises:
        InvalidArgumentError: it is not an informer, one of its ``on_*`` methods is no callback
            or has the wrong signature, ``on_batch`` stands beside callbacks that it replaces, it
            has rules without ``on_overdue``, or it has no callback for one of ``events``.
    """

    def __init__(
        self,
        informer: Informer,
        rules: Sequence[Rule] = (),
        events: Sequence[str] | None = None,
    ) -> None:
        check_class(informer)
        kinds = [one for one in (TaskInformer, SessionInformer) if isinstance(informer, one)]
        known = {name for one in kinds for name in dir(one) if name.startswith("on_")}
        check_names(informer, known | informer.derived_callbacks)
        for name in informer.derived_callbacks:
            check_signature(informer, name, getattr(informer, name))
        self.informer = informer
        self._calls = {
            name: Call(name, getattr(informer, name), _SHAPES.get(name))
            for name in known - _left_out(informer, events)
            if _given(informer, name)
        }
        for name, call in self._calls.items():
            check_signature(informer, name, call.method)
        if "on_error" in self._calls:
            method = with_event(self._calls["on_error"].method)
            self._calls["on_error"] = Call("on_error", method)
        self._tasks: dict[tuple[EventKind, TaskState, bool], tuple[Call, ...]] = {}
        of_tasks = [name for name in self._calls if hasattr(TaskInformer, name)]
        shared = {"on_error", "on_synced", "on_connection", "on_overdue"}
        self.rules = checked((*informer.rules, *rules))
        self._check_rules()
        self.events = None if events is None else frozenset(events)
        if events is not None:
            self._check_events(events, rules)
            if OVERDUE not in events:
                self.rules = ()
        watched = isinstance(informer, TaskInformer) and informer.watch_tasks
        self.wants_tasks = watched and bool(set(of_tasks) - shared) and self._chooses_any(OF_TASKS)
        self.wants_sessions = (
            isinstance(informer, SessionInformer)
            and any(name in self._calls for name in _OF_KIND.values())
            and self._chooses_any(OF_SESSIONS)
        )
        # That a session has drained is known from its tasks; its counters alone do not say it.
        drained = "on_drained" in self._calls and self._chooses_any(["drained"])
        self.follows_tasks = self.wants_tasks or drained
        self.wants_tasks |= any(one.expected.of_tasks for one in self.rules)
        self.wants_sessions |= bool(self.rules)
        self.follows_tasks |= self.wants_tasks
        self.batches = "on_batch" in self._calls
        beside = sorted(set(of_tasks) - shared - {"on_batch"})
        if self.batches and isinstance(informer, Sink):
            raise InvalidArgumentError(
                f"{_label(informer)} is a Sink and has on_batch: write send(batch), which gets "
                "batches from the outbox, and leave on_batch out"
            )
        if self.batches and beside:
            raise InvalidArgumentError(
                f"{_label(informer)} has on_batch and {', '.join(beside)}: on_batch takes every "
                "event of a task instead of the others; keep one of the two"
            )

    def _check_rules(self) -> None:
        overridden = "on_overdue" in self._calls
        if self.rules and not overridden:
            raise InvalidArgumentError(
                f"{_label(self.informer)} has rules and no on_overdue(self, event), which is "
                "called when one is broken: override it, or leave the rules out"
            )
        if overridden and not self.rules and not isinstance(self.informer, Sink):
            raise InvalidArgumentError(
                f"{_label(self.informer)}.on_overdue would never be called: give rules, such as "
                "rules=[expect.end(within=600)]"
            )

    def _check_events(self, events: Sequence[str], rules: Sequence[Rule]) -> None:
        """Refuse a name of which no event would ever reach a callback."""
        for name in events:
            there = callbacks_of(name)
            if name == OVERDUE and not self.rules:
                raise InvalidArgumentError(
                    f"events has 'overdue' and {_label(self.informer)} has no rules, so nothing is "
                    "ever overdue: give rules, such as rules=[expect.end(within=600)], or leave "
                    "'overdue' out"
                )
            if not there & set(self._calls):
                raise InvalidArgumentError(
                    f"events has {name!r} and {_label(self.informer)} overrides none of the "
                    f"callbacks that get it ({', '.join(sorted(there))}): leave it out, or "
                    "override one"
                )
        if rules and OVERDUE not in events:
            raise InvalidArgumentError(
                f"rules were given and events leaves 'overdue' out, got {list(events)}: add it, or "
                "leave the rules out"
            )

    def _chooses_any(self, names: Sequence[str]) -> bool:
        return self.events is None or not self.events.isdisjoint(names)

    def chooses(self, event: TaskEvent | SessionEvent) -> bool:
        """Whether ``events`` of the registration has one of the names of an event."""
        return self.events is None or not self.events.isdisjoint(event_names(event))

    @property
    def has_coroutines(self) -> bool:
        """Whether any callback is ``async def``, ``start`` and ``close`` included."""
        life = [getattr(self.informer, name, None) for name in ("start", "close")]
        methods = [*life, *(call.method for call in self._calls.values())]
        return any(map(inspect.iscoroutinefunction, methods))

    def get(self, name: str) -> Call | None:
        """Return a callback by its name, or None when it is not overridden."""
        return self._calls.get(name)

    def for_task(self, event: TaskEvent) -> tuple[Call, ...]:
        """Return the overridden callbacks that a task's event goes to, in order."""
        key = (event.kind, event.task.state, event.is_requeue)
        found = self._tasks.get(key)
        if found is None:
            kind, state, requeued = key
            names = task_callbacks(kind, state, requeued=requeued)
            found = tuple(self._calls[name] for name in names if name in self._calls)
            if state.is_known:
                self._tasks[key] = found
        return found

    def for_session(self, event: SessionEvent) -> tuple[Call, ...]:
        """Return the overridden callback that a session's event goes to, if there is one."""
        call = self._calls.get(_OF_KIND[event.kind])
        return () if call is None else (call,)


# ---------------------------------------------------------------------- what is refused


def check_class(informer: object) -> None:
    """Refuse what is no instance of an informer."""
    if isinstance(informer, (TaskInformer, SessionInformer)):
        return
    hint = "; make an instance of it" if inspect.isclass(informer) else ""
    raise InvalidArgumentError(
        f"{repr_of(informer)} is not an informer: subclass flamepy.core.TaskInformer or "
        f"flamepy.informers.SessionInformer{hint}"
    )


def check_names(informer: Informer, known: set[str]) -> None:
    """Refuse an ``on_*`` method that no event would ever reach."""
    for name in dir(informer):
        if not name.startswith("on_") or name in known or not callable(getattr(informer, name)):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        if name == "on_application":
            close = ["on_application of an ApplicationInformer"]
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}."
        raise InvalidArgumentError(
            f"{_label(informer)}.{name} would never be called: {hint} Rename it if it is no "
            "callback; names that begin with on_ are callbacks"
        )


def check_signature(informer: Informer, name: str, method: Method) -> None:
    """Refuse a callback that cannot be called with what it would get."""
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise InvalidArgumentError(
            f"{_label(informer)}.{name} has a yield, so calling it would do nothing: callbacks are "
            "plain or async functions"
        )
    wanted = 0 if name == "on_synced" else 1
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # a builtin or a mock: it says nothing of its signature
    try:
        if name != "on_error" or _event_by(signature) is None:
            signature.bind(*[None] * wanted)
    except TypeError as error:
        takes = "no argument" if wanted == 0 else f"one argument ({_ARGUMENTS.get(name, 'event')})"
        if name == "on_error":
            takes += ", or with two (error, event),"
        beside = " beside self" if inspect.ismethod(method) else ""
        raise InvalidArgumentError(
            f"{_label(informer)}.{name}{signature} has the wrong signature: it is called with "
            f"{takes}{beside} ({text_of(error)})"
        ) from None


def with_event(method: Method) -> Method:
    """Return an ``on_error`` that takes the error alone; one that takes an event gets it as well.

    It takes one if it has a parameter ``event``, or needs a second argument. The event is that of
    the callback that raised, and None for what concerns the connection.
    """
    try:
        by = _event_by(inspect.signature(method))
    except (TypeError, ValueError):
        return method
    if by == "name":
        return lambda error: method(error, event=_event_of(error))
    return (lambda error: method(error, _event_of(error))) if by == "place" else method


def _event_by(signature: inspect.Signature) -> str | None:
    """Return how an ``on_error`` takes an event, by name or by place; None if it takes none."""
    named = signature.parameters.get("event")
    for by, places, names in (("place", [None] * 2, {}), ("name", [None], {"event": None})):
        try:
            signature.bind(*places, **names)
        except TypeError:
            continue
        if by == "name":
            return by if named is not None else None
        second = list(signature.parameters.values())[1:2]
        needed = bool(second) and second[0].default is second[0].empty
        if second == [named] or (needed and second[0].kind is not second[0].VAR_POSITIONAL):
            return by
    return None


def _event_of(error: object) -> object:
    return error.event if isinstance(error, InformerError) else None


_ARGUMENTS = {
    "on_update": "task",
    "on_error": "error",
    "on_connection": "state",
    "on_overdue": "event",
    "on_progress": "counts",
    "on_batch": "events",
}


def _given(informer: Informer, name: str) -> bool:
    found = getattr(informer, name, None)
    plain = {vars(one).get(name) for one in (Informer, TaskInformer, SessionInformer)}
    return callable(found) and getattr(found, "__func__", found) not in plain


def _left_out(informer: Informer, events: Sequence[str] | None) -> set[str]:
    """Return the optional callbacks that nothing asks for, neither ``events`` nor a subclass."""
    asked = {f"on_{name}" for name in events or ()}
    kind = type(informer)
    base = next(one for one in kind.__mro__ if "optional_callbacks" in vars(one))
    return {
        name
        for name in informer.optional_callbacks - asked
        if getattr(kind, name, None) is getattr(base, name, None)
    }


def _label(informer: Informer) -> str:
    return type(informer).__name__
