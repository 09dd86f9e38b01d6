"""Seconds of any size are taken wherever seconds are; what is no number of them is refused."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import math
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flamepy.aio
import flamepy.core
import flamepy.informers
import flamepy.local
import flamepy.testing
from flamepy.core import Connection, Session, connect
from flamepy.errors import DeadlineExceededError, FlameError, InvalidArgumentError
from flamepy.informers import (
    OutboxOptions,
    Reactor,
    Reconciler,
    Result,
    Sink,
    TaskInformer,
    TemporaryError,
    WatchSettings,
)
from flamepy.local import LocalCluster
from flamepy.runtime.clocks import LONGEST
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.testing import (
    ChaosProxy,
    FakeClock,
    FakeEngine,
    RecordingInformer,
    check_informer,
    check_reconciler,
    check_sink,
)
from flamepy.types import ApplicationAttributes, RetryPolicy, SessionAttributes

LONG = [1e8, 1e10, 1e300, math.inf, sys.maxsize, 10**400, Fraction(10**30, 3)]
WRONG = [math.nan, -1, -0.5, -math.inf, True, "2", b"2", [2], datetime.timedelta(seconds=2), 2j]


@given(st.one_of(st.floats(0, allow_nan=False), st.integers(0), st.fractions(0)))
def test_any_number_of_seconds_becomes_one_that_everything_can_count(value: Any) -> None:
    found = seconds("x", value)
    assert found == min(float(min(value, 10**300)), LONGEST)
    assert type(found) is float
    assert 4 * found <= threading.TIMEOUT_MAX, "sums of a few fit as well"


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_number_of_seconds_is_refused_with_value_rule_and_way_out(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        seconds("x", wrong)
    assert f"x must be seconds, 0 or more, got {wrong!r}; write a number" in caught.value.message
    with pytest.raises(InvalidArgumentError, match="more than 0, or None, got"):
        seconds_or_none("x", wrong, zero=False)


def test_zero_and_none_are_taken_where_they_mean_something() -> None:
    assert seconds("x", 0) == 0.0
    assert seconds_or_none("x", None) is None
    with pytest.raises(InvalidArgumentError, match=r"x must be seconds, more than 0, got 0"):
        seconds("x", 0, zero=False)
    with pytest.raises(InvalidArgumentError, match=r"x must be seconds, 0 or more, got None"):
        seconds("x", None)


class Ends(TaskInformer):
    """Ends each task of a session as soon as it is there."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def on_added(self, event: Any) -> None:
        self._engine.start(event.task.session_id, event.task.id)
        self._engine.succeed(event.task.session_id, event.task.id, b"out")


class Stand:
    """An engine with a session that has a finished task, a connection and a reactor."""

    def __init__(self, engine: FakeEngine, connection: Connection, reactor: Reactor) -> None:
        self.engine, self.connection, self.reactor = engine, connection, reactor
        engine.add_session("s")
        engine.add_task("s")
        engine.start("s", "1")
        engine.succeed("s", "1", b"out")
        engine.add_session("auto")
        reactor.register(Ends(engine), session="auto")
        self.session: Session = connection.get_session("s")
        self.registration = reactor.register(RecordingInformer())
        self.registration.wait_synced(30)
        reactor.tasks.wait_synced(30)
        self.future = reactor.future(("s", "1"))
        self.future.result(30)

    def aio(self, act: Callable[[Any], Any]) -> object:
        """Return what a coroutine of an asynchronous connection returns."""

        async def go() -> object:
            async with await flamepy.aio.connect(self.engine.endpoint) as connection:
                return await act(connection)

        return asyncio.run(go())

    def recorded(self) -> RecordingInformer:
        informer = self.registration.informer
        assert isinstance(informer, RecordingInformer)
        return informer


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with (
        FakeEngine() as engine,
        connect(engine.endpoint) as connection,
        Reactor(connection=connection, plugins=()) as reactor,
    ):
        yield Stand(engine, connection, reactor)


async def close_apart(connection: Any, value: Any) -> None:
    session = await connection.create_session("fake")
    try:
        await session.close(wait=value)
    finally:
        await session.close()


def closed(stand: Stand, **options: Any) -> None:
    session = stand.connection.create_session("fake")
    try:
        session.close(**options)
    finally:
        session.close()


def stopped(stand: Stand, use: Callable[[Reactor], object]) -> None:
    reactor = Reactor(connection=stand.connection, plugins=())
    try:
        use(reactor)
    finally:
        reactor.stop()


def removed(stand: Stand, value: Any) -> None:
    registration = stand.reactor.register(TaskInformer())
    try:
        registration.remove(wait=True, timeout=value)
    finally:
        registration.remove()


def streamed(stand: Stand, value: Any) -> None:
    with stand.reactor.stream() as stream:
        assert stream.next(value) is not None


class Quiet(Sink):
    def send(self, batch: object) -> None:
        pass


class Nowhere:
    def behave(self, how: str) -> None:
        pass

    def received(self) -> list[str]:
        return []


def flushed(stand: Stand, value: Any) -> None:
    sink = Quiet(durable=False)
    registration = stand.reactor.register(sink, replay="none", uid="quiet")
    try:
        registration.wait_synced(30)
        assert sink.flush(value)
    finally:
        registration.remove(wait=True, timeout=30)


def proxied(stand: Stand, value: Any) -> None:
    with ChaosProxy(stand.engine.endpoint) as proxy:
        proxy.delay(value)


# By callable and argument: how it is used with seconds. Calls of the engine are tried below.
class Reconciled(Reconciler):
    def reconcile(self, key: str, ctx: object) -> None:
        pass


USES: dict[tuple[str, str], Callable[[Stand, Any], object]] = {
    ("core.connect", "timeout"): lambda s, v: connect(s.engine.endpoint, timeout=v).close(),
    ("core.connect", "patience"): lambda s, v: connect(s.engine.endpoint, patience=v).close(),
    ("aio.connect", "timeout"): lambda s, v: asyncio.run(opened(s, timeout=v)),
    ("aio.connect", "patience"): lambda s, v: asyncio.run(opened(s, patience=v)),
    ("testing.FakeEngine.delay", "seconds"): lambda s, v: (
        s.engine.delay("ListNodes", v),
        s.engine.heal(),
    ),
    ("core.as_completed", "timeout"): lambda s, v: list(flamepy.core.as_completed([s.future], v)),
    ("core.Session.close", "wait"): lambda s, v: closed(s, wait=v),
    ("core.Session.close", "timeout"): lambda s, v: closed(s, timeout=v),
    ("aio.Session.close", "wait"): lambda s, v: s.aio(lambda c: close_apart(c, v)),
    ("core.Session.invoke", "timeout"): lambda s, v: s.connection.get_session("auto").invoke(
        b"x", timeout=v
    ),
    ("aio.Session.invoke", "timeout"): lambda s, v: s.aio(lambda c: invoked(c, v)),
    ("core.Session.watch_task", "timeout"): lambda s, v: list(s.session.watch_task("1", v)),
    ("aio.TaskHandle.result", "timeout"): lambda s, v: s.aio(lambda c: result(c, v)),
    ("core.TaskFuture.result", "timeout"): lambda s, v: s.future.result(v),
    ("core.TaskFuture.exception", "timeout"): lambda s, v: s.future.exception(v),
    ("informers.EndFuture.result", "timeout"): lambda s, v: s.future.result(v),
    ("informers.EndFuture.exception", "timeout"): lambda s, v: s.future.exception(v),
    ("informers.Reactor", "exit_timeout"): lambda s, v: Reactor(exit_timeout=v),
    ("informers.Reactor", "poll_interval"): lambda s, v: Reactor(poll_interval=v),
    ("informers.Reactor", "poll_timeout"): lambda s, v: Reactor(poll_timeout=v),
    ("informers.Reactor", "audit"): lambda s, v: Reactor(audit=v),
    ("informers.Reactor", "stall_after"): lambda s, v: Reactor(stall_after=v),
    ("informers.Reactor", "ready_within"): lambda s, v: Reactor(ready_within=v),
    ("informers.Reactor.start", "timeout"): lambda s, v: stopped(
        s, lambda r: r.start(wait=True, timeout=v)
    ),
    ("informers.Reactor.stop", "timeout"): lambda s, v: stopped(s, lambda r: r.start().stop(v)),
    ("informers.Reactor.join", "timeout"): lambda s, v: stopped(s, lambda r: (r.stop(), r.join(v))),
    ("informers.Reactor.wait_synced", "timeout"): lambda s, v: s.reactor.wait_synced(v),
    ("informers.Reactor.register", "timeout"): lambda s, v: s.reactor.register(
        TaskInformer(), timeout=v
    ).remove(),
    ("informers.Reactor.register", "batch_delay"): lambda s, v: s.reactor.register(
        TaskInformer(), batch_delay=v
    ).remove(),
    ("informers.Reactor.register", "probe_delay"): lambda s, v: s.reactor.register(
        TaskInformer(), probe_delay=v
    ).remove(),
    ("informers.Result", "requeue_after"): lambda s, v: Result(requeue_after=v),
    ("informers.Reactor.future", "timeout"): lambda s, v: s.reactor.future(("s", "1"), timeout=v),
    ("informers.Reactor.wait", "timeout"): lambda s, v: s.reactor.wait([("s", "1")], v),
    ("informers.Reactor.as_completed", "timeout"): lambda s, v: list(
        s.reactor.as_completed([("s", "1")], v)
    ),
    ("informers.Registration.wait_synced", "timeout"): lambda s, v: s.registration.wait_synced(v),
    ("informers.Registration.remove", "timeout"): removed,
    ("informers.TaskLister.wait_synced", "timeout"): lambda s, v: s.reactor.tasks.wait_synced(v),
    ("informers.TaskLister.get", "max_age"): lambda s, v: s.reactor.tasks.get("s", 1, max_age=v),
    ("informers.SessionLister.wait_synced", "timeout"): (
        lambda s, v: s.reactor.sessions.wait_synced(v)
    ),
    ("informers.SessionLister.get", "max_age"): lambda s, v: s.reactor.sessions.get("s", max_age=v),
    ("informers.EventStream.next", "timeout"): streamed,
    ("informers.WatchSettings", "poll_interval"): lambda s, v: WatchSettings(poll_interval=v),
    ("informers.WatchSettings", "poll_timeout"): lambda s, v: WatchSettings(poll_timeout=v),
    ("informers.WatchSettings", "audit"): lambda s, v: WatchSettings(audit=v),
    ("informers.WatchSettings", "stall_after"): lambda s, v: WatchSettings(stall_after=v),
    ("informers.TemporaryError", "delay"): lambda s, v: TemporaryError(delay=v),
    ("informers.OutboxOptions", "batch_delay"): lambda s, v: OutboxOptions(batch_delay=v),
    ("informers.OutboxOptions", "give_up_after"): lambda s, v: OutboxOptions(give_up_after=v),
    ("informers.OutboxOptions", "max_age"): lambda s, v: OutboxOptions(max_age=v),
    ("informers.OutboxOptions", "flush_timeout"): lambda s, v: OutboxOptions(flush_timeout=v),
    ("informers.Sink.flush", "timeout"): flushed,
    ("local.LocalCluster", "bind_timeout"): lambda s, v: LocalCluster(bind_timeout=v),
    ("local.LocalCluster", "task_timeout"): lambda s, v: LocalCluster(task_timeout=v),
    ("types.RetryPolicy", "timeout"): lambda s, v: RetryPolicy(timeout=v),
    ("types.RetryPolicy", "wait_initial"): lambda s, v: RetryPolicy(wait_initial=v),
    ("types.RetryPolicy", "wait_max"): lambda s, v: RetryPolicy(wait_max=v),
    ("types.RetryPolicy", "wait_jitter"): lambda s, v: RetryPolicy(wait_jitter=v),
    ("testing.RecordingInformer.wait_for", "timeout"): lambda s, v: s.recorded().wait_for(bool, v),
    ("testing.ChaosProxy.delay", "seconds"): proxied,
    ("testing.FakeClock.advance", "seconds"): lambda s, v: FakeClock().advance(v),
    ("testing.check_reconciler", "limit"): lambda s, v: check_reconciler(
        Reconciled, situations="nothing happens", limit=v
    ),
    ("testing.check_sink", "limit"): lambda s, v: check_sink(
        lambda: Quiet(durable=False), Nowhere(), situations=(), limit=v
    ),
    ("testing.check_informer", "limit"): lambda s, v: check_informer(
        RecordingInformer, situations="nothing happens", limit=v
    ),
}


async def opened(stand: Stand, **options: Any) -> None:
    connection = await flamepy.aio.connect(stand.engine.endpoint, **options)
    await connection.close()


async def result(connection: Any, value: Any) -> None:
    session = await connection.get_session("auto")
    handle = await session.run(b"x")
    await handle.result(value)


async def invoked(connection: Any, value: Any) -> None:
    session = await connection.get_session("auto")
    await session.invoke(b"x", timeout=value)


# A list may also be a pair that is none.
RULE = r"must be seconds.*got .*; \S+|must be one number or a pair \(fast, slow\), got \[2\]"


@pytest.mark.parametrize("use", USES.values(), ids=map(".".join, USES))
class TestEverywhere:
    @pytest.mark.parametrize("long", LONG, ids=lambda one: repr(one)[:12])
    def test_a_long_time_is_taken(self, use: Any, long: Any, stand: Stand) -> None:
        use(stand, long)

    def test_what_is_none_is_refused(self, use: Any, stand: Stand) -> None:
        for wrong in WRONG:
            with pytest.raises(InvalidArgumentError, match=RULE):
                use(stand, wrong)


# What the calls of the engine and of the cache are made with, beside their ``timeout``.
ARGUMENTS: dict[str, Any] = {
    "addr": None,
    "app_attrs": ApplicationAttributes(command="x"),
    "application": "fake",
    "data": b"x",
    "delta": b"x",
    "dest_path": "/nonexistent/x",
    "file_path": __file__,
    "input_data": b"x",
    "inputs": [],
    "key_or_prefix": "a/b",
    "key_prefix": "a/b",
    "name": "fake",
    "new_obj": b"x",
    "obj": b"x",
    "objs": [b"x"],
    "prefix": "a/b",
    "ref": flamepy.core.ObjectRef("grpc://127.0.0.1:1", "a/b/c", 1),
    "refs": [flamepy.core.ObjectRef("grpc://127.0.0.1:1", "a/b/c", 1)],
    "session_id": "s",
    "spec": SessionAttributes("fake"),
    "target": "a/b",
    "task_id": "1",
}
OWNERS = {
    "core": flamepy.core,
    "core.Connection": flamepy.core.Connection,
    "core.Session": flamepy.core.Session,
    "aio": flamepy.aio,
    "aio.Connection": flamepy.aio.Connection,
    "aio.Session": flamepy.aio.Session,
    "aio.Objects": flamepy.aio.Objects,
}
OF_THE_CACHE = ("object", "Objects")


def public(owner: Any) -> Iterator[tuple[str, Any]]:
    names = getattr(owner, "__all__", None) or dir(owner)
    for name in names:
        found = getattr(owner, name)
        if not name.startswith("_") and inspect.isroutine(found):
            yield name, found


CALLS = {
    f"{place}.{name}": (owner, name)
    for place, owner in OWNERS.items()
    for name, found in public(owner)
    if "timeout" in inspect.signature(found).parameters
    and (f"{place}.{name}", "timeout") not in USES
}
OF_THE_ENGINE = {
    name: call for name, call in CALLS.items() if not any(one in name for one in OF_THE_CACHE)
}


def call(stand: Stand, owner: Any, name: str, value: Any) -> None:
    """Make a call with ``timeout=value``, of whatever kind, to its end."""
    function = getattr(owner, name)
    given = {
        parameter.name: ARGUMENTS[parameter.name]
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.name not in ("self", "timeout")
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    targets: dict[Any, Callable[[Any], Any]] = {
        flamepy.core.Connection: lambda connection: connection,
        flamepy.core.Session: lambda connection: connection.get_session("s"),
    }
    if owner in targets:
        made = getattr(targets[owner](stand.connection), name)(**given, timeout=value)
        if isinstance(made, Iterator):
            list(made)
    elif owner is flamepy.core:
        made = function(**given, timeout=value)
    else:
        stand.aio(lambda connection: awaited(connection, owner, name, given, value))


async def awaited(
    connection: Any, owner: Any, name: str, given: dict[str, Any], value: Any
) -> None:
    target = connection
    if owner is flamepy.aio.Session:
        target = await connection.get_session("s")
    elif owner is flamepy.aio.Objects:
        target = connection.objects
    elif owner is flamepy.aio:
        target = flamepy.aio
    made = getattr(target, name)(**given, timeout=value)
    if inspect.isasyncgen(made):
        async for _ in made:
            pass
    else:
        await made


def outcome(stand: Stand, name: str, value: Any) -> FlameError | None:
    try:
        call(stand, *CALLS[name], value)
    except FlameError as error:
        return error
    return None


@pytest.fixture
def implicit(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAME_ENDPOINT", stand.engine.endpoint)


@pytest.mark.usefixtures("implicit")
class TestCalls:
    @pytest.mark.parametrize("name", CALLS)
    def test_what_is_no_number_of_seconds_is_refused(self, name: str, stand: Stand) -> None:
        for wrong in (math.nan, -1, True, "2", 0):
            with pytest.raises(InvalidArgumentError, match=r"timeout must be seconds, .*; \S+"):
                call(stand, *CALLS[name], wrong)

    @pytest.mark.parametrize("name", OF_THE_ENGINE)
    def test_a_long_time_is_taken(self, name: str, stand: Stand) -> None:
        for long in (1e10, math.inf):
            failed = outcome(stand, name, long)  # of the state: it is registered already, ...
            assert not isinstance(failed, DeadlineExceededError)
            assert failed is None or "timeout" not in failed.message


NAMES = {"timeout", "wait", "delay", "patience", "max_age", "seconds", "limit", "audit"}
ENDS = ("_timeout", "_delay", "_interval", "_after", "_within", "_age", "_jitter")
FLAGS = {
    ("informers.DeadLetters.list", "limit"),  # a number of letters
    ("informers.Reactor.start", "wait"),
    ("informers.Registration.remove", "wait"),
}
# Made by others of ours, or standing for an engine: what reaches them was checked.
WITHIN = (
    *("core.TaskWatcher", "informers.Registration.close", "informers.RegistrationStats"),
    "informers.OutboxStats",
    "testing.Scripted",
)


def test_every_public_argument_of_seconds_is_tried_here() -> None:
    missing = []
    for package in (flamepy.core, flamepy.aio, flamepy.informers, flamepy.local, flamepy.testing):
        for name in package.__all__:
            found = getattr(package, name)
            place = f"{package.__name__.removeprefix('flamepy.')}.{name}"
            callables = {place: found} if callable(found) else {}
            if inspect.isclass(found):
                callables |= {f"{place}.{part}": one for part, one in public(found)}
            for full, one in callables.items():
                missing += [
                    (full, argument)
                    for argument in arguments(one)
                    if (argument in NAMES or argument.endswith(ENDS))
                    and (full, argument) not in {*USES, *FLAGS}
                    and full not in CALLS
                    and not full.startswith(WITHIN)
                ]
    assert not missing, missing


def arguments(found: Any) -> list[str]:
    try:
        return list(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        return []
