"""One informer under observation: what its callbacks raise, how long they take, where they hang.

The methods are wrapped on the instance, so the informer, its class and the reactor stay as they
are. ``checking`` makes them and asks what was found.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from flamepy.informers.delivery.callbacks import Callbacks
from flamepy.informers.delivery.invocation import describe
from flamepy.informers.expect import Rule
from flamepy.informers.informer import (
    Informer,
    SessionInformer,
    SessionProgress,
    TaskInformer,
    TemporaryError,
)
from flamepy.informers.reconcile.reconciler import Reconciler
from flamepy.runtime.clocks import monotonic
from flamepy.types import Task

EVENTS = sorted(
    {name for one in (TaskInformer, SessionInformer) for name in dir(one) if name.startswith("on_")}
)
LIVES = ("attach", "start", "close")
KEYS = ("keys", "reconcile")  # of a reconciler
APART = {"on_error", "on_synced", "on_connection", "where", "transform", *LIVES}


@dataclass(frozen=True, slots=True)
class Problem:
    """What was found about one callback; ``error`` is what it raised, if it did."""

    callback: str
    text: str
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Call:
    name: str
    item: object
    thread: int
    since: float


class Observed:
    """Wraps an informer's callbacks: records errors, durations and calls that hang.

    Args:
        informer: is wrapped; it must not be registered yet.
        limit: seconds that a callback may take.
        rules: of its registration.
        retried: whether its callbacks are called again after any exception.

    Attributes:
        called: how often each callback was called.
        hangs: how many callbacks ended only because they were cancelled.
        registered, cut_off: to be set by who registers it; whether a stop may cut off tries.

    Raises:
        InvalidArgumentError: a reactor would refuse the informer.
    """

    def __init__(
        self,
        informer: Informer,
        limit: float,
        *,
        retried: bool = False,
        rules: Sequence[Rule] = (),
    ) -> None:
        callbacks = Callbacks(informer, rules)
        self.has_rules = bool(callbacks.rules)
        self.informer = informer
        self.called: Counter[str] = Counter()
        self.hangs = 0
        self.registered = False
        self.cut_off = False
        self._limit = limit
        self._retried = retried
        self._file = _file_of(type(informer))
        self._guard = threading.Lock()  # guards what follows; nothing runs under it
        self._running: list[_Call] = []
        self._raised: dict[tuple[str, object], tuple[_Call, BaseException]] = {}
        self._slow: list[Problem] = []
        self._act: Callable[[], object] | None = None
        self._act_in = ""
        for name in EVENTS:
            if callbacks.get(name) is not None:
                self._wrap(name)
        for name in LIVES + (KEYS if isinstance(informer, Reconciler) else ()):
            if callable(getattr(informer, name, None)):
                self._wrap(name)

    def before_next(self, act: Callable[[], object], name: str = "") -> None:
        """Call ``act`` once inside the next callback for an event, before its own work.

        Args:
            act: what to call.
            name: of the callback; "" for any.
        """
        self._act, self._act_in = act, name

    @property
    def running(self) -> bool:
        """True while a callback runs."""
        with self._guard:
            return bool(self._running)

    def has(self, name: str) -> bool:
        """Return True if the informer has that method."""
        return callable(getattr(self.informer, name, None))

    def problems(self) -> list[Problem]:
        """Return what was found so far; callbacks that still run count as hanging."""
        with self._guard:
            raised = [one for one in self._raised.values() if not self._forgives(*one)]
            running = list(self._running)
            found = list(self._slow)
        same: dict[tuple[str, type, str], list[tuple[_Call, BaseException]]] = {}
        for call, error in raised:
            line = self._line([(one.filename, one.lineno) for one in _frames_of(error)])
            same.setdefault((call.name, type(error), line), []).append((call, error))
        for (name, kind, line), those in same.items():
            call, error = those[0]
            more = f", and {len(those) - 1} more like it" if len(those) > 1 else ""
            text = f"raised {kind.__name__}: {error}{line}{_at(call.item)}{more}"
            found.append(Problem(name, text, error))
        for call in running:
            seconds = monotonic() - call.since
            line = self._line(_frames_now(call.thread))
            text = f"hangs: it still ran {seconds:.1f} s after its begin, when all was stopped"
            found.append(Problem(call.name, f"{text}{line}{_at(call.item)}"))
        return found

    # ------------------------------------------------------------------ the wrapping

    def _wrap(self, name: str) -> None:
        # Past a __setattr__ of the user's own, such as a frozen dataclass has.
        object.__setattr__(self.informer, name, self.watched(name, getattr(self.informer, name)))

    def watched(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does what ``method`` does, and is observed."""

        @functools.wraps(method)
        def call(*arguments: object) -> object:
            item = arguments[0] if arguments else None
            if inspect.iscoroutinefunction(method):
                return self._awaited(name, item, lambda: method(*arguments))
            self._interrupt(name)
            begun = self._begin(name, item)
            try:
                result = method(*arguments)
            except BaseException as error:
                self._end(begun, error)
                raise
            self._end(begun, None)
            return result

        return call

    async def _awaited(
        self, name: str, item: object, make: Callable[[], Coroutine[Any, Any, object]]
    ) -> object:
        self._interrupt(name)
        begun = self._begin(name, item)
        try:
            result = await make()
        except BaseException as error:
            self._end(begun, error)
            raise
        self._end(begun, None)
        return result

    def _interrupt(self, name: str) -> None:
        if self._act is not None and name not in APART and self._act_in in ("", name):
            act, self._act = self._act, None
            act()

    def _begin(self, name: str, item: object) -> _Call:
        begun = _Call(name, item, threading.get_ident(), monotonic())
        with self._guard:
            self.called[name] += 1
            self._running.append(begun)
        return begun

    def _end(self, call: _Call, error: BaseException | None) -> None:
        seconds = monotonic() - call.since
        cancelled = isinstance(error, asyncio.CancelledError)  # by the stop
        with self._guard:
            self._running.remove(call)
            if seconds > self._limit:
                self.hangs += cancelled
                what = "hangs: the stop cancelled it after" if cancelled else "ran for"
                text = f"{what} {seconds:.1f} s; the limit is {self._limit:g} s"
                self._slow.append(Problem(call.name, f"{text}{_at(call.item)}"))
            key = (call.name, _identity(call))
            if error is None:
                self._raised.pop(key, None)  # a later try went well: that is what tries are for
            elif not cancelled:
                known = any(error is one for _, one in self._raised.values())
                if not known or key in self._raised:  # else one callback called the other
                    self._raised[key] = (call, error)

    def _forgives(self, call: _Call, error: BaseException) -> bool:
        """Return True for what would have been tried again, had the stop not come before."""
        if isinstance(error, TemporaryError):
            return self.cut_off or call.name == "reconcile"  # any stop drops keys that wait
        return self.cut_off and self._retried

    # ------------------------------------------------------------------ words

    def _line(self, frames: list[tuple[str, int | None]]) -> str:
        own = [one for one in frames if one[0] == self._file] or frames[-1:]
        return f" ({os.path.basename(own[-1][0])}:{own[-1][1]})" if own else ""


def _identity(call: _Call) -> object:
    """Return what is the same when a callback is called for the same again."""
    return call.item if call.name == "reconcile" else id(call.item)


def _file_of(kind: type) -> str:
    try:
        return inspect.getfile(kind)
    except (TypeError, OSError):
        return ""


def _frames_of(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def _frames_now(thread: int) -> list[tuple[str, int | None]]:
    frame = sys._current_frames().get(thread)
    if frame is None:
        return []
    return [(one.filename, one.lineno) for one in traceback.extract_stack(frame)]


def _at(item: object) -> str:
    if isinstance(item, Task):
        return f" at {item.session_id}/{item.id} {item.state.name}"
    text = describe(item.event if isinstance(item, SessionProgress) else item)
    return f" at {text}" if text else ""
