"""Who is told by one reactor: its registrations and streams, and their inboxes at the hub.

``Roster`` owns the lock over them; nothing runs under it. ``reactor`` fills it from any thread,
inboxes are made and used on the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container

from flamepy.errors import ConnectionClosedError, InvalidArgumentError, InvalidStateError
from flamepy.informers.inbox import Inbox
from flamepy.informers.registration import Registration
from flamepy.informers.streaming import EventStream
from flamepy.rpc.link import Link
from flamepy.types import ConnectionState
from flamepy.watching.hub import Hub
from flamepy.watching.subscriptions import Scope


class Roster:
    """See the module.

    Args:
        overflowed: told a registration whose queue is full.
    """

    def __init__(self, overflowed: Callable[[Registration], None]) -> None:
        self._overflowed = overflowed
        self._guard = threading.Lock()  # guards the dictionaries and _closed
        self._registrations: dict[Registration, Inbox | None] = {}
        self._streams: dict[EventStream, Inbox | None] = {}
        self._link: Link | None = None
        self._closed = False
        self.detached = False  # read and written on the loop

    def __len__(self) -> int:
        return len(self._registrations)

    @property
    def registrations(self) -> list[Registration]:
        """The registered informers."""
        with self._guard:
            return list(self._registrations)

    # ------------------------------------------------------------------ coming

    def add(self, registration: Registration) -> Registration:
        """Take in a registration; return it, or the one that has its ``uid`` already.

        Raises:
            InvalidArgumentError: the same instance is registered already.
            InvalidStateError: the reactor has been stopped.
        """
        with self._guard:
            self._check_open()
            for one in self._registrations:
                if one.uid is not None and one.uid == registration.uid:
                    return one
                if one.informer is registration.informer:
                    raise InvalidArgumentError(
                        f"{one.informer!r} is registered already; register another instance"
                    )
            self._registrations[registration] = None
        return registration

    def add_stream(self, stream: EventStream) -> None:
        """Take in a stream. Raises InvalidStateError when the reactor has been stopped."""
        with self._guard:
            self._check_open()
            self._streams[stream] = None
        stream.on_close(lambda: self.remove_stream(stream))

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidStateError("this reactor is stopped; make a new one")

    def open(self, link: Link) -> None:
        """Start telling everybody who came before; on the loop."""
        self._link = link
        for registration in self.registrations:
            self.attach(registration)
        with self._guard:
            streams = list(self._streams)
        for stream in streams:
            self.attach_stream(stream)

    def attach(self, registration: Registration) -> None:
        """Start telling a registration, unless that was done; on the loop."""
        link, wants = self._link, registration.callbacks
        if link is None or self.detached or not registration.prepared:
            return  # ``open`` does it, or who prepares it; or everybody is told no more
        mailbox = registration.worker.mailbox
        inbox = Inbox(
            Hub.of(link),
            registration.put,
            lambda: mailbox.closed,
            tasks=wants.wants_tasks,
            sessions=wants.wants_sessions,
            replay=registration.options.replay,
            overflowed=lambda: self._overflowed(registration),
            compares=None if registration.memory is None else registration.memory.unfinished,
        )
        with self._guard:
            if self._registrations.get(registration, inbox) is not None:
                return  # attached by ``open``, or removed meanwhile
            self._registrations[registration] = inbox
        registration.inbox_coalesced = lambda: inbox.coalesced
        registration.begin()
        scope = registration.scope
        inbox.subscribe(
            Scope(application=scope.application, session=scope.session, tasks=wants.follows_tasks)
        )

    def attach_stream(self, stream: EventStream) -> None:
        """Start telling a stream, unless that was done; on the loop."""
        link = self._link
        if link is None or self.detached:
            return
        mailbox = stream.mailbox
        inbox = Inbox(
            Hub.of(link),
            mailbox.put,
            lambda: mailbox.closed,
            sessions=stream.sessions,
            replay=stream.replay,
        )
        with self._guard:
            if self._streams.get(stream, inbox) is not None:
                return
            self._streams[stream] = inbox
        stream.behind = lambda: _post(link, inbox.catch_up)
        inbox.subscribe(stream.scope)

    # ------------------------------------------------------------------ going

    def remove(self, registration: Registration) -> None:
        """Tell a registration nothing more; from any thread."""
        with self._guard:
            inbox = self._registrations.pop(registration, None)
        self._unsubscribe(inbox)

    def remove_stream(self, stream: EventStream) -> None:
        """Tell a stream nothing more; from any thread."""
        with self._guard:
            inbox = self._streams.pop(stream, None)
        self._unsubscribe(inbox)

    def _unsubscribe(self, inbox: Inbox | None) -> None:
        if inbox is not None and self._link is not None:
            _post(self._link, inbox.unsubscribe)

    def close(self) -> None:
        """Take nobody in any more."""
        with self._guard:
            self._closed = True

    # ------------------------------------------------------------------ on the loop

    @property
    def inboxes(self) -> list[Inbox]:
        """Everybody's inbox."""
        with self._guard:
            both = [*self._registrations.values(), *self._streams.values()]
        return [one for one in both if one is not None]

    def behind(self, but: Container[Registration]) -> bool:
        """Return True while events wait behind a full queue of an informer, ``but`` some.

        Streams do not count: nobody may be reading them.
        """
        with self._guard:
            both = list(self._registrations.items())
        return any(inbox is not None and inbox.is_behind and one not in but for one, inbox in both)

    def detach(self) -> None:
        """Tell nobody anything more."""
        self.detached = True
        for inbox in self.inboxes:
            inbox.unsubscribe()

    def connection(self, state: ConnectionState) -> None:
        """Tell everybody that the connection's state changed."""
        for inbox in self.inboxes:
            inbox.connection(state)

    def catch_up(self, registration: Registration) -> None:
        """Queue what a registration is behind with; from any thread."""
        inbox = self._registrations.get(registration)
        if inbox is not None and self._link is not None:
            _post(self._link, inbox.catch_up)

    def end_streams(self) -> None:
        """Let every stream end after what is queued in it."""
        with self._guard:
            streams = list(self._streams)
        for stream in streams:
            stream.end()


def _post(link: Link, function: Callable[[], None]) -> None:
    if link.reactor is None or link.closed:
        return
    try:
        link.reactor.call_soon(function)
    except ConnectionClosedError:
        return  # closed meanwhile: there is nothing to tell any more
