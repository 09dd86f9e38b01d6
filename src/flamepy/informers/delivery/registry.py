"""The subscribers of one reactor: registrations and streams, and their inboxes at the hub.

``reactor`` fills it from any thread, inboxes are made and used on the loop. There is no lock, for
the loop would wait for a thread that a signal handler holds up: each change is one operation of a
dictionary, and who changes something looks afterwards at what others may have changed meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from weakref import ReferenceType, ref

from flamepy.errors import ConnectionClosedError, InvalidArgumentError, InvalidStateError
from flamepy.informers.delivery.inbox import Inbox, Wanted
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.delivery.stream import EventStream
from flamepy.rpc.link import Link
from flamepy.texts import repr_of
from flamepy.types import ConnectionState
from flamepy.watching.hub import Hub
from flamepy.watching.state.subscriptions import Scope

RESERVED = 16  # smaller queues have no places of their own for live events


class _Place:
    """Where the inbox of a registration or a stream is, once the loop has made it."""

    def __init__(self) -> None:
        self.inbox: Inbox | None = None


class Registry:
    """Every registration and stream of one reactor, subscribed while the reactor runs.

    Streams are held weakly: one that its taker drops is noted by the finalizer, on any thread, and
    unsubscribed by ``sweep`` on the loop.

    Args:
        overflowed: called with a registration whose queue is full.
    """

    def __init__(self, overflowed: Callable[[Registration], None]) -> None:
        self._overflowed = overflowed
        self._registrations: dict[Registration, _Place] = {}
        self._streams: dict[ReferenceType[EventStream], _Place] = {}
        self._dropped: deque[ReferenceType[EventStream]] = deque()
        self._taken: dict[object, Registration] = {}  # by uid, and by the informer's identity
        self._link: Link | None = None
        self._closed = False
        self.detached = False  # read and written on the loop

    def __len__(self) -> int:
        return len(self._registrations)

    @property
    def registrations(self) -> list[Registration]:
        """The registered informers."""
        return list(self._registrations)

    # ------------------------------------------------------------------ coming

    def add(self, registration: Registration) -> Registration:
        """Add a registration; return it, or the one that has its ``uid`` already.

        Raises:
            InvalidArgumentError: the same instance is registered already.
            InvalidStateError: the reactor has been stopped.
        """
        self._check_open()
        uid, informer = registration.uid, registration.informer
        present = registration if uid is None else self._taken.setdefault(uid, registration)
        if present is not registration:
            return present
        if self._taken.setdefault(id(informer), registration) is not registration:
            self._forget(registration)
            raise InvalidArgumentError(
                f"{repr_of(informer)} is registered already; register another instance"
            )
        self._registrations[registration] = _Place()
        if self._closed:  # meanwhile: it may not have been seen
            self._registrations.pop(registration, None)
            self._forget(registration)
            self._check_open()
        return registration

    def _forget(self, registration: Registration) -> None:
        for key in (registration.uid, id(registration.informer)):
            if self._taken.get(key) is registration:
                self._taken.pop(key, None)

    def add_stream(self, stream: EventStream) -> None:
        """Add a stream. Raises InvalidStateError when the reactor has been stopped."""
        self._check_open()
        seat = ref(stream, self._dropped.append)
        self._streams[seat] = _Place()
        if self._closed:
            self._streams.pop(seat, None)
            self._check_open()
        stream.on_close(lambda: self._unsubscribe(self._streams.pop(seat, None)))

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidStateError("this reactor is stopped; make a new one")

    def open(self, link: Link) -> None:
        """Subscribe everything that was added before the start; on the loop."""
        self._link = link
        for registration in self.registrations:
            self.attach(registration)
        for stream in self._held():
            self.attach_stream(stream)

    def attach(self, registration: Registration) -> None:
        """Subscribe a registration, unless that was done; on the loop."""
        link, wants = self._link, registration.callbacks
        if link is None or self.detached or not registration.is_prepared:
            return  # ``open`` does it, or the thread that prepares it; or delivery has ended
        mailbox = registration.worker.mailbox
        inbox = Inbox(
            Hub.of(link),
            registration.put,
            lambda: mailbox.closed,
            wanted=Wanted(
                tasks=wants.wants_tasks,
                sessions=wants.wants_sessions,
                replay=registration.options.replay,
                compares=registration.compares,
                reserve=_reserve(registration.options.queue_size),
            ),
            room=lambda: mailbox.room,
            overflowed=lambda: self._overflowed(registration),
        )
        place = self._registrations.get(registration)
        if place is None or place.inbox is not None:
            return  # removed meanwhile, or attached by ``open``
        place.inbox = inbox
        registration.begin(inbox)
        scope = registration.scope
        inbox.subscribe(
            Scope(application=scope.application, session=scope.session, tasks=wants.follows_tasks)
        )
        if registration not in self._registrations:
            inbox.unsubscribe()  # removed meanwhile, by a thread that saw no inbox

    def attach_stream(self, stream: EventStream) -> None:
        """Subscribe a stream, unless that was done; on the loop."""
        link = self._link
        if link is None or self.detached:
            return
        mailbox = stream.mailbox
        inbox = Inbox(
            Hub.of(link),
            mailbox.put,
            lambda: mailbox.closed,
            wanted=Wanted(sessions=stream.sessions, replay=stream.replay),
        )
        seat = ref(stream)  # equal to the one that was put there, while the stream lives
        place = self._streams.get(seat)
        if place is None or place.inbox is not None:
            return
        place.inbox = inbox
        stream.attach(lambda: _post(link, inbox.catch_up))
        inbox.subscribe(stream.scope)
        if seat not in self._streams:
            inbox.unsubscribe()

    def _held(self) -> list[EventStream]:
        """Return the streams that are still referenced."""
        held = [seat() for seat in list(self._streams)]
        return [stream for stream in held if stream is not None]

    # ------------------------------------------------------------------ going

    def remove(self, registration: Registration) -> None:
        """Deliver nothing more to a registration; from any thread."""
        self._forget(registration)
        # Before its release: a remove that Ctrl-C cuts is done by the next one. And again, for an
        # inbox that the loop has made meanwhile.
        self._unsubscribe(self._registrations.get(registration))
        self._unsubscribe(self._registrations.pop(registration, None))

    def _unsubscribe(self, place: _Place | None) -> None:
        if place is not None and place.inbox is not None and self._link is not None:
            _post(self._link, place.inbox.unsubscribe)

    def close(self) -> None:
        """Accept no more registrations and streams."""
        self._closed = True

    @property
    def leaves_out(self) -> bool:
        """True if any subscriber does not get all of what was there before it."""
        replays = [one.options.replay for one in self._registrations]
        replays += [one.replay for one in self._held()]
        return any(one != "all" for one in replays)

    # ------------------------------------------------------------------ on the loop

    @property
    def inboxes(self) -> list[Inbox]:
        """The inboxes of all subscribers."""
        both = list(self._registrations.values()) + list(self._streams.values())
        return [one.inbox for one in both if one.inbox is not None]

    def is_lagging(self, but: Container[Registration]) -> bool:
        """Return True while events wait for room in a full queue of an informer, ``but`` some.

        Streams do not count: they may have no reader. Nor do informers that are paused.
        """
        return any(
            place.inbox is not None
            and place.inbox.is_lagging
            and not one.is_held
            and one not in but
            for one, place in list(self._registrations.items())
        )

    def detach(self) -> None:
        """Deliver nothing more to any subscriber."""
        self.detached = True
        for inbox in self.inboxes:
            inbox.unsubscribe()

    def connection(self, state: ConnectionState) -> None:
        """Notify every subscriber that the connection's state changed."""
        for inbox in self.inboxes:
            inbox.connection(state)

    def catch_up(self, registration: Registration) -> None:
        """Queue what a registration still lacks; from any thread."""
        place = self._registrations.get(registration)
        if place is not None and place.inbox is not None and self._link is not None:
            _post(self._link, place.inbox.catch_up)

    def end_streams(self) -> None:
        """End every stream after what is queued in it."""
        for stream in self._held():
            stream.end()

    def sweep(self) -> None:
        """Unsubscribe streams that are no longer referenced; on the loop, now and then."""
        while self._dropped:
            place = self._streams.pop(self._dropped.popleft(), None)
            if place is not None and place.inbox is not None:
                place.inbox.unsubscribe()


def _reserve(size: int) -> int:
    """Return the places of a queue that are kept for live events while initial ones wait."""
    return size // 4 if size >= RESERVED else 0


def _post(link: Link, function: Callable[[], None]) -> None:
    if link.reactor is None or link.closed:
        return
    try:
        link.reactor.call_soon(function)
    except ConnectionClosedError:
        return  # closed meanwhile: there is nothing to deliver any more
