"""The situations of ``check_reconciler``, beside those of ``situations``: what happens to keys."""

from __future__ import annotations

import functools
import threading

from flamepy.errors import InvalidArgumentError
from flamepy.informers.informer import Informer
from flamepy.informers.reconcile.reconciler import Reconciler
from flamepy.testing.observed import Observed
from flamepy.testing.scripted_source import ScriptedSource
from flamepy.testing.situations import Play
from flamepy.testing.stage import Stage
from flamepy.texts import repr_of

SESSIONS = ("s", "t", "u", "v")
STORM = 50  # tasks for each of these sessions


def _reconciler(observed: Observed) -> Reconciler:
    informer = observed.informer
    if not isinstance(informer, Reconciler):
        raise InvalidArgumentError(
            f"check_reconciler is for subclasses of Reconciler, got {repr_of(type(informer))}; "
            "check_informer is for informers"
        )
    return informer


def _open_all(source: ScriptedSource) -> None:
    for name in SESSIONS:
        source.add_session(name)


def _task_each(source: ScriptedSource) -> None:
    for name in SESSIONS:
        source.add_task(name, b"input")


def _end_each(source: ScriptedSource, *, number: int) -> None:
    for name in SESSIONS:
        source.start(name, str(number))
        if number % 5:
            source.succeed(name, str(number), b"output")
        else:
            source.fail(name, str(number), "no")


def _storm(stage: Stage) -> None:
    _reconciler(stage.register())
    stage.do(_open_all)
    for number in range(1, STORM + 1):
        stage.do(_task_each, functools.partial(_end_each, number=number))
    stage.wait_for(*(f"{name}/{STORM} failed" for name in SESSIONS))


def _four_workers(stage: Stage) -> None:
    stage.do(_open_all, _task_each)
    reconciler = _reconciler(stage.register(prepare=_with_four))
    stage.wait_for(*(f"{name}/1 pending" for name in SESSIONS))
    stage.wait_idle()
    for name in SESSIONS:
        reconciler.enqueue(name)


def _with_four(informer: Informer) -> None:
    object.__setattr__(informer, "workers", 4)  # past a __setattr__ of the user's own


def _vanished(stage: Stage) -> None:
    gate = stage.gate()
    observed = stage.register()
    observed.before_next(lambda: gate.wait(60), "reconcile")
    stage.do(_open_all, _task_each)
    stage.wait_for(*(f"{name} opened" for name in SESSIONS))
    stage.do(*(functools.partial(_drop, name=name) for name in SESSIONS))
    stage.wait_for(*(f"{name} deleted" for name in SESSIONS))
    gate.set()


def _drop(source: ScriptedSource, *, name: str) -> None:
    source.drop_session(name)


def _again(stage: Stage) -> None:
    reconciler = _reconciler(stage.register())
    stage.do(_open_all, _task_each)
    stage.wait_for(*(f"{name}/1 pending" for name in SESSIONS))
    stage.wait_idle()
    reconciler.resync_now()
    stage.wait_idle()


def _cut_in_the_middle(stage: Stage) -> None:
    gate, entered = stage.gate(), threading.Event()

    def wait() -> None:
        entered.set()
        gate.wait(60)

    stage.do(_open_all, _task_each)
    observed = stage.register(cut_off=True)
    observed.before_next(wait, "reconcile")
    entered.wait(1.0)
    stage.reactor.stop(0.0)
    gate.set()
    stage.restart()
    stage.register()
    stage.wait_for(*(f"{name}/1 pending" for name in SESSIONS))


KEY_SITUATIONS: dict[str, Play] = {
    "a storm of events": _storm,
    "four workers": _four_workers,
    "keys that vanished": _vanished,
    "every key again": _again,
    "cut in the middle of a run": _cut_in_the_middle,
}
"""The situations by name, in the order in which they are played."""
