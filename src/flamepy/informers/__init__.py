"""Informers: from the hub's events to callbacks and signals.

Belongs here: the ``Reactor`` that users start, the informers that users subclass, the signals that
users connect to, plugins, and the queues and threads between them and the loop. Does not belong
here: finding changes; that is ``watching``. The path of an event: ``delivery.inbox`` (on the loop)
-> ``workers.queue`` -> ``workers.worker`` (a thread) -> ``delivery.dispatch`` ->
``delivery.callbacks`` and ``delivery.invocation``. For signals ``receivers.receiver`` takes the
place of the registration; a stream (``delivery.stream``) is read from the queue directly.
docs/architecture.md describes every room.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.informers import expect, predicates, signals
    from flamepy.informers.dead_letters.box import DeadLetters
    from flamepy.informers.dead_letters.letter import DeadLetter
    from flamepy.informers.delivery.invocation import FinishedCall
    from flamepy.informers.delivery.registration import Registration
    from flamepy.informers.delivery.stream import EventStream
    from flamepy.informers.expect import Rule
    from flamepy.informers.health import Health, ReactorState
    from flamepy.informers.informer import (
        PermanentError,
        SessionInformer,
        SessionProgress,
        TaskInformer,
        TemporaryError,
    )
    from flamepy.informers.options import RegistrationStats
    from flamepy.informers.outbox.entry import OutboxEntry, Outcome
    from flamepy.informers.outbox.options import OutboxOptions
    from flamepy.informers.outbox.sink import Sink
    from flamepy.informers.outbox.stats import OutboxStats
    from flamepy.informers.plugins.loading import Plugin, load_plugins
    from flamepy.informers.queries.applications import ApplicationTotals
    from flamepy.informers.reactor import Reactor
    from flamepy.informers.reconcile.application_informer import (
        ApplicationEvent,
        ApplicationInformer,
    )
    from flamepy.informers.reconcile.reconciler import ReconcileContext, Reconciler, Result
    from flamepy.informers.reconcile.work_queue import Backoff
    from flamepy.informers.rules.overdue import OverdueEvent
    from flamepy.secret import Secret
    from flamepy.watching.policy.settings import WatchSettings
    from flamepy.watching.state.events import (
        EventKind,
        EventSource,
        SessionEvent,
        SessionEventKind,
        TaskEvent,
    )

_HOMES = {
    "flamepy.informers.expect": "Rule",
    "flamepy.informers.rules.overdue": "OverdueEvent",
    "flamepy.informers.dead_letters.box": "DeadLetters",
    "flamepy.informers.dead_letters.letter": "DeadLetter",
    "flamepy.informers.health": "Health ReactorState",
    "flamepy.informers.informer": (
        "PermanentError SessionInformer SessionProgress TaskInformer TemporaryError"
    ),
    "flamepy.informers.outbox.entry": "OutboxEntry Outcome",
    "flamepy.informers.outbox.options": "OutboxOptions",
    "flamepy.informers.outbox.sink": "Sink",
    "flamepy.informers.outbox.stats": "OutboxStats",
    "flamepy.informers.plugins.loading": "Plugin load_plugins",
    "flamepy.informers.reactor": "Reactor",
    "flamepy.informers.options": "RegistrationStats",
    "flamepy.informers.queries.applications": "ApplicationTotals",
    "flamepy.informers.reconcile.application_informer": "ApplicationEvent ApplicationInformer",
    "flamepy.informers.reconcile.reconciler": "ReconcileContext Reconciler Result",
    "flamepy.informers.reconcile.work_queue": "Backoff",
    "flamepy.informers.delivery.invocation": "FinishedCall",
    "flamepy.informers.delivery.registration": "Registration",
    "flamepy.informers.delivery.stream": "EventStream",
    "flamepy.secret": "Secret",
    "flamepy.watching.policy.settings": "WatchSettings",
    "flamepy.watching.state.events": (
        "EventKind EventSource SessionEvent SessionEventKind TaskEvent"
    ),
}

__all__ = [
    "ApplicationEvent",
    "ApplicationInformer",
    "ApplicationTotals",
    "Backoff",
    "DeadLetter",
    "DeadLetters",
    "EventKind",
    "EventSource",
    "EventStream",
    "FinishedCall",
    "Health",
    "OutboxEntry",
    "OutboxOptions",
    "OutboxStats",
    "Outcome",
    "OverdueEvent",
    "PermanentError",
    "Plugin",
    "Reactor",
    "ReactorState",
    "ReconcileContext",
    "Reconciler",
    "Registration",
    "RegistrationStats",
    "Result",
    "Rule",
    "Secret",
    "SessionEvent",
    "SessionEventKind",
    "SessionInformer",
    "SessionProgress",
    "Sink",
    "TaskEvent",
    "TaskInformer",
    "TemporaryError",
    "WatchSettings",
    "expect",
    "load_plugins",
    "predicates",
    "signals",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, ("expect", "predicates", "signals"))
