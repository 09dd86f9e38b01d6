"""``Drain``: the end of a link's receivers of signals, after the last reactor has stopped."""

from __future__ import annotations

import logging
import threading

from flamepy.informers.receivers.receiver import Receiver
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.repeats import RepeatedLog

logger = logging.getLogger(__name__)

STEP = 0.05  # seconds after which a stop that waits looks whether it was abandoned


class Drain:
    """Delivers what is queued, then ends the threads.

    Methods may be called from any thread, ``stop`` again after it was interrupted.

    Attributes:
        receivers: all that there were.
        log: writes what receivers fail with; flushed at the end.
        sent: changes with each signal that is sent meanwhile: what fails in a receiver is
            reported to others.
    """

    def __init__(self, receivers: list[Receiver], log: RepeatedLog | None = None) -> None:
        self.receivers = receivers
        self.log = log
        self.sent = 0
        self._abandoned = threading.Event()

    def stop(self, timeout: float) -> None:
        """Deliver what is queued, for ``timeout`` seconds; drop what is left then.

        Every receiver has all that time: one that hangs takes nothing from the others.
        """
        limit = monotonic() + timeout
        while timeout > 0 and self._deliver(limit):
            pass
        for receiver in self.receivers:
            receiver.worker.close()
        for receiver in self.receivers:
            if receiver.running is None or receiver.worker.waits_for_us:
                _end(receiver, max(0.0, limit - monotonic()))
        for receiver in self.receivers:
            if receiver.running is not None and not receiver.worker.waits_for_us:
                left = receiver.worker.mailbox.waiting
                _end(receiver, max(0.0, limit - monotonic()))
                logger.warning(
                    "the receiver %s still runs; %d signals were dropped", receiver.name, left
                )
        if self.log is not None:
            self.log.flush(everything=True)

    def abandon(self) -> None:
        """Drop what is queued, and wait no longer for what runs."""
        self._abandoned.set()
        for receiver in self.receivers:
            receiver.worker.abandon()

    def _deliver(self, limit: float) -> bool:
        """Wait until what is queued now was handled; True if more was sent meanwhile."""
        before = self.sent
        for receiver, mark in [(receiver, receiver.mark()) for receiver in self.receivers]:
            while mark is not None and not self._abandoned.is_set():
                left = limit - monotonic()
                if left <= 0 or receiver.wait(mark, min(STEP, left)):
                    break
        return self.sent != before and monotonic() < limit and not self._abandoned.is_set()


def _end(receiver: Receiver, timeout: float) -> None:
    try:
        receiver.worker.stop(timeout)
    except RuntimeError as error:  # no thread can be started for what is queued
        logger.warning("signals for %s were dropped: %s", receiver.name, error)
