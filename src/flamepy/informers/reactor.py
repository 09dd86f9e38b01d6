"""The ``Reactor``: start it, register informers, and every change reaches them.

A reactor is a view of a link: it starts the hub's polling on the thread ``flamepy-reactor``, gives
each registered informer a queue and a thread, and sends the signals. Stop order: no new work,
sources, handlers (drained, with a limit), signals, and the link if the reactor made it.
``lifecycle`` has what surrounds a life: signals of the system, the process's exit, forks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flamepy.config import FlameContext
from flamepy.errors import FlameError, InvalidStateError
from flamepy.informers import signals
from flamepy.informers.arguments import (
    check_reactor,
    check_replay,
    scope_of,
    state_file,
    watch_changes,
)
from flamepy.informers.delivery.invocation import FinishedCall
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.delivery.registry import Registry
from flamepy.informers.delivery.watchdog import Watchdog
from flamepy.informers.expect import Rule
from flamepy.informers.health import Health, InformerHealth, ReactorState, readiness
from flamepy.informers.informer import Informer
from flamepy.informers.lifecycle import STOP_THREAD, Runnable, live, run_apart
from flamepy.informers.on import Shorthand
from flamepy.informers.options import QUEUE_SIZE, TIMEOUT, KeyFunction, Options, Transform, Where
from flamepy.informers.plugins.loading import Plugin, load_plugins
from flamepy.informers.plugins.registering import register_plugin
from flamepy.informers.queries.queries import (
    FIRST_LOOK,
    HasLink,
    ReactorQueries,
    subscribe_on_loop,
)
from flamepy.informers.reactor_checkpoint import ReactorCheckpoint
from flamepy.informers.receivers.draining import Drain
from flamepy.informers.receivers.routing import events_connected
from flamepy.informers.receivers.signal_sender import SignalSender
from flamepy.informers.reports import Reports
from flamepy.informers.signals import FlameSignal
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.rpc.implicit import close_link, implicit_link
from flamepy.rpc.link import ConnectionChange, Link
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import ConnectionState, RetryPolicy
from flamepy.watching.hub import Hub
from flamepy.watching.policy.settings import WatchSettings

if TYPE_CHECKING:
    from flamepy.informers.dead_letters.box import DeadLetters

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0
EXIT_TIMEOUT = 2.0
CATCH_UP, LOOK = 2.0, 0.05

Plugins = Iterable["str | Plugin"] | Mapping[str, Mapping[str, Any]]


class Reactor(ReactorQueries, Runnable):
    """Watches an engine and delivers every observed change to informers and signals.

    All methods may be called from any thread, callbacks included. In ``async with Reactor(...)``
    ``async def`` callbacks run as tasks on the running loop, else on loops of their own.

    Args:
        connection: whose link to use; without it, the process's implicit connection (endpoint
            from the environment or ``flame.yaml``), which ``flamepy.core`` uses as well. For one
            of ``flamepy.aio`` a link of its own with the same settings is made, closed at
            ``stop``: ``async`` interceptors and token functions run on a thread's loop in it.
        endpoint: make a connection of its own to this engine, closed at ``stop``.
        context: the same, with everything of a ``FlameContext``: plugins, TLS.
        plugins: names, a mapping of names to options, or ``Plugin`` objects; ``()`` for none.
            None: those that ``FLAME_INFORMERS`` or ``flame.yaml`` enable. Loaded at ``start``.
        strict: raise ``PluginError`` at ``start`` where a broken plugin would be skipped.
        on_fatal: called with the exception when the reactor failed and watches no more, on a
            thread of its own.
        checkpoint: a file that stores what was delivered to each informer with a ``uid``,
            so that after a restart of this process it receives what happened meanwhile. One
            reactor has it at a time, and it belongs to one engine.
        dead_letters: whether an event whose handling failed for good is stored with its error, to
            be looked at and handled again (``dead_letters``): by default in the checkpoint's file,
            if there is one. Without a checkpoint, the path of a file for them.
        signal_replay: what of the present state each receiver of signals gets first, as
            ``replay`` of ``register``. Of several reactors on one connection that of the one
            that was started first holds.
        exit_timeout: seconds by which the end of the interpreter may be delayed.
        settings: how often the engine is read, and how much; it holds for the whole connection,
            as the reactor sets it that was started last. What follows changes single values of it.
        poll_interval: seconds between polls while changes come and while nothing happens, one
            number or two.
        poll_timeout: seconds after which a poll without an answer counts as failed, and the
            engine as away; by default 5 to 30, by what polls take.
        audit: seconds in which every session is listed once.
        watch_budget: streams open at most.
        calls_per_second, bytes_per_second: limits of what the looking costs.
        payloads: keep input and output of tasks and give them to informers.
        retain_terminal: finished tasks that are remembered at most.
        stall_after: seconds after which a pending task is reported while later ones end.
        ready_within: seconds; ``health().ready`` is False while what is known of the engine is
            older. By default 60, or ten polls where these are further apart.

    Raises:
        InvalidArgumentError: arguments exclude each other, or a setting is out of its range.
    """

    def __init__(
        self,
        *,
        connection: HasLink | None = None,
        endpoint: str | None = None,
        context: FlameContext | None = None,
        plugins: Plugins | None = None,
        strict: bool = False,
        on_fatal: Callable[[BaseException], object] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        dead_letters: bool | str | os.PathLike[str] | None = None,
        signal_replay: str = "none",
        exit_timeout: float = EXIT_TIMEOUT,
        settings: WatchSettings | None = None,
        poll_interval: float | tuple[float, float] | None = None,
        poll_timeout: float | None = None,
        audit: float | None = None,
        watch_budget: int | None = None,
        calls_per_second: float | None = None,
        bytes_per_second: float | None = None,
        payloads: bool | None = None,
        retain_terminal: int | None = None,
        stall_after: float | None = None,
        ready_within: float | None = None,
    ) -> None:
        self._ready_within = seconds_or_none("ready_within", ready_within)
        check_reactor(
            connection=connection,
            endpoint=endpoint,
            context=context,
            plugins=plugins,
            on_fatal=on_fatal,
            exit_timeout=exit_timeout,
        )
        self._connection = connection
        self._own = FlameContext(endpoint) if endpoint is not None else context
        apart = connection is not None and connection.link.reactor is None
        self._owns = apart or self._own is not None
        self._plugins = plugins
        self._strict, self._on_fatal = strict, on_fatal
        self._settings = watch_changes(
            settings,
            poll_interval=poll_interval,
            poll_timeout=poll_timeout,
            audit=audit,
            watch_budget=watch_budget,
            calls_per_second=calls_per_second,
            bytes_per_second=bytes_per_second,
            payloads=payloads,
            retain_terminal=retain_terminal,
            stall_after=stall_after,
        )
        self._checkpoint = ReactorCheckpoint(
            state_file(checkpoint, dead_letters),
            retain=WatchSettings(**self._settings).retain_terminal,
        )
        self._signal_replay = check_replay("signal_replay", signal_replay)
        self.exit_timeout = seconds("exit_timeout", exit_timeout)
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Reset to the unstarted state; for the child of a fork (contract G12)."""
        self._checkpoint.reset_after_fork()
        self._claims = Claims()  # who starts it, who ends it
        self._state = ReactorState.NEW
        reports = self._reports = Reports()
        given = self._given = GivenLoop()
        registry = self._registry = Registry(reports.overflowed)
        self._watchdog = Watchdog(
            lambda: registry.registrations, reports.slow, beside=registry.sweep, log=reports.log
        )
        self._hooks = Hooks(
            *(registry.remove, reports.failed, reports.synced, registry.catch_up, reports.missed),
            log=reports.log,
            observers=reports.observers,
            remembers=self._checkpoint.remembers,
            dead=reports.dead_lettered,
            keep_dead=self._checkpoint.put_dead if self._checkpoint.letters else None,
            resolved=self._checkpoint.resolved,
            quarantined=reports.quarantined,
            recovered=reports.recovered,
            keep_paused=self._checkpoint.keep_paused,
            given=given,
        )
        self._link: Link | None = None
        self._hub: Hub | None = None
        self._sender: SignalSender | None = None
        self._signals_left = Drain([])
        self._reading, self._listers = {}, {}
        self._aborted = Flag()
        self._finishing: list[threading.Thread] = []  # those in ``_finish``
        self._undo: list[Callable[[], None]] = []
        self._done = Flag()
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        where = self._link.endpoint if self._link else "not started"
        return f"<Reactor {self._state}, {where}, {len(self._registry)} informers>"

    def _repr_html_(self) -> str:
        return self.health()._repr_html_()

    @property
    def state(self) -> ReactorState:
        """The reactor's state, from new to stopped or failed."""
        return self._state

    @property
    def registrations(self) -> list[Registration]:
        """The registered informers, plugins included."""
        return self._registry.registrations

    def health(self) -> Health:
        """Return how it is, for probes and for people."""
        link = self._link
        return Health.of(
            state=self._state,
            connection=link.state if link is not None else ConnectionState.DISCONNECTED,
            endpoint=link.endpoint if link is not None else "",
            informers=[InformerHealth.of(one) for one in self._registry.registrations],
            freshness=self._hub.freshness() if self._hub is not None else float("inf"),
            error=self._error,
            checkpoint=self._checkpoint.works,
            missed=self._reports.missed_ends + (self._hub.missed if self._hub is not None else 0),
            within=readiness(self._ready_within, self._hub.health.every if self._hub else 0.0),
            age=self._hub.heartbeat_age() if self._hub is not None else None,
        )

    def observe_calls(self, function: Callable[[FinishedCall], object]) -> Callable[[], None]:
        """Call ``function`` with each call of an informer's callback, as it ends; for metrics.

        On the informer's thread, before anything else of that event: it must be quick. What it
        raises is logged. Without a function nothing is measured. Returns the undo.
        """
        observers = self._reports.observers
        observers.append(function)
        return lambda: observers.remove(function) if function in observers else None

    @property
    def dead_letters(self) -> DeadLetters:
        """The events whose handling failed for good; see ``DeadLetters``.

        Raises:
            InvalidStateError: there is no file for them, or it is not open yet.
        """
        return self._checkpoint.dead_letters

    # ------------------------------------------------------------------ start

    def start(self, *, wait: bool = False, timeout: float = 10.0) -> Reactor:
        """Start watching; return at once, or with ``wait`` when the engine has answered.

        With receivers of signals, return after the first look at the engine, a second later at
        most: to them what is created after the start is no history.

        Raises:
            InvalidStateError: it was started before, or another reactor has its checkpoint.
            PluginError: with ``strict``, a plugin is broken.
            UnavailableError, DeadlineExceededError: ``wait`` and nothing answers in ``timeout``
                seconds; the reactor is stopped then.
        """
        timeout = seconds("timeout", timeout)
        if self._state is not ReactorState.NEW or not self._claims.take("start"):
            way = (
                "run_forever() waits until it is stopped"
                if self._state is ReactorState.RUNNING
                else "make a new one"
            )
            raise InvalidStateError(f"this reactor is {self._state}; {way}")
        self._state = ReactorState.RUNNING
        if self._claims.is_taken("end"):  # by a signal handler, or another thread
            self._state = ReactorState.STOPPED
        else:
            live.add(self)
        try:
            link = self._link = self._make_link()
            self._checkpoint.open(self._registry.registrations)
            self._register_plugins(link.context)
            link.run(self._start(link))
            self._checkpoint.start(lambda: self._registry.registrations)
            if self._hub and (events_connected() or self._registry.leaves_out):
                link.run(self._hub.first_look(FIRST_LOOK))
            if wait:
                link.run(link.connect(timeout))
        except BaseException:
            self.stop(0.0)
            if self._owns and self._link is not None:
                close_link(self._link)  # a stop that came before the link was made left it open
            raise
        return self

    def _make_link(self) -> Link:
        if self._connection is not None:
            link = self._connection.link
            return link.synchronous() if self._owns else link
        if self._own is not None:
            return Link(self._own, reactor=ReactorLoop())
        return implicit_link()

    def _register_plugins(self, context: FlameContext) -> None:
        for plugin in load_plugins(self._plugins, strict=self._strict, context=context):
            register_plugin(self.register, plugin, self._check_running, strict=self._strict)

    async def _start(self, link: Link) -> None:
        self._check_running()  # on the loop, where ``_detach`` runs as well: one comes first
        hub = Hub.of(link)
        if self._settings:
            hub.configure(replace(hub.settings, **self._settings))
        self._sender, self._hub = SignalSender.of(link), hub
        self._sender.hold(self._link_closed, self._signal_replay)
        self._reports.attach(self._sender, link.endpoint)
        self._undo = [link.add_observer(self._connection_changed), hub.on_fatal(self._fail)]
        # ``health()`` and ``connection_changed`` speak of the engine also without an informer.
        self._undo.append(hub.watch_connection())
        self._reports.send(signals.reactor_started, reactor=self)
        self._registry.open(link)
        self._watchdog.start()

    def _check_running(self) -> None:
        if self._state is not ReactorState.RUNNING:
            way = "start it first" if self._state is ReactorState.NEW else "make a new one"
            raise InvalidStateError(f"this reactor is {self._state}; {way}")

    def _link_closed(self) -> None:
        """Handle that the connection was closed by another owner: nothing is left to watch."""
        if self._state is not ReactorState.RUNNING or not self._claims.take("end"):
            return
        self._state = ReactorState.STOPPING
        logger.warning("the connection of %r was closed: it stops", self)
        self._leave(signals.reactor_stopped, {})
        run_apart(lambda: self._finish(STOP_TIMEOUT))

    def _connection_changed(self, change: ConnectionChange) -> None:
        self._registry.connection(change.state)

    # ------------------------------------------------------------------ informers

    def register(
        self,
        informer: Informer,
        *,
        application: str | None = None,
        session: str | None = None,
        events: Sequence[str] | None = None,
        where: Where | None = None,
        transform: Transform | None = None,
        name: str | None = None,
        uid: str | None = None,
        queue_size: int = QUEUE_SIZE,
        retry: RetryPolicy | None = None,
        timeout: float | None = TIMEOUT,
        replay: str = "all",
        resume: bool | None = None,
        batch_size: int = 100,
        batch_delay: float = 1.0,
        workers: int = 1,
        key: str | KeyFunction | None = None,
        on_stuck: str = "report",
        transitions: str = "observed",
        rules: Sequence[Rule] = (),
        max_failures: int | None = None,
        probe_delay: float = 60.0,
    ) -> Registration:
        """Deliver to ``informer`` the present state in scope, then every observed change.

        May be called before ``start`` and from a callback. It gets tasks of every process.

        Args:
            informer: an instance of a ``TaskInformer`` or ``SessionInformer`` subclass.
            application: only sessions of this application.
            session: only this session.
            events: only these, by names of callbacks without ``on_``: ``["failed", "overdue"]``.
            where: called with each event on the informer's thread; a false answer leaves it out.
            transform: likewise; returns the event to deliver, or None to leave it out.
            name: for the thread and the logs; the ``uid`` or the class name by default.
            uid: its name in a checkpoint; if it is registered already, that one is returned.
            queue_size: events that wait at most; more are coalesced, an end is never lost.
            retry: how a callback that raised is called again (see ``TemporaryError``).
            timeout: seconds after which a callback is reported, and a coroutine cancelled.
            replay: existing tasks to deliver: ``"all"``, ``"active"`` (not ended), ``"none"``.
            resume: False has a checkpoint remember nothing of it.
            batch_size: the number of events that ``on_batch`` gets at most.
            batch_delay: and their greatest age in seconds.
            workers: callbacks that run side by side at most, on threads or tasks of one loop.
            key: what they share out: events of one ``"task"`` (the default), ``"session"``,
                ``"application"`` or answer of a function come in order, one at a time.
            on_stuck: ``"replace"`` has another thread take the place of one over its ``timeout``.
            transitions: ``"complete"`` inserts states that no answer showed, ``event.inferred``.
            rules: what is expected in time (``flamepy.informers.expect``), for ``on_overdue``.
            max_failures: events that fail in a row before the others wait.
            probe_delay: seconds until one of these is tried.

        Raises:
            InvalidArgumentError: not an informer, a wrong callback or option, or a second time.
            InvalidStateError: the reactor has been stopped.
        """
        return self._take(**{name: one for name, one in locals().items() if name != "self"})

    on = Shorthand(register)  # by ``register``: what is an option there is one here

    def _take(
        self, informer: Informer, application: object, session: object, **options: Any
    ) -> Registration:
        scope = scope_of(application, session)
        registration = Registration(informer, scope, Options(**options), hooks=self._hooks)
        present = self._registry.add(registration)
        if present is not registration:
            return present
        try:
            attach = getattr(informer, "attach", None)
            if callable(attach):
                attach(self)
            self._checkpoint.prepare(registration)
            link, hub, replay = self._link, self._hub, registration.options.replay
            if link is not None and hub is not None:
                subscribe_on_loop(link, hub, lambda: self._attach(registration), replay=replay)
        except BaseException:
            registration.remove()
            raise
        return registration

    def _running(self) -> tuple[Link, Hub]:
        self._check_running()
        if self._link is None or self._hub is None:
            raise InvalidStateError("this reactor has not started yet; wait for start()")
        return self._link, self._hub

    def _attach(self, registration: Registration) -> None:
        self._registry.attach(registration)
        if not self._registry.detached:
            self._watchdog.start()  # it may have to look more often now

    def wait_synced(self, timeout: float | None = None) -> None:
        """Wait until every informer registered by now received the initial state.

        Raises:
            DeadlineExceededError: (a TimeoutError) it takes longer than ``timeout`` seconds.
        """
        timeout = seconds_or_none("timeout", timeout)
        limit = None if timeout is None else monotonic() + timeout
        for registration in self._registry.registrations:
            left = None if limit is None else max(0.0, limit - monotonic())
            try:
                registration.wait_synced(left)
            except InvalidStateError:
                if registration in self._registry.registrations:
                    raise  # else it was removed meanwhile, and no thread waits for it any more

    # ------------------------------------------------------------------ stop

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop: what has happened by now is delivered, queues drain, threads end.

        All that takes up to ``timeout`` seconds; 0 drops what is queued. Callable from any
        thread, callbacks included (the callback's own thread ends when it returns), and again:
        what Ctrl-C or another exception cut is done then. Afterwards no new callback starts.
        """
        limit = seconds("timeout", timeout)
        first = self._claims.take("end")
        if first:
            self._state = ReactorState.STOPPING
        current = threading.current_thread()
        if not first and current.name.startswith("flamepy-") and current.name != STOP_THREAD:
            return  # another thread stops it; a callback must not wait for that
        if any(one is not current for one in self._finishing):
            self._done.wait(limit)
            limit = 0.0
        if not self._done.is_set():  # also what a stop that was cut left undone
            self._finish(limit, signals.reactor_stopped)

    def _fail(self, error: BaseException) -> None:
        """Handle a failure of the hub: stop watching, and report it (contract G17); on the loop."""
        if self._state is not ReactorState.RUNNING or not self._claims.take("end"):
            return
        self._state, self._error = ReactorState.FAILED, error
        logger.critical("the reactor of %r failed: %s", self._link, repr_of(error), exc_info=error)
        try:
            self._leave(signals.reactor_failed, {"error": error})
        except Exception:
            logger.exception("the reactor of %r could not leave in good order", self._link)
        run_apart(lambda: self._end_failed(error))

    def _end_failed(self, error: BaseException) -> None:
        self._finish(STOP_TIMEOUT)
        if self._on_fatal is not None:
            try:
                self._on_fatal(error)
            except BaseException:
                logger.exception("on_fatal raised")

    def _finish(self, timeout: float, signal: FlameSignal | None = None) -> None:
        # Does what is left of a stop: each step may be done twice, also at the same time.
        current = threading.current_thread()
        try:
            self._finishing.append(current)
            self._close(monotonic() + timeout, signal)
            live.discard(self)
            if self._state is not ReactorState.FAILED:
                self._state = ReactorState.STOPPED
            self._done.set()
        finally:
            self._finishing.remove(current)

    def _close(self, limit: float, signal: FlameSignal | None) -> None:
        def left() -> float:
            return max(0.0, limit - monotonic())

        self._registry.close()
        registrations, link = self._registry.registrations, self._link
        if link is not None and link.reactor is not None and link.reactor.is_current:
            limit = 0.0  # no thread could be started (``run_apart``), and the loop must not wait
        if link is not None and not link.closed and signal is not None:
            own = {one for one in registrations if one.worker.waits_for_us}
            try:
                link.run(self._detach(left(), own, signal), timeout=left() + 1.0)
            except FlameError as error:
                logger.warning("the reactor's loop ended before the reactor: %s", error)
        self._registry.end_streams()
        for registration in registrations:
            registration.finish()  # all drain at once, so that a stuck one delays no other
        for registration in registrations:
            registration.close(left(), self._error)
        self._checkpoint.close(registrations, left())
        self._reports.detach()
        self._signals_left.stop(left())
        self._reports.log.flush(everything=True)
        if link is not None and self._owns:
            close_link(link)

    async def _detach(
        self, timeout: float, own: Container[Registration], signal: FlameSignal
    ) -> None:
        """Deliver what has happened by now, then end what happens on the loop."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + timeout / 2  # the other half is for what is queued
        if self._hub is not None:
            caught_up = loop.create_task(self._hub.catch_up(min(CATCH_UP, timeout / 2)))
            while not caught_up.done() and not self._aborted.is_set():
                await asyncio.wait({caught_up}, timeout=LOOK)
            caught_up.cancel()
            await asyncio.gather(caught_up, return_exceptions=True)
        while loop.time() < limit and not self._aborted.is_set() and self._registry.is_lagging(own):
            await asyncio.sleep(0.01)  # its queue drains; what waits is queued next
        self._leave(signal, {})

    def _leave(self, signal: FlameSignal, values: dict[str, Any]) -> None:
        """End what happens on the loop, on the loop; once."""
        if not self._claims.take("leave"):
            return
        with ExitStack() as steps:  # last in, first out; one that raises keeps no other
            steps.callback(self._stop_signals)
            steps.callback(self._reports.send, signal, reactor=self, **values)
            for undo in self._undo:
                steps.callback(undo)
            for inbox in self._reading.values():
                steps.callback(inbox.unsubscribe)
            steps.callback(self._registry.detach)
            steps.callback(self._watchdog.stop)

    def _stop_signals(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            self._signals_left = sender.release(self._link_closed) or self._signals_left

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the reactor has stopped; False after ``timeout`` seconds."""
        return self._done.wait(seconds_or_none("timeout", timeout))

    def abort(self) -> None:
        """Drop what is queued and wait for no callback, so that a running stop ends soon."""
        self._aborted.set()
        for registration in self._registry.registrations:
            registration.abandon()
        self._signals_left.abandon()
