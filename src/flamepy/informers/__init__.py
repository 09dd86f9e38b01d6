"""Informers: from the hub's events to callbacks and signals.

Belongs here: the ``Reactor`` a user starts, the ``TaskInformer`` a user subclasses, the signals a
user connects to, and the queues and threads between them and the loop (``dispatch``). Does not
belong here: how changes are found out; that is ``watching``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flamepy.informers import predicates, signals
    from flamepy.informers.informer import TaskInformer
    from flamepy.informers.reactor import Reactor, ReactorState
    from flamepy.informers.registration import Registration
    from flamepy.watching.events import EventKind, EventSource, SessionEvent, TaskEvent

__all__ = [
    "EventKind",
    "EventSource",
    "Reactor",
    "ReactorState",
    "Registration",
    "SessionEvent",
    "TaskEvent",
    "TaskInformer",
    "predicates",
    "signals",
]

_HOMES = {
    "EventKind": "flamepy.watching.events",
    "EventSource": "flamepy.watching.events",
    "Reactor": "flamepy.informers.reactor",
    "ReactorState": "flamepy.informers.reactor",
    "Registration": "flamepy.informers.registration",
    "SessionEvent": "flamepy.watching.events",
    "TaskEvent": "flamepy.watching.events",
    "TaskInformer": "flamepy.informers.informer",
}


def __getattr__(name: str) -> Any:  # Any: a module attribute of whatever kind
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in ("predicates", "signals"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
