"""The situations of ``check_informer``: each is a short script on a ``Stage``.

Everything here happens with real engines over the months (docs/delivery.md); a new one is a
function and a line in ``SITUATIONS``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from flamepy.errors import UnavailableError
from flamepy.informers.expect import Rule
from flamepy.informers.informer import Informer, TaskInformer
from flamepy.testing.scripted_source import ScriptedSource
from flamepy.testing.stage import Stage
from flamepy.types import ConnectionState, TaskState
from flamepy.watching.state.events import TaskEvent

Play = Callable[[Stage], None]

SHORT = 0.01  # seconds in which nothing happens
LONG_TEXT = "no such file: 'ä.txt'\n" + "x" * 10_000


def _open(source: ScriptedSource) -> None:
    source.add_session("s")


def _task(source: ScriptedSource) -> None:
    source.add_task("s", b"input")


def _start(source: ScriptedSource) -> None:
    source.start("s", "1")


def _succeed(source: ScriptedSource) -> None:
    source.succeed("s", "1", b"output")


def _nothing(stage: Stage) -> None:
    stage.register()
    stage.wait_idle()


def _life(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task)
    stage.wait_for("s/1 pending")
    stage.do(_start)
    stage.wait_for("s/1 running")
    stage.do(_succeed)
    stage.wait_for("s/1 succeed")


def _first_seen_ended(stage: Stage) -> None:
    stage.register()
    ends = (TaskState.SUCCEED, TaskState.FAILED, TaskState.CANCELLED)
    stage.do(_open, *(functools.partial(_ended_task, state=one) for one in ends))
    stage.wait_for("s/1 succeed", "s/2 failed", "s/3 cancelled")


def _ended_task(source: ScriptedSource, *, state: TaskState) -> None:
    source.add_task("s", b"input", state=state)


def _failed(stage: Stage, text: str | None) -> None:
    stage.register()
    stage.do(_open, _task)
    stage.wait_for("s/1 pending")
    stage.do(lambda source: source.fail("s", "1", text))
    stage.wait_for("s/1 failed")


def _cancelled(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task)
    stage.wait_for("s/1 pending")
    stage.do(lambda source: source.close("s"))
    stage.wait_for("s/1 cancelled", "s closed")


def _requeued(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task, _start)
    stage.wait_for("s/1 running")
    for act, text in (
        (lambda source: source.requeue("s", "1"), "s/1 pending"),
        (_start, "s/1 running"),
        (_succeed, "s/1 succeed"),
    ):
        stage.do(act)
        stage.wait_for(text)


def _unknown_state(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task, _start)
    stage.wait_for("s/1 running")
    stage.do(lambda source: source.move("s", "1", TaskState(9)))
    stage.wait_for("s/1 unknown_9")
    stage.do(_succeed)
    stage.wait_for("s/1 succeed")


def _deleted(stage: Stage, *, ended: bool) -> None:
    stage.register()
    stage.do(_open, _task, _start)
    stage.wait_for("s/1 running")
    if ended:
        stage.do(_succeed)
        stage.wait_for("s/1 succeed")
    stage.do(lambda source: source.drop_session("s"))
    stage.wait_for("s/1 deleted", "s deleted")


def _reset(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task, _start)
    stage.wait_for("s/1 running", "s opened")
    threading.Event().wait(0.01)  # so that the new session has another creation time
    stage.do(_lose_all)
    stage.wait_for("s/1 deleted", "s/1 pending", "s opened")


def _lose_all(source: ScriptedSource) -> None:
    source.lose_state()
    _open(source)
    _task(source)


def _sessions(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task)
    stage.wait_for("s opened", "s/1 pending")
    stage.do(_start)
    stage.wait_for("s/1 running")
    stage.do(_succeed)
    stage.wait_for("s drained")
    stage.do(_task)  # a drained session may get more
    stage.wait_for("s/2 pending")
    stage.do(lambda source: source.close("s"))
    stage.wait_for("s closed")
    stage.do(lambda source: source.drop_session("s"))
    stage.wait_for("s deleted")


def _engine_events(stage: Stage) -> None:
    stage.register()
    stage.do(_open)
    stage.wait_for("s opened")
    for code, text in ((1001, "failed to bind: \N{SNOWMAN}"), (1002, ""), (4711, "of tomorrow")):
        stage.do(functools.partial(_event, code=code, text=text))
        stage.wait_for("s event")


def _event(source: ScriptedSource, *, code: int, text: str) -> None:
    source.add_session_event("s", code, text)


def _same_keys_again(stage: Stage) -> None:
    stage.do(_open, _task, _start, _task, _succeed)
    stage.register()
    stage.wait_for("s/1 succeed", "s/2 pending")
    stage.wait_idle()
    stage.restart()
    stage.register()
    stage.wait_for("s/1 succeed", "s/2 pending")


def _overdue(stage: Stage) -> None:
    observed = stage.register(prepare=_in_no_time, rules=_short(stage.options.get("rules", ())))
    stage.do(_open, _task, _start, _task)
    stage.wait_for("s/1 running", "s/2 pending")
    if observed.has_rules:
        stage.wait_called(observed, "on_overdue")


def _in_no_time(informer: Informer) -> None:
    if informer.rules:
        object.__setattr__(informer, "rules", _short(informer.rules))


def _short(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(replace(rule, within=SHORT, application=None, where=None) for rule in rules)


class _RaisingInformer(TaskInformer):
    def on_transition(self, event: TaskEvent) -> None:
        raise ValueError("a neighbour of check_informer that raises; this is meant to happen")


class _BlockingInformer(TaskInformer):
    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def on_transition(self, event: TaskEvent) -> None:
        self._gate.wait(60)


def _beside_raising(stage: Stage) -> None:
    stage.beside(_RaisingInformer())
    _life(stage)


def _beside_waiting(stage: Stage) -> None:
    stage.beside(_BlockingInformer(stage.gate()))
    _life(stage)
    stage.wait_idle()


def _late(stage: Stage, *, replay: str) -> None:
    stage.do(_open, _task, _start, _task, _succeed)
    stage.wait_for("s/1 succeed", "s/2 pending")
    stage.register(replay=replay)
    stage.do(lambda source: source.start("s", "2"))
    stage.wait_for("s/2 running")


def _tiny_queue(stage: Stage) -> None:
    gate = stage.gate()
    stage.register(queue_size=1).before_next(lambda: gate.wait(60))
    stage.do(_open)
    for number in range(1, 21):
        stage.do(_task)
        stage.wait_for(f"s/{number} pending")
        stage.do(functools.partial(_start_and_end, number=number))
        stage.wait_for(f"s/{number} {'failed' if number % 2 else 'succeed'}")
    stage.do(lambda source: source.drop_task("s", "1"))
    gate.set()
    stage.wait_idle()


def _start_and_end(source: ScriptedSource, *, number: int) -> None:
    source.start("s", str(number))
    if number % 2:
        source.fail("s", str(number), "no")
    else:
        source.succeed("s", str(number), b"output")


def _side_by_side(stage: Stage) -> None:
    """Sessions whose events are handled at the same time, each in order, on four threads."""
    stage.register(workers=4, key="session")
    names = ("s", "t", "u", "v")
    stage.do(*(functools.partial(_open_named, name=name) for name in names))
    for number in range(1, 6):
        for name in names:
            stage.do(functools.partial(_task_and_end, name=name, number=number))
    stage.wait_for(*(f"{name}/{number} succeed" for name in names for number in range(1, 6)))


def _open_named(source: ScriptedSource, *, name: str) -> None:
    source.add_session(name)


def _task_and_end(source: ScriptedSource, *, name: str, number: int) -> None:
    source.add_task(name, b"input")
    source.start(name, str(number))
    source.succeed(name, str(number), b"output")


def _outage(stage: Stage) -> None:
    stage.register()
    stage.do(_open, _task)
    stage.wait_for("s/1 pending")
    stage.do(lambda source: source.fail_calls(UnavailableError("the engine is away")))
    stage.wait_connection(ConnectionState.DISCONNECTED)
    stage.do(_start, _succeed, lambda source: source.answer_calls())
    stage.wait_for("s/1 succeed")


def _stop_in_callback(stage: Stage) -> None:
    stage.register(cut_off=True).before_next(stage.reactor.stop)
    stage.do(_open, _task, _start)
    stage.wait_idle()
    stage.reactor.join(0.2)  # it has stopped, unless no callback is called for such an event


def _removed(stage: Stage) -> None:
    stage.register(cut_off=True)
    stage.do(_open, _task, _start)
    stage.wait_for("s/1 running")
    stage.wait_idle()
    stage.registrations[0].remove()
    stage.do(_succeed)
    stage.wait_for("s/1 succeed")


def _stopped_at_once(stage: Stage) -> None:
    stage.do(_open, _task, _start)
    stage.register(cut_off=True)
    stage.stop(0.0)


SITUATIONS: dict[str, Play] = {
    "nothing happens": _nothing,
    "a task's life": _life,
    "first seen when it has ended": _first_seen_ended,
    "from pending to failed, with a text": functools.partial(_failed, text=LONG_TEXT),
    "from pending to failed, without a text": functools.partial(_failed, text=None),
    "cancelled": _cancelled,
    "back to pending": _requeued,
    "an unknown state": _unknown_state,
    "deleted after its end": functools.partial(_deleted, ended=True),
    "deleted before its end": functools.partial(_deleted, ended=False),
    "an engine that lost everything": _reset,
    "a session's life": _sessions,
    "events of the engine": _engine_events,
    "the same keys again": _same_keys_again,
    "overdue": _overdue,
    "a neighbour that raises": _beside_raising,
    "a neighbour that is slow": _beside_waiting,
    "registered late, replay all": functools.partial(_late, replay="all"),
    "registered late, replay active": functools.partial(_late, replay="active"),
    "registered late, replay none": functools.partial(_late, replay="none"),
    "a queue of one": _tiny_queue,
    "sessions side by side": _side_by_side,
    "an outage": _outage,
    "stopped in a callback": _stop_in_callback,
    "removed": _removed,
    "stopped at once": _stopped_at_once,
}
"""The situations by name, in the order in which they are played."""
