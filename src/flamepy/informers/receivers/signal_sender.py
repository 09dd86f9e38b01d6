"""``SignalSender``: sends the events of one link as signals while a reactor of it runs.

It has one ``Receiver`` for each function that is connected to a signal, whose inboxes subscribe to
tasks and sessions as far as that function's signals need them. Methods are called on the link's
loop unless noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from flamepy.errors import FlameError
from flamepy.informers import signals
from flamepy.informers.delivery.invocation import RunningCall
from flamepy.informers.delivery.watchdog import Watchdog
from flamepy.informers.outcomes.mistakes import attributes
from flamepy.informers.receivers.draining import Drain
from flamepy.informers.receivers.receiver import Hooks, Receiver
from flamepy.informers.receivers.routing import Emission, plain
from flamepy.informers.signals import FlameSignal
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.watching.hub import Hub

if TYPE_CHECKING:
    from flamepy.rpc.link import ConnectionChange, Link
    from flamepy.types import RetryDetails

logger = logging.getLogger(__name__)

REPLAY = "none"
LOOK = 1.0  # seconds between looks at receivers that are slow, or gone


class SignalSender:
    """The receivers of one link, made and ended as functions connect and disconnect."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._hub = Hub.of(link)
        self._holders: list[Callable[[], None]] = []
        self._replay = REPLAY
        self._receivers: dict[Hashable, Receiver] = {}
        self._leaving: set[Receiver] = set()  # gone, but their threads have not ended
        self._drain: Drain | None = None  # the last one: informers that drain may fail as well
        self._undo: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._changes = itertools.count(1)
        self._changed = self._matched = 0  # the last change of receivers, and that of ``refresh``
        self._unsent: deque[Emission] = deque()  # wait for a ``refresh``; in order
        self._hooks = Hooks(self._failed, self._overflowed, self._lagging, self._ended)
        self._log = RepeatedLog(logger)
        self._watchdog: Watchdog[Receiver] = Watchdog(self._all, self._slow, log=self._log)

    @classmethod
    def of(cls, link: Link) -> SignalSender:
        """Return the sender of a link."""
        return link.attachment("informers.signals", cls)

    # ------------------------------------------------------------------ holding

    def hold(self, closed: Callable[[], None], replay: str = REPLAY) -> None:
        """Start to send, unless another reactor has done so.

        Args:
            closed: called, on the loop, when the link is closed before ``release``.
            replay: what of the present state is sent to each receiver first, as of ``Inbox``;
                what the first holder says.
        """
        self._holders.append(closed)
        if len(self._holders) > 1:
            return
        self._replay = replay
        self._changed = next(self._changes)  # of what was not noticed while nothing was sent
        self._undo = [
            signals.on_change(self._receivers_changed),
            self._link.add_observer(self._connection_changed),
            self._link.on_retry(self._retried),
        ]
        self.refresh()
        self._look()

    def release(self, closed: Callable[[], None]) -> Drain | None:
        """Release it; the last holder gets what drains and ends the threads, outside the loop."""
        if closed in self._holders:
            self._holders.remove(closed)
        if self._holders or not self._undo:
            return None
        for undo in self._undo:
            undo()
        self._undo = []
        if self._timer is not None:
            self._timer.cancel()
        self._matched = self._changed
        self._send_waiting()
        for receiver in self._all():
            receiver.unsubscribe()
        self._drain = Drain(self._all(), self._log)
        self._receivers, self._leaving = {}, set()
        return self._drain

    async def aclose(self) -> None:
        """Notify the reactors that their link is closed; each releases then."""
        for closed in list(self._holders):
            closed()

    # ------------------------------------------------------------------ who is connected

    def _receivers_changed(self) -> None:
        """Look again at who is connected; from any thread."""
        self._changed = next(self._changes)
        self._post(self.refresh)

    def _post(self, function: Callable[[], None]) -> bool:
        try:
            if self._link.reactor is not None:
                self._link.reactor.call_soon(function)
                return True
        except FlameError:
            pass  # the link is closed: nothing is sent any more
        return False

    def refresh(self) -> None:
        """Make a ``Receiver`` for each connected function, and end the others."""
        change = self._changed
        if change == self._matched:
            return
        if self._holders:
            self._match()
        self._matched = change
        self._send_waiting()

    def _match(self) -> None:
        connected = signals.connected()
        for key, known in list(self._receivers.items()):
            now = connected.get(key)
            if now is None or not known.serves(now.receiver):
                self._leave(known)
        for key, one in connected.items():
            if key not in self._receivers:
                made = Receiver(key, one.receiver, self._link.endpoint, self._hooks)
                self._receivers[key] = made
            self._receivers[key].match(one.senders, self._hub, self._replay)

    def _leave(self, receiver: Receiver) -> None:
        if receiver.is_gone:  # its key may be another's from now on
            del self._receivers[receiver.key]
            self._leaving.add(receiver)
        receiver.match({}, self._hub, self._replay)

    def _ended(self, receiver: Receiver) -> None:
        """End a receiver's thread, if it was not connected again. From any thread."""

        def end() -> None:
            if receiver.is_connected:
                return
            self._leaving.discard(receiver)
            if self._receivers.get(receiver.key) is receiver:
                del self._receivers[receiver.key]
            receiver.worker.close()

        if not self._post(end):
            receiver.worker.close()

    def _all(self) -> list[Receiver]:
        return [*self._receivers.values(), *self._leaving]

    def _look(self) -> None:
        """Report receivers that run too long, and end those that are gone; now and then."""
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        self._watchdog.look()
        for receiver in list(self._receivers.values()):
            receiver.retry()
            if receiver.is_gone:
                self._leave(receiver)

    # ------------------------------------------------------------------ what is sent

    def send(self, signal: FlameSignal, sender: str, **values: object) -> None:
        """Queue one signal for each receiver that is connected to it; from any thread."""
        if signal.receivers:
            self._send(plain(signal, sender, values))

    def queue(self, emission: Emission) -> None:
        """Queue one emission as ``send`` does; from any thread."""
        if emission.signal.receivers:
            self._send(emission)

    def _send(self, emission: Emission) -> None:
        if self._unsent or self._changed != self._matched:
            # A function was connected a moment ago and has no ``Receiver`` yet.
            self._unsent.append(emission)
            if not self._post(self._send_waiting):
                self._send_waiting()
            return
        self._queue(emission)

    def _send_waiting(self) -> None:
        with contextlib.suppress(IndexError):  # once the loop has ended any thread comes here
            while self._unsent:
                self._queue(self._unsent[0])
                self._unsent.popleft()  # only now: what is sent meanwhile must not overtake it

    def _queue(self, emission: Emission) -> None:
        if self._holders or self._drain is None:
            receivers: Iterable[Receiver] = list(self._receivers.values())
        else:
            receivers = self._drain.receivers
            self._drain.sent += 1
        for receiver in receivers:
            if not receiver.takes(emission) or receiver.key in emission.blamed:
                continue
            if emission.signal.droppable and not receiver.worker.mailbox.room:
                continue  # the queue stays bounded; ``_overflowed`` has said so
            receiver.put(emission)

    def _connection_changed(self, change: ConnectionChange) -> None:
        endpoint = self._link.endpoint
        values = {"state": change.state, "previous": change.previous, "endpoint": endpoint}
        self.send(signals.connection_changed, endpoint, **values)

    def _retried(self, details: RetryDetails) -> None:
        endpoint = self._link.endpoint
        self.send(signals.retry_scheduled, endpoint, details=details, endpoint=endpoint)

    # ------------------------------------------------------------------ of receivers

    def _lagging(self, receiver: Receiver) -> None:
        self._post(receiver.catch_up)

    def _overflowed(self, receiver: Receiver) -> None:
        size = receiver.options.queue_size
        self._log.log(
            logging.WARNING,
            ("full", receiver.name),
            "the queue of the receiver %s is full (%d events): changes of one task are coalesced; "
            "ends are late, not lost",
            *(receiver.name, size),
        )
        endpoint = self._link.endpoint
        values = {"informer": receiver.name, "queue_size": size, "endpoint": endpoint}
        self.send(signals.queue_overflow, endpoint, **values)

    def _failed(self, receiver: Receiver, emission: Emission, error: BaseException) -> None:
        name = emission.signal.name
        event = emission.values.get("event")
        self._log.log(
            logging.ERROR,
            ("failed", receiver.name, name, *kind_of(error)),
            "the receiver %s of the signal %s raised %s%s",
            *(receiver.name, name, type(error).__name__, attributes(error, event)),
            error=error,
        )
        values = {"event": event, "error": error, "attempts": 1}
        self._report(signals.handler_failed, receiver, emission, values)

    def _slow(self, receiver: Receiver, running: RunningCall, age: float, stack: str) -> None:
        emission = receiver.emission
        if emission is not None:
            values = {"event": running.item, "seconds": age, "stack": stack}
            self._report(signals.handler_slow, receiver, emission, values)

    def _report(
        self, signal: FlameSignal, receiver: Receiver, emission: Emission, values: dict[str, Any]
    ) -> None:
        """Send a signal about a receiver; to others only where it is about a report."""
        if not signal.receivers:
            return
        values["informer"], values["callback"] = emission.signal.name, receiver.name
        values["endpoint"] = self._link.endpoint
        blamed = emission.blamed
        if emission.signal in (signals.handler_failed, signals.handler_slow):
            blamed |= {receiver.key}
        self._send(plain(signal, emission.sender, values, blamed))
