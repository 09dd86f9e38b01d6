"""What a reactor says of itself and of its informers: logs and signals.

The reactor's parts call it where something happens; it finds the sender of the signal and queues
it. Methods may be called from any thread.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from flamepy.informers import signals
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.informers.delivery.invocation import CallObservers, Failure, RunningCall, log_fields
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.receivers.routing import of_missed
from flamepy.informers.receivers.signal_sender import SignalSender
from flamepy.informers.signals import FlameSignal
from flamepy.runtime.repeats import RepeatedLog
from flamepy.watching.state.events import SessionEvent, TaskEvent
from flamepy.watching.state.missed import MissedEnds

logger = logging.getLogger(__name__)


class Reports:
    """Logs and signals of one reactor; silent until ``attach``."""

    def __init__(self) -> None:
        self._sender: SignalSender | None = None
        self._endpoint = ""
        self.missed_ends = 0  # of sessions that an earlier process saw
        self._missed: dict[tuple[str, datetime], MissedEnds] = {}
        self.log = RepeatedLog(logger)  # of every repeated warning
        self.observers: CallObservers = []

    def attach(self, sender: SignalSender, endpoint: str) -> None:
        """Send signals from now on."""
        self._sender, self._endpoint = sender, endpoint

    def detach(self) -> None:
        """Send none any more."""
        self._sender = None

    def send(self, signal: FlameSignal, **values: Any) -> None:
        """Queue a signal; its sender is the event's application, else the endpoint."""
        sender = self._sender
        if sender is None:
            return
        event = values.get("event")
        known = event.application if isinstance(event, (TaskEvent, SessionEvent)) else ""
        sender.send(signal, known or self._endpoint, endpoint=self._endpoint, **values)

    def failed(self, failure: Failure) -> None:
        """Report that a callback failed for good; ``invocation`` has logged it."""
        self.send(
            signals.handler_failed,
            informer=failure.informer,
            callback=failure.callback,
            event=failure.event,
            error=failure.error,
            attempts=failure.attempts,
        )

    def slow(self, one: Registration, running: RunningCall, age: float, stack: str) -> None:
        """Report that a callback runs too long; ``watchdog`` has logged it."""
        values = {"informer": one.name, "callback": running.callback, "event": running.item}
        self.send(signals.handler_slow, seconds=age, stack=stack, **values)

    def quarantined(self, registration: Registration, reason: str) -> None:
        """Report that an informer failed so often that it is left alone for a while."""
        self.log.log(
            logging.WARNING,
            ("quarantined", registration.name),
            "%s is in quarantine: %s. Its events wait; one is tried in %.0f s",
            *(registration.name, reason, registration.options.probe_delay),
        )
        self.send(signals.handler_quarantined, informer=registration.name, reason=reason)

    def recovered(self, registration: Registration) -> None:
        """Report that an informer that was in quarantine handles events again."""
        logger.info("%s handles events again", registration.name)
        self.send(signals.handler_recovered, informer=registration.name)

    def dead_lettered(self, failure: Failure, letters: list[DeadLetter]) -> None:
        """Report that events were stored as dead letters."""
        for letter in letters:
            event = failure.event
            if isinstance(event, list):
                event = next((one for one in event if one.key == letter.key), None)
            self.send(
                signals.dead_lettered,
                informer=letter.informer,
                callback=letter.callback,
                event=event,
                error=failure.error,
                attempts=letter.attempts,
            )

    def missed(self, missed: MissedEnds) -> None:
        """Report ends that an earlier process saw, and that this one cannot deliver."""
        session = missed.session
        key = session.id, session.creation_time
        if self._missed.setdefault(key, missed) is not missed:
            return  # another informer has said so
        self.missed_ends += missed.total
        self.log.log(
            logging.WARNING,
            "missed",
            "%d ends of tasks of session %s were missed (%s), which was gone before they were read",
            *(missed.total, session.id, missed.reason),
        )
        if self._sender is not None:
            self._sender.queue(of_missed(missed, self._endpoint))

    def synced(self, registration: Registration) -> None:
        """Report that an informer received the initial state."""
        self.send(signals.informer_synced, registration=registration)

    def overflowed(self, registration: Registration) -> None:
        """Report that an informer's queue is full."""
        size = registration.options.queue_size
        self.log.log(
            logging.WARNING,
            ("full", registration.name),
            "the queue of %s is full (%d events): its changes are coalesced; ends are late, "
            "not lost",
            *(registration.name, size),
            extra=log_fields(registration.name, None),
        )
        self.send(signals.queue_overflow, informer=registration.name, queue_size=size)
