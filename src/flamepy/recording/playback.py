"""Plays a recording to informers, with the queue, the thread and the checks of a reactor.

Each informer has a registration of its own (``informers.delivery``), as in a reactor; in the place
of the hub is the file. Events come in the recorded order with their flags, keys and times; an event
waits while the queue is full, so nothing is coalesced that was not before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from flamepy.errors import DeadlineExceededError, InvalidArgumentError
from flamepy.informers.arguments import scope_of
from flamepy.informers.delivery import inbox
from flamepy.informers.delivery.invocation import Failure
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.informer import Informer
from flamepy.informers.options import Options
from flamepy.recording.file import Recording
from flamepy.recording.lines import Header, Item, Synced
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent

logger = logging.getLogger(__name__)

ROOM_LOOK = 0.001  # seconds between two looks for room in a queue
DRAIN = 3600.0
AS_FAST_AS_POSSIBLE = "max"


@dataclass(frozen=True, slots=True)
class PlaybackReport:
    """What came of a playback.

    Attributes:
        events: that the recording has.
        delivered: that reached callbacks, by the names of the informers.
        failures: callbacks that failed for good, in order: informer, callback and error.
        seconds: that it took.
        stopped: it was stopped before the end of the recording.
    """

    events: int
    delivered: dict[str, int]
    failures: list[tuple[str, str, BaseException]]
    seconds: float
    stopped: bool = False

    def __str__(self) -> str:
        each = ", ".join(f"{name} got {number:,}" for name, number in self.delivered.items())
        failed = f", {len(self.failures):,} callbacks failed" if self.failures else ""
        rate = self.events / self.seconds if self.seconds else 0.0
        return (
            f"{self.events:,} events in {self.seconds:.1f} s ({rate:,.0f}/s): "
            f"{each or 'no informer'}{failed}"
        )


class Playback:
    """Plays recordings to the informers that are added; use it once, from one thread.

    Args:
        speed: how much faster than it happened, as a number; ``"max"`` waits for nothing.

    Raises:
        InvalidArgumentError: the speed is neither.
    """

    def __init__(self, *, speed: float | str = AS_FAST_AS_POSSIBLE) -> None:
        self._speed = None if speed == AS_FAST_AS_POSSIBLE else _speed(speed)
        self._registrations: list[Registration] = []
        self._failures: list[tuple[str, str, BaseException]] = []
        self._stopped = Flag()
        self._initial: set[Registration] = set()  # those whose last event was an initial one
        self._log = RepeatedLog(logger)
        self._events = 0
        self._origin: tuple[float, float] | None = None

    def add(
        self,
        informer: Informer,
        *,
        application: str | None = None,
        session: str | None = None,
        **options: Any,
    ) -> None:
        """Have an informer play along; the options are those of ``Reactor.register``.

        Raises:
            InvalidArgumentError: it is no informer, an option is wrong, or it asks its reactor for
                state, which a recording does not have.
        """
        if callable(getattr(informer, "attach", None)):
            raise InvalidArgumentError(
                f"{repr_of(informer)} has attach(reactor): it asks a reactor for state, which a "
                "recording does not have; play to the informers that only receive events"
            )
        known = {one.name for one in fields(Options)}
        for name in options:
            if name not in known:
                raise InvalidArgumentError(
                    f"there is no option {repr_of(name)}; there are those of Reactor.register: "
                    f"{', '.join(sorted(known))}"
                )
        options.pop("uid", None)  # there is no checkpoint
        hooks = Hooks(
            *(lambda one: None, self._failed, lambda one: None, lambda one: None), log=self._log
        )
        scope = scope_of(application, session)
        self._registrations.append(Registration(informer, scope, Options(**options), hooks=hooks))

    def _failed(self, failure: Failure) -> None:
        self._failures.append((failure.informer, failure.callback, failure.error))

    def stop(self) -> None:
        """End soon: what is queued is delivered, nothing more is read; from any thread."""
        self._stopped.set()

    def run(self, recording: Iterable[Item]) -> PlaybackReport:
        """Play a recording to its end; return when the informers have handled and closed.

        Raises:
            ConfigError: the recording cannot be read, or a line of it is wrong.
            DeadlineExceededError: a callback has not returned for an hour after the end.
        """
        began = monotonic()
        for one in self._registrations:
            one.begin()
        try:
            for item in recording:
                if self._stopped.is_set():
                    break
                self._play(item)
        finally:
            self._close()
        return PlaybackReport(
            events=self._events,
            delivered={one.name: one.stats.delivered for one in self._registrations},
            failures=self._failures,
            seconds=monotonic() - began,
            stopped=self._stopped.is_set(),
        )

    def _close(self) -> None:
        for one in self._registrations:
            one.finish()
        for one in self._registrations:
            drained = one.close(DRAIN)
            self._log.flush(everything=True)
            if not drained:
                raise DeadlineExceededError(
                    f"{one.name}: a callback has not returned for {DRAIN:g} s after the recording"
                )

    def _play(self, item: Item) -> None:
        if isinstance(item, (TaskEvent, SessionEvent)):
            self._events += 1
            self._wait_until(item)
        for one in self._registrations:
            if not isinstance(item, Header) and _gets(one, item):
                self._put(one, inbox.Synced() if isinstance(item, Synced) else item)

    def _put(self, one: Registration, item: object) -> None:
        """Queue an item when there is room, and when nothing would be handled out of order.

        A worker takes live events before initial ones that wait.
        """
        mailbox = one.worker.mailbox
        never = Flag()
        if isinstance(item, (TaskEvent, SessionEvent)):
            after_initial = one in self._initial and not item.initial
            while not mailbox.closed and not self._stopped.is_set():
                if mailbox.room and not (after_initial and mailbox.unfinished):
                    break
                never.wait(ROOM_LOOK)
            if item.initial:
                self._initial.add(one)
            else:
                self._initial.discard(one)
        one.put(item)

    def _wait_until(self, event: TaskEvent | SessionEvent) -> None:
        """Wait until an event is due."""
        if self._speed is None:
            return
        at = event.observed_at
        if self._origin is None:
            self._origin = (monotonic(), at)
        began, first = self._origin
        due = began + max(0.0, at - first) / self._speed
        left = due - monotonic()
        if left > 0:
            self._stopped.wait(left)


def _speed(speed: float | str) -> float:
    try:
        return seconds("speed", float(speed), zero=False)
    except (TypeError, ValueError, InvalidArgumentError):
        raise InvalidArgumentError(
            f"speed must be a number above 0, such as 10, or {AS_FAST_AS_POSSIBLE!r}, got "
            f"{repr_of(speed)}"
        ) from None


def _gets(one: Registration, item: Item) -> bool:
    """Return whether a reactor would queue an item for an informer."""
    replay, wants = one.options.replay, one.callbacks
    if isinstance(item, TaskEvent):
        skipped = item.initial and (
            replay == "none" or (replay == "active" and item.task.state.is_terminal)
        )
        covered = one.scope.covers(item.session_id, item.application)
        return wants.wants_tasks and covered and not skipped
    if isinstance(item, SessionEvent):
        covered = one.scope.covers(item.session_id, item.application)
        return wants.wants_sessions and covered and not (item.initial and replay == "none")
    return isinstance(item, (ConnectionState, Synced))


def play(
    path: str | os.PathLike[str],
    *informers: Informer,
    speed: float | str = AS_FAST_AS_POSSIBLE,
    application: str | None = None,
    session: str | None = None,
    **options: Any,
) -> PlaybackReport:
    """Play a recording to informers; return what came of it.

    Args:
        path: of the recording.
        informers: instances, each of which gets every event in scope.
        speed: how much faster than it happened; ``"max"`` waits for nothing.
        application: only sessions of this application.
        session: only this session.
        **options: of ``Reactor.register``.

    Raises:
        ConfigError: the recording cannot be read, or a line of it is wrong.
        InvalidArgumentError: an argument is wrong.
    """
    playback = Playback(speed=speed)
    for informer in informers:
        playback.add(informer, application=application, session=session, **options)
    return playback.run(Recording(path))
