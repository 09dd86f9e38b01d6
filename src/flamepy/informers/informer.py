"""``TaskInformer``, the class that users subclass, and how one event becomes callbacks.

Every callback is optional to override. Callbacks of one informer run one after another, in
observation order per task, on the informer's own thread (``dispatch``); what they raise is
logged, counted and given to ``on_error``, and disturbs nobody else.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from flamepy.errors import FlameError, InformerError, InvalidArgumentError
from flamepy.types import ConnectionState, Task, TaskState
from flamepy.watching.events import EventKind, TaskEvent

logger = logging.getLogger(__name__)


class TaskInformer:
    """Subclass it and override what you want to be told.

    ``on_transition`` is the one primitive; the others are conveniences over it. ``on_update`` and
    ``on_error`` keep the form of the official SDK. An ``async def`` callback is awaited on the
    informer's thread before the next one starts.
    """

    def on_update(self, task: Task) -> None:
        """Take a task's new state: when it is first seen, and at each observed change."""

    def on_error(self, error: FlameError) -> None:
        """Take a lost connection, or what a callback of this informer raised.

        A task's failure never comes here: see ``on_failed``.
        """

    def on_transition(self, event: TaskEvent) -> None:
        """Take every event: ``event.old`` to ``event.task``, adds and deletes included."""

    def on_added(self, event: TaskEvent) -> None:
        """Take a task seen for the first time; ``event.initial`` if it was there before."""

    def on_deleted(self, event: TaskEvent) -> None:
        """Take a task that the engine no longer knows; see ``event.final_state_known``."""

    def on_running(self, event: TaskEvent) -> None:
        """Take a task that started to run."""

    def on_succeeded(self, event: TaskEvent) -> None:
        """Take a task that succeeded."""

    def on_failed(self, event: TaskEvent) -> None:
        """Take a task that its service failed; the service's text is ``event.task.error``."""

    def on_cancelled(self, event: TaskEvent) -> None:
        """Take a task that was cancelled by its session's close."""

    def on_terminal(self, event: TaskEvent) -> None:
        """Take a task that ended, however."""

    def on_requeued(self, event: TaskEvent) -> None:
        """Take a running task that the engine put back into its queue."""

    def on_synced(self) -> None:
        """Take in that everything present at the registration was told."""

    def on_connection(self, state: ConnectionState) -> None:
        """Take a change of the connection's state."""


_BY_STATE = {
    TaskState.RUNNING: "on_running",
    TaskState.SUCCEED: "on_succeeded",
    TaskState.FAILED: "on_failed",
    TaskState.CANCELLED: "on_cancelled",
}


def callbacks_for(event: TaskEvent) -> list[str]:
    """Return the names of the callbacks that an event goes to, in the order of their calls."""
    if event.kind is EventKind.DELETED:
        return ["on_transition", "on_deleted"]
    names = ["on_transition", "on_update"]
    if event.kind is EventKind.ADDED:
        names.append("on_added")
    if event.is_requeue:
        names.append("on_requeued")
    if event.task.state in _BY_STATE:
        names.append(_BY_STATE[event.task.state])
    if event.task.state.is_terminal:
        names.append("on_terminal")
    return names


Call = Callable[[Callable[..., Any], tuple[object, ...]], None]


class Callbacks:
    """The overridden callbacks of one informer, looked up once.

    Args:
        informer: the user's object.
        call: runs one callback with its arguments (awaits it if it is ``async def``).

    Raises:
        InvalidArgumentError: it is not an informer.
    """

    def __init__(self, informer: TaskInformer, call: Call) -> None:
        given: object = informer
        if not isinstance(given, TaskInformer):
            hint = "; make an instance of it" if inspect.isclass(given) else ""
            raise InvalidArgumentError(
                f"{given!r} is not an informer: subclass flamepy.core.TaskInformer{hint}"
            )
        self.informer = informer
        self.failures = 0
        self._call = call
        self._methods = {
            name: getattr(informer, name)
            for name in vars(TaskInformer)
            if name.startswith("on_") and _overridden(informer, name)
        }

    def wants(self, name: str) -> bool:
        """Return True if the informer overrides the callback."""
        return name in self._methods

    def event(self, event: TaskEvent) -> None:
        """Call what one event goes to."""
        for name in callbacks_for(event):
            self.call(name, event.task if name == "on_update" else event)

    def call(self, name: str, *arguments: object) -> None:
        """Call one callback if it is overridden; whatever it raises stays here."""
        method = self._methods.get(name)
        if method is None:
            return
        try:
            self._call(method, arguments)
        except BaseException as error:  # SystemExit of a callback must not end the thread either
            self.failures += 1
            label = f"{type(self.informer).__name__}.{name}"
            logger.exception("%s raised", label)
            if name != "on_error":
                told = InformerError(f"{label} raised {type(error).__name__}: {error}")
                told.__cause__ = error
                self.call("on_error", told)


def _overridden(informer: TaskInformer, name: str) -> bool:
    found = getattr(informer, name, None)
    return callable(found) and getattr(found, "__func__", found) is not vars(TaskInformer)[name]
