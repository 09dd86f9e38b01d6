"""The ``Reactor``: start it, register informers, and every change of every task reaches them.

A reactor is a view of a link: it starts the hub's polling on the thread ``flamepy-reactor``, gives
each registered informer a queue and a thread, and sends the signals. Stop order: no new work,
sources, handlers (drained, with a limit), signals, and the link if the reactor made it.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Protocol

from flamepy.config import FlameContext
from flamepy.errors import FlameError, InvalidArgumentError, InvalidStateError
from flamepy.informers.dispatch import QUEUE_SIZE, Worker
from flamepy.informers.informer import TaskInformer
from flamepy.informers.registration import InformerSink, Registration, Where
from flamepy.informers.signals import SignalSender
from flamepy.rpc.implicit import close_link, implicit_link
from flamepy.rpc.link import ConnectionChange, Link
from flamepy.rpc.loop import ReactorLoop
from flamepy.watching.hub import Hub
from flamepy.watching.subscriptions import Scope, Subscription

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0
CATCH_UP = 2.0


class ReactorState(str, enum.Enum):
    """The life of a reactor."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


class HasLink(Protocol):
    """What ``connection=`` needs: a synchronous ``flamepy.core.Connection`` has it."""

    @property
    def link(self) -> Link:
        """The connection's link."""


class Reactor:
    """Watches an engine and delivers every observed change to informers and signals.

    Args:
        connection: whose link to use; without it, the process's implicit connection (endpoint
            from the environment or ``flame.yaml``), which ``flamepy.core`` uses as well.
        endpoint: make a connection of its own to this engine, closed at ``stop``.

    Raises:
        InvalidArgumentError: both are given, or the connection is an asyncio one.
    """

    def __init__(self, *, connection: HasLink | None = None, endpoint: str | None = None) -> None:
        if connection is not None and endpoint is not None:
            raise InvalidArgumentError("give connection= or endpoint=, not both")
        if connection is not None and connection.link.reactor is None:
            raise InvalidArgumentError(
                "a Reactor needs a synchronous connection (flamepy.core.connect), which has the "
                "reactor thread; this one belongs to an asyncio loop of yours"
            )
        self._connection = connection
        self._own_endpoint = endpoint
        self._guard = threading.Lock()  # guards _state and _registrations; nothing runs under it
        self._state = ReactorState.NEW
        self._registrations: dict[Registration, Subscription | None] = {}
        self._link: Link | None = None
        self._unobserve: Callable[[], None] | None = None
        self._done = threading.Event()

    def __repr__(self) -> str:
        where = self._link.endpoint if self._link else "not started"
        return f"<Reactor {self._state}, {where}, {len(self._registrations)} informers>"

    @property
    def state(self) -> ReactorState:
        """Where it is in its life."""
        return self._state

    # ------------------------------------------------------------------ start

    def start(self, *, wait: bool = False, timeout: float = 10.0) -> Reactor:
        """Start watching; return at once, or with ``wait`` when the engine has answered.

        Raises:
            InvalidStateError: it was started before.
            UnavailableError, DeadlineExceededError: ``wait`` and nothing answers in ``timeout``
                seconds; the reactor is stopped then.
        """
        with self._guard:
            if self._state is not ReactorState.NEW:
                raise InvalidStateError(f"this reactor is {self._state}; make a new one")
            self._state = ReactorState.RUNNING
        try:
            link = self._link = self._make_link()
            self._loop(link).run(self._start(link))
            if wait:
                self._loop(link).run(link.connect(timeout))
        except BaseException:
            self.stop(0.0)
            raise
        return self

    def _make_link(self) -> Link:
        if self._connection is not None:
            return self._connection.link
        if self._own_endpoint is not None:
            return Link(FlameContext(self._own_endpoint), reactor=ReactorLoop())
        return implicit_link()

    @staticmethod
    def _loop(link: Link) -> ReactorLoop:
        assert link.reactor is not None  # checked in the constructor
        return link.reactor

    async def _start(self, link: Link) -> None:
        SignalSender.of(link).hold()
        self._unobserve = link.add_observer(self._connection_changed)
        for registration in list(self._registrations):
            self._registrations[registration] = self._subscribe(link, registration)

    @staticmethod
    def _subscribe(link: Link, registration: Registration) -> Subscription:
        return Hub.of(link).subscribe(registration.scope, InformerSink(registration))

    def _connection_changed(self, change: ConnectionChange) -> None:
        for registration in list(self._registrations):
            registration.put(change.state)

    # ------------------------------------------------------------------ informers

    def register(
        self,
        informer: TaskInformer,
        *,
        application: str | None = None,
        session: str | None = None,
        where: Where | None = None,
        name: str | None = None,
        queue_size: int = QUEUE_SIZE,
    ) -> Registration:
        """Tell ``informer`` the present state of the tasks in scope, then every observed change.

        May be called before ``start`` and from a callback. Tasks of every process are told, also
        those made before the registration (``event.initial``).

        Args:
            informer: an instance of a ``TaskInformer`` subclass.
            application: only sessions of this application.
            session: only this session.
            where: called with each event on the informer's thread; a false answer leaves it out.
            name: for the thread and the logs; the class name by default.
            queue_size: events that are queued one by one before they are folded per task.

        Raises:
            InvalidArgumentError: not an informer, or this instance is registered already.
            InvalidStateError: the reactor has been stopped.
        """
        if queue_size < 1:
            raise InvalidArgumentError(f"queue_size must be 1 or more, got {queue_size}")
        registration = Registration(
            informer,
            Scope(application=application, session=session),
            where=where,
            name=name,
            queue_size=queue_size,
            removed=self._remove,
        )
        with self._guard:
            if self._state not in (ReactorState.NEW, ReactorState.RUNNING):
                raise InvalidStateError(f"this reactor is {self._state}; make a new one")
            if any(one.informer is informer for one in self._registrations):
                raise InvalidArgumentError(
                    f"{informer!r} is registered already; register another instance"
                )
            self._registrations[registration] = None
        link = self._link
        if link is not None:
            self._loop(link).run(self._add(link, registration))
        return registration

    async def _add(self, link: Link, registration: Registration) -> None:
        if self._registrations.get(registration, registration) is None:
            self._registrations[registration] = self._subscribe(link, registration)

    def _remove(self, registration: Registration) -> None:
        with self._guard:
            subscription = self._registrations.pop(registration, None)
        if subscription is not None and self._link is not None:
            hub = Hub.of(self._link)
            self._loop(self._link).call_soon(hub.unsubscribe, subscription)

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until every informer registered by now was told what was there.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        for registration in list(self._registrations):
            left = None if limit is None else max(0.0, limit - time.monotonic())
            registration.wait_synced(left)

    # ------------------------------------------------------------------ stop

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop: what has happened by now is told, queues drain, threads end.

        All that takes up to ``timeout`` seconds; 0 drops what was not told yet.

        Idempotent, and callable from any thread, callbacks included (the callback's own thread
        ends when it returns). After it returned no new callback starts.
        """
        with self._guard:
            if self._state in (ReactorState.STOPPING, ReactorState.STOPPED):
                return
            self._state = ReactorState.STOPPING
        try:
            self._stop(timeout)
        finally:
            self._state = ReactorState.STOPPED
            self._done.set()

    def _stop(self, timeout: float) -> None:
        limit = time.monotonic() + timeout
        link = self._link
        worker = None
        if link is not None and not link.closed:
            try:
                worker = self._loop(link).run(self._detach(link, timeout), timeout=timeout + 1.0)
            except FlameError as error:
                logger.warning("the reactor's loop ended before the reactor: %s", error)
        for registration in list(self._registrations):
            registration.close(max(0.0, limit - time.monotonic()))
        if worker is not None:
            worker.stop(max(0.0, limit - time.monotonic()))
        if link is not None and self._own_endpoint is not None:
            close_link(link)

    async def _detach(self, link: Link, timeout: float) -> Worker | None:
        hub = Hub.of(link)
        await hub.catch_up(min(CATCH_UP, timeout / 2))
        for subscription in self._registrations.values():
            if subscription is not None:
                hub.unsubscribe(subscription)
        if self._unobserve is None:
            return None
        self._unobserve()
        return SignalSender.of(link).release()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the reactor has stopped; False after ``timeout`` seconds."""
        return self._done.wait(timeout)

    def run_forever(self) -> None:
        """Wait until ``stop`` is called, or SIGINT or SIGTERM comes, then drain and stop.

        A second signal drops what is still queued. Signals are handled on the main thread only;
        elsewhere this just waits for ``stop``.
        """
        received: list[int] = []
        with _signals_noted(received):
            while not received and not self._done.wait(0.2):
                pass
            self._drain(received)

    def _drain(self, received: list[int]) -> None:
        seen = len(received)
        stopper = threading.Thread(target=self.stop, name="flamepy-stop", daemon=True)
        stopper.start()
        while stopper.is_alive():
            stopper.join(0.1)
            if len(received) > seen:
                for registration in list(self._registrations):
                    registration.close(0.0)
                seen = len(received)

    def run(self) -> None:
        """Start, run until a signal or ``stop``, and stop: the three in one."""
        self.start()
        self.run_forever()

    def __enter__(self) -> Reactor:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Reactor:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


@contextmanager
def _signals_noted(received: list[int]) -> Iterator[None]:
    """Append SIGINT and SIGTERM to ``received`` instead of acting on them (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
