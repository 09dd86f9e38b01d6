"""``Sink``: the base of informers that send events to another system.

A sink's callbacks only put the event into its outbox, in the transaction that stores it as handled;
the sink's own threads (``senders``) call ``send`` then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers.dead_letters.letter import AnyEvent
from flamepy.informers.informer import SessionInformer, SessionProgress, TaskInformer
from flamepy.informers.outbox.entry import OutboxEntry, OutboxRow, Outcome
from flamepy.informers.outbox.options import OutboxOptions
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.runtime.flags import Flag
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of
from flamepy.watching.state.events import SessionEvent, TaskEvent


class Outlet(Protocol):
    """The outbox of a registered sink, as the sink and its delivery see it."""

    def stage(self, event: AnyEvent) -> None:
        """Make what is stored of an event; on the informer's threads."""

    def take(self, event: AnyEvent) -> OutboxRow | None:
        """Return what was made of an event, once; None if nothing was."""

    def put(self, row: OutboxRow) -> None:
        """Store it apart from any progress."""

    def stored(self, rows: Sequence[OutboxRow]) -> None:
        """Record that rows were stored, and have them sent."""

    def room(self, stopping: Flag, commit: Callable[[], None]) -> bool:
        """Wait until an event has room; False if a stop came first.

        Args:
            stopping: ends the wait.
            commit: stores what was taken and is not stored yet.
        """

    def flush(self, timeout: float) -> bool:
        """See ``Sink.flush``."""

    def disable(self, reason: str, destination: str | None) -> None:
        """See ``Sink.disable``."""

    @property
    def stats(self) -> OutboxStats:
        """Its counters."""

    def leave(self) -> None:
        """Have its threads end; returns at once."""

    def stop(self, timeout: float) -> None:
        """Send what waits, then end its threads."""


class Sink(TaskInformer, SessionInformer):
    """The base of informers that send events elsewhere: write ``send``.

    Each event in the scope of its registration - of tasks every one, of sessions their open and
    close; others where ``register(events=[...])`` asks for them - is stored in the checkpoint, in
    the transaction that stores it as handled, and sent by threads of the sink's own: at least once,
    with the same ``key`` each time, in order for each task (``OutboxOptions.key``) and destination.
    What fails is tried again, for days; what is refused becomes a dead letter. ``open()`` and
    ``close()``, if a subclass has them, are called on a sender's thread, before the first and after
    the last ``send``; these three may be ``async def`` and then run on a loop of the sink's own.

    Args:
        durable: False keeps what waits in memory: it is lost with the process, and no checkpoint is
            needed.
        outbox: how events wait and are sent; a mapping of the names of ``OutboxOptions`` as well.

    Attributes:
        note: a text of the sink's own, "" at first, that survives restarts where its events do:
            what ``send`` leaves in it is stored in the transaction that stores what became of the
            batch, and it is there again before ``open``. With one sender.
        whole_batches: True if ``send`` sends a batch whole or not at all, as in a transaction of
            the receiver. A batch may then have several events of one task, in their order; else it
            has one at most, because the second could be sent where the first has failed.

    Raises:
        InvalidArgumentError: an option is unknown, or breaks its rule.
    """

    whole_batches: bool = False
    optional_callbacks = frozenset({"on_progress", "on_drained", "on_event", "on_deleted"})

    def __init__(
        self,
        *,
        durable: bool = True,
        outbox: OutboxOptions | Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(durable, bool):
            raise InvalidArgumentError(f"durable must be True or False, got {repr_of(durable)}")
        self.durable = durable
        self.outbox_options = OutboxOptions.of(outbox)
        self.note = ""
        self._outlet: Outlet | None = None

    def send(
        self, batch: Sequence[OutboxEntry]
    ) -> Sequence[Outcome] | Awaitable[Sequence[Outcome] | None] | None:
        """Send entries; on a thread of the outbox. Subclasses override it.

        Returns:
            One outcome for each entry, in their order; None if all were sent.

        Raises:
            TemporaryError: all are tried again, after its ``delay`` if it has one.
            PermanentError: all are refused, and become dead letters.
            Exception: any other; all are tried again after a back-off.
        """
        raise InvalidStateError(f"{type(self).__name__} has no send(self, batch): write it")

    def destination(self, event: AnyEvent) -> str:
        """Return where an event goes; back-off, order and ``disable`` are of each destination.

        On the informer's thread, when the event is stored; it should be quick, and always return
        the same for one task.
        """
        return ""

    def flush(self, timeout: float) -> bool:
        """Wait until everything that waits was sent or given up; from any thread.

        Batches are sent before they are full; what failed is tried no sooner.

        Args:
            timeout: seconds.

        Returns:
            False if something waits still.

        Raises:
            InvalidStateError: it is not registered, or this is its own sender's thread.
        """
        return self._bound("flush").flush(seconds("timeout", timeout))

    def disable(self, reason: str, *, destination: str | None = None) -> None:
        """Send nothing more until a restart, or until ``flamepy outbox retry``; from any thread.

        Events are stored meanwhile. The reason is logged as a warning.

        Args:
            reason: shown by ``health()`` and ``flamepy outbox list``.
            destination: only to this one; None for every one.

        Raises:
            InvalidStateError: it is not registered.
        """
        self._bound("disable").disable(reason, destination)

    def put(self, event: AnyEvent) -> None:
        """Put the event that a callback was called with into the outbox; in that callback.

        The callbacks of ``Sink`` do. Override them to leave events out, or others to have more in.

        Raises:
            InvalidStateError: it is not registered.
        """
        self._bound("send").stage(event)

    # ------------------------------------------------------------------ for the reactor

    def bind(self, outlet: Outlet | None) -> None:
        """Set the outbox; called by the reactor that it is registered with."""
        self._outlet = outlet

    def _bound(self, verb: str) -> Outlet:
        if self._outlet is None:
            raise InvalidStateError(
                f"{type(self).__name__} is not registered with a started reactor; there is nothing "
                f"to {verb}"
            )
        return self._outlet

    def on_transition(self, event: TaskEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_opened(self, event: SessionEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_closed(self, event: SessionEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_overdue(self, event: OverdueEvent) -> None:
        """Put the event into the outbox."""
        self.put(event)

    def on_progress(self, counts: SessionProgress) -> None:
        """Put the event into the outbox; only where ``events`` has ``"progress"``.

        A subclass that overrides it, or one of the next three, gets the event without that.
        """
        assert counts.event is not None  # the engine's
        self.put(counts.event)

    def on_drained(self, event: SessionEvent) -> None:
        """Put the event into the outbox; only where ``events`` has ``"drained"``."""
        self.put(event)

    def on_event(self, event: SessionEvent) -> None:
        """Put the event into the outbox; only where ``events`` has ``"event"``."""
        self.put(event)

    def on_deleted(self, event: Any) -> None:  # Any: as of SessionInformer
        """Put a session's event into the outbox; only where ``events`` has ``"deleted"``.

        A task's is put there by ``on_transition``.
        """
        if isinstance(event, SessionEvent):
            self.put(event)
