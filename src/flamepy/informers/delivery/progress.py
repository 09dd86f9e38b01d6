"""How far the handling of an event, or of a batch, has come: what is left after a wait. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from flamepy.errors import InformerError
from flamepy.informers.checkpoint.resumption import Presence, Step
from flamepy.informers.delivery.callbacks import Call
from flamepy.informers.delivery.invocation import Failure
from flamepy.informers.workers.queue import Work
from flamepy.texts import repr_of
from flamepy.watching.state.events import SessionEvent, TaskEvent

AnyEvent = TaskEvent | SessionEvent


@dataclass(slots=True)
class Attempts:
    """The attempts of one callback with one event.

    Attributes:
        made: how many there were.
        since: when the first one failed, monotonic seconds.
    """

    made: int = 0
    since: float = 0.0

    def failed(self, now: float) -> None:
        """Count one that failed."""
        self.made += 1
        self.since = self.since or now

    def reset(self) -> None:
        """Begin with another callback."""
        self.made, self.since = 0, 0.0


@dataclass(slots=True, eq=False)
class Delivery:
    """An event on its way through ``transform`` and ``where`` to its callbacks.

    Attributes:
        steps: what is to be delivered and recorded, the next one first: the event, and before it
            what a stored past adds to it.
        passed: what ``transform`` and ``where`` made of the next one; None until they were asked.
        calls: the callbacks that ``passed`` still goes to, the next one first.
        called: whether any callback was called for it.
        attempts: of the next callback.
        error: what ``on_error`` is to be called with before that.
        failures: callbacks that failed for good; they are recorded with the event.
        retried: the number of the dead letter that it comes from, if it does.
    """

    steps: list[Step]
    passed: AnyEvent | None = None
    calls: tuple[Call, ...] = ()
    called: bool = False
    attempts: Attempts = field(default_factory=Attempts)
    error: InformerError | None = None
    failures: list[Failure] = field(default_factory=list)
    retried: int | None = None

    @property
    def event(self) -> AnyEvent:
        """The event that is delivered next."""
        return self.steps[0].event

    def next_step(self) -> None:
        """Go on to the next event."""
        del self.steps[0]
        self.passed, self.calls, self.called = None, (), False
        self.failures = []


@dataclass(slots=True, eq=False)
class Batch:
    """Events that ``on_batch`` gets together.

    Attributes:
        key: which they have in common; None for all of the informer's.
        due: when it is delivered at the latest, monotonic seconds.
        events: what ``on_batch`` gets.
        notes: what is recorded then: the same events before ``transform``, and those in between
            that need no delivery.
        works: their places in the mailbox.
        flushing: it is queued to be delivered.
        retried: as of ``Delivery``.
    """

    key: Hashable
    due: float
    events: list[TaskEvent] = field(default_factory=list)
    notes: list[AnyEvent] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    attempts: Attempts = field(default_factory=Attempts)
    error: InformerError | None = None
    flushing: bool = False
    retried: int | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """An item of a mailbox: the batch of a key is to be delivered."""

    key: Hashable


@dataclass(frozen=True, slots=True)
class BatchFirst:
    """An item that is handled when a batch before it was delivered."""

    batch: Batch
    item: object


@dataclass(frozen=True, slots=True)
class Start:
    """The marker before the first event: ``informer.start()``."""

    start: Callable[[], object]


class Reopen:
    """The marker at which ``informer.reopen()`` is called."""


@dataclass(slots=True, eq=False)
class PlainCall:
    """A callback that gets no event of the engine's: ``on_synced``, ``on_overdue``, or another one.

    Attributes:
        name: the callback's.
        items: what it is called with.
        presence: what is there, for ``on_synced``.
        attempts: the calls so far.
        retried: as of ``Delivery``.
    """

    name: str
    items: tuple[object, ...] = ()
    presence: Presence | None = None
    attempts: Attempts = field(default_factory=Attempts)
    retried: int | None = None


def transformed(kind: type[AnyEvent], answer: object) -> object:
    """Return what a ``transform`` returned. Raises TypeError if it is no event of the kind."""
    if answer is not None and not isinstance(answer, kind):
        raise TypeError(f"it must return a {kind.__name__} or None, got {repr_of(answer)}")
    return answer


def wanted(kind: type[AnyEvent], answer: object) -> object:
    """Return whether a ``where`` lets an event through."""
    return bool(answer)
