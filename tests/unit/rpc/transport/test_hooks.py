"""Metadata, tokens and interceptors around each try of a call, of either kind of connection."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.guarded_engine import GuardedEngine
from support.waiting import eventually

from flamepy import aio
from flamepy.call_options import OutgoingCall, install_interceptor
from flamepy.config import FlameContext
from flamepy.core import Connection, connect
from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InternalError,
    InvalidStateError,
    UnauthenticatedError,
    UnavailableError,
)
from flamepy.informers import Reactor, TaskInformer
from flamepy.rpc.link import Link
from flamepy.types import RetryPolicy, SessionAttributes

QUICK = RetryPolicy(attempts=3, wait_initial=0.001, wait_jitter=0.0)
BUSY: tuple[tuple[str, str], ...] = ()


@pytest.fixture
def engine() -> Iterator[GuardedEngine]:
    with GuardedEngine() as made:
        yield made


class Refusal(Exception):
    """An error of the user's own."""


class TestMetadata:
    def test_it_goes_with_every_call_and_stream(self, engine: GuardedEngine) -> None:
        metadata = {"x-team": "blue", "x-trace-bin": b"\x00\xff"}
        with connect(engine.endpoint, metadata=metadata, token="secret-1") as connection:
            session = connection.get_session("s")
            session.create_task(b"x")
            assert len(list(session.list_tasks())) == 1
            watching = session.watch_task("1")
            next(watching)
            thread = threading.Thread(target=ignored, args=(watching,))
            thread.start()
            eventually(lambda: engine.of("WatchTask"))
        thread.join()
        assert {"ListNodes", "GetSession", "CreateTask", "ListTask", "WatchTask"} <= {
            name for name, _ in engine.seen
        }
        for name, sent in engine.seen:
            assert sent["x-team"] == "blue", name
            assert sent["x-trace-bin"] == b"\x00\xff", name
            assert sent["authorization"] == "Bearer secret-1", name

    def test_a_function_is_asked_off_the_thread_of_the_loop(self, engine: GuardedEngine) -> None:
        asked: list[str] = []

        def metadata() -> dict[str, str]:
            asked.append(threading.current_thread().name)
            return {"x-team": "green"}

        with connect(engine.endpoint, metadata=metadata) as connection:
            connection.get_session("s")
        assert all("interceptors" in name for name in asked)
        assert len(asked) == 1, "its value is used again"
        assert {sent["x-team"] for _, sent in engine.seen} == {"green"}

    def test_a_coroutine_function_runs_on_the_users_own_loop(self, engine: GuardedEngine) -> None:
        loops = []

        async def token() -> str:
            loops.append(asyncio.get_running_loop())
            return "later"

        async def use() -> None:
            async with await aio.connect(engine.endpoint, token=token) as connection:
                await connection.get_session("s")
            assert loops == [asyncio.get_running_loop()]

        asyncio.run(use())
        with connect(engine.endpoint, token=token) as connection:
            connection.get_session("s")
        assert {sent["authorization"] for _, sent in engine.seen} == {"Bearer later"}

    def test_a_token_that_is_not_accepted_is_asked_for_again(self, engine: GuardedEngine) -> None:
        engine.token = "first"
        with connect(engine.endpoint, token=lambda: engine.token or "") as connection:
            engine.token = "second"
            connection.get_session("s")
            assert [sent["authorization"] for sent in engine.of("GetSession")] == [
                "Bearer first",
                "Bearer second",
            ]

    def test_one_that_stays_wrong_is_an_error_of_one_try(self, engine: GuardedEngine) -> None:
        engine.token = "right"
        with pytest.raises(UnauthenticatedError, match="who are you"):
            connect(engine.endpoint, token=lambda: "wrong")
        assert len(engine.seen) == 1

    @pytest.mark.parametrize("kind", ["raises", "returns"])
    def test_what_a_function_fails_with_is_not_shown(
        self, engine: GuardedEngine, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def token() -> str:
            if kind == "raises":
                raise Refusal("canary-77")
            return "canary-77\n"

        with caplog.at_level(logging.DEBUG), pytest.raises(UnauthenticatedError) as caught:
            connect(engine.endpoint, token=token)
        shown = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
        assert "canary-77" not in shown
        assert "token" in str(caught.value)
        if kind == "raises":
            assert "Refusal" in str(caught.value)
            assert f"{Path(__file__).name}:" in str(caught.value)

    def test_one_that_calls_its_own_connection_gets_an_error(self, engine: GuardedEngine) -> None:
        made: list[Connection] = []

        def token() -> str:
            if made:
                made[0].get_session("inner")
            return "x"

        with connect(engine.endpoint, token="x") as other:
            made.append(other)
            with connect(engine.endpoint, token=token) as connection:
                connection.get_session("s")  # by another connection it may
                made[0] = connection
                connection.link.run(reject(connection.link))
                with pytest.raises(UnauthenticatedError, match="InvalidStateError"):
                    connection.get_session("s")

    def test_the_configuration_has_it(self, engine: GuardedEngine, tmp_path: Path) -> None:
        path = tmp_path / "flame.yaml"
        path.write_text(
            "current-context: a\ncontexts:\n- name: a\n  cluster:\n"
            f"    endpoint: {engine.endpoint}\n    token: ${{TEAM_TOKEN}}\n"
            "    metadata: {x-team: 'team-${TEAM}'}\n"
        )
        environ = {"TEAM_TOKEN": "secret-2", "TEAM": "7"}
        context = FlameContext(config_file=path, environ=environ)
        with connect(context=context) as connection:
            connection.get_session("s")
        sent = engine.of("GetSession")[0]
        assert (sent["authorization"], sent["x-team"]) == ("Bearer secret-2", "team-7")
        with Reactor(context=FlameContext(engine.endpoint, token="of a reactor".replace(" ", "-"))):
            pass
        assert engine.seen[-1][1]["authorization"] == "Bearer of-a-reactor"


def ignored(watching: Iterator[Any]) -> None:
    """Take the next state; closing the connection ends the wait with an error."""
    with suppress(FlameError):
        next(watching, None)


async def reject(link: Link) -> None:
    assert link._hooks is not None
    link._hooks.rejected()


class TestInterceptors:
    def test_they_are_an_onion_the_first_outermost(self, engine: GuardedEngine) -> None:
        order: list[str] = []

        def outer(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            order.append("outer before")
            reply = proceed(call.with_metadata(("x-outer", "1")))
            order.append("outer after")
            return reply

        async def inner(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            order.append("inner before")
            assert call.metadata == (("x-outer", "1"),)
            reply = await proceed(call.with_metadata(("x-inner", "2")))
            order.append("inner after")
            return reply

        def use(connection: Connection) -> None:
            order.clear()
            assert connection.get_session("s").id == "s"
            assert order == ["outer before", "inner before", "inner after", "outer after"]

        with connect(engine.endpoint, interceptors=[outer, inner]) as connection:
            use(connection)
        sent = engine.of("GetSession")[0]
        assert (sent["x-outer"], sent["x-inner"]) == ("1", "2")

    def test_of_an_asyncio_connection_as_well(self, engine: GuardedEngine) -> None:
        seen: list[Any] = []

        async def note(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> None:
            seen.append(await proceed(call))  # what it returns is ignored
            assert asyncio.get_running_loop() is running[0]

        def plain(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            assert "interceptors" in threading.current_thread().name
            return proceed(call)

        running = []

        async def use() -> None:
            running.append(asyncio.get_running_loop())
            connected = aio.connect(engine.endpoint, interceptors=[note, plain])
            async with await connected as connection:
                session = await connection.get_session("s")
                assert seen[-1] == session.info

        asyncio.run(use())

    def test_what_they_see_of_a_call(self, engine: GuardedEngine) -> None:
        seen: dict[str, OutgoingCall] = {}

        def note(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            seen[call.rpc] = call
            return proceed(call)

        with connect(engine.endpoint, token="secret", interceptors=[note]) as connection:
            session = connection.create_session("app", session_id="s")
            connection.register_application("app", {"command": "x"})
            session.create_task(b"input", timeout=7.0)
            list(session.list_tasks())
            watching = session.watch_task("1")
            next(watching)
            thread = threading.Thread(target=ignored, args=(watching,))
            thread.start()
            eventually(lambda: "WatchTask" in seen)
        thread.join()
        assert seen["ListNodes"].timeout is not None
        assert seen["CreateSession"].session_id == "s"
        attributes = seen["CreateSession"].request
        assert isinstance(attributes, SessionAttributes)
        assert attributes.application == seen["CreateSession"].application == "app"
        assert getattr(seen["RegisterApplication"].request, "command", None) == "x"
        task = seen["CreateTask"]
        assert (task.request, task.timeout, task.session_id) == (b"input", 7.0, "s")
        assert seen["ListTask"].session_id == "s"
        assert (seen["WatchTask"].task_id, seen["WatchTask"].timeout) == ("1", None)
        assert all(one.attempt == 1 and one.metadata == () for one in seen.values())

    def test_each_try_comes_with_its_number(self, engine: GuardedEngine) -> None:
        attempts: list[tuple[str, int, str]] = []

        def note(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            try:
                reply = proceed(call)
            except FlameError as error:
                attempts.append((call.rpc, call.attempt, type(error).__name__))
                raise
            attempts.append((call.rpc, call.attempt, "answered"))
            return reply

        with connect(engine.endpoint, interceptors=[note], retry=QUICK) as connection:
            attempts.clear()
            engine.trailers += [BUSY, BUSY]
            list(connection.get_session("s").list_tasks())
        assert attempts[:3] == [
            ("GetSession", 1, "UnavailableError"),
            ("GetSession", 2, "UnavailableError"),
            ("GetSession", 3, "answered"),
        ]

    def test_what_one_swallows_is_raised_all_the_same(self, engine: GuardedEngine) -> None:
        def swallow(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            try:
                return proceed(call)
            except UnavailableError:
                return None

        with connect(engine.endpoint, interceptors=[swallow], retry=QUICK) as connection:
            engine.trailers += [BUSY] * 3
            with pytest.raises(UnavailableError):
                connection.get_session("s")

    def test_a_limit_may_be_shortened(self, engine: GuardedEngine) -> None:
        def short(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            return proceed(call.with_timeout(5.0))

        with connect(engine.endpoint, interceptors=[short]) as connection:
            engine.limits.clear()
            connection.get_session("s")
        assert engine.limits[0] < 10.0, "not 30, which is what a try has"

    @pytest.mark.parametrize("kind", ["plain", "async"])
    @pytest.mark.parametrize("error", [Refusal("no"), UnavailableError("maintenance")])
    def test_a_refusal_reaches_the_caller_as_it_is_and_is_not_repeated(
        self, engine: GuardedEngine, kind: str, error: Exception
    ) -> None:
        asked: list[str] = []

        def refuse(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.session_id != "s":
                return proceed(call)
            asked.append(call.rpc)
            raise error

        async def refuse_later(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.session_id != "s":
                return await proceed(call)
            asked.append(call.rpc)
            raise error

        chosen = refuse if kind == "plain" else refuse_later
        with connect(engine.endpoint, interceptors=[chosen]) as connection:
            before = connection.stats()
            for call in (
                lambda: connection.get_session("s"),
                lambda: connection.create_session("app", session_id="s"),
            ):
                with pytest.raises(type(error)) as caught:
                    call()
                assert caught.value is error
            assert asked == ["GetSession", "CreateSession"]
            assert connection.stats().retries == before.retries
            assert connection.stats().state == before.state
        assert engine.of("GetSession") == engine.of("CreateSession") == []

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_one_that_raises_to_end_the_process_ends_a_call(
        self, engine: GuardedEngine, kind: str, error: BaseException
    ) -> None:
        fail = [False]

        def plain(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if fail[0]:
                raise error
            return proceed(call)

        async def later(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            return plain(call, proceed) if fail[0] else await proceed(call)

        with connect(
            engine.endpoint, interceptors=[plain if kind == "plain" else later]
        ) as connection:
            fail[0] = True
            with pytest.raises((InternalError, RuntimeError)):  # of a coroutine Python's own text
                connection.get_session("s")
            fail[0] = False
            assert connection.get_session("s").id == "s"

    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_one_that_blocks_holds_up_its_call_and_nothing_else(
        self, engine: GuardedEngine, kind: str
    ) -> None:
        go = threading.Event()

        def block(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.session_id == "slow":
                go.wait(30.0)
            return proceed(call)

        async def hang(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.session_id == "slow":
                await asyncio.Event().wait()
            return await proceed(call)

        chosen = block if kind == "plain" else hang
        try:
            with connect(engine.endpoint, interceptors=[chosen]) as connection:
                with pytest.raises(DeadlineExceededError, match="interceptor"):
                    connection.get_session("slow", timeout=0.05)
                assert connection.get_session("s").id == "s"
                go.set()
        finally:
            go.set()

    def test_one_may_call_its_own_connection_which_is_not_intercepted(
        self, engine: GuardedEngine
    ) -> None:
        made: list[Connection] = []
        seen: list[str | None] = []

        def look(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            seen.append(call.session_id)
            if made:
                assert made[0].get_session("inner").id == "inner"
            return proceed(call)

        with connect(engine.endpoint, interceptors=[look, look]) as connection:
            seen.clear()
            made.append(connection)
            connection.get_session("s")
            made.clear()
        assert seen == ["s", "s"]
        assert len(engine.of("GetSession")) == 3

    def test_an_async_one_must_not_block_on_its_own_connection(self, engine: GuardedEngine) -> None:
        made: list[Connection] = []

        async def look(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if made:
                made[0].get_session("inner")
            return await proceed(call)

        with connect(engine.endpoint, interceptors=[look]) as connection:
            made.append(connection)
            with pytest.raises(InvalidStateError, match="would wait for itself"):
                connection.get_session("s")
            made.clear()

    @pytest.mark.parametrize(
        ("misuse", "text"),
        [
            (lambda call, proceed: None, "neither proceeded nor raised"),
            (lambda call, proceed: proceed(None), "must proceed with the call"),
            (lambda call, proceed: (proceed(call), proceed(call)), "a second time"),
        ],
    )
    def test_misuse_is_named(self, engine: GuardedEngine, misuse: Any, text: str) -> None:
        with pytest.raises(InvalidStateError, match=text):
            connect(engine.endpoint, interceptors=[misuse])

    def test_one_that_does_not_wait_for_its_call_is_named(self, engine: GuardedEngine) -> None:
        async def forgets(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> None:
            waiting = asyncio.ensure_future(proceed(call))
            await asyncio.sleep(0)
            waiting.cancel()

        async def use() -> None:
            with pytest.raises(InvalidStateError, match="ended before its call"):
                await aio.connect(engine.endpoint, interceptors=[forgets])

        asyncio.run(use())

    def test_a_refusal_of_a_watch_ends_no_reactor(self, engine: GuardedEngine) -> None:
        refused = threading.Event()

        def refuse(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.rpc in ("ListSession", "WatchTask"):
                refused.set()
                raise Refusal("not from here")
            return proceed(call)

        context = FlameContext(engine.endpoint, interceptors=[refuse])
        with Reactor(context=context, poll_interval=0.01) as reactor:
            reactor.register(TaskInformer())
            eventually(refused.is_set)
            assert reactor.state == "running"

    def test_what_a_call_of_its_own_starts_in_the_background_is_intercepted(
        self, engine: GuardedEngine
    ) -> None:
        """A watch that an interceptor began outlives it, and is no part of it."""
        seen: list[tuple[str, bool]] = []
        started: list[Any] = []

        async def note(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            seen.append((call.rpc, bool(started)))
            if call.rpc == "CreateTask" and not started:
                session = await made[0].get_session("s")
                started.append(await session.run(b"inner"))
            return await proceed(call)

        made: list[aio.Connection] = []

        async def use() -> None:
            async with await aio.connect(engine.endpoint, interceptors=[note]) as connection:
                made.append(connection)
                session = await connection.get_session("s")
                await session.create_task(b"outer")
                before = len(engine.of("GetSession"))
                while len(engine.of("GetSession")) == before:  # the hub reads the session
                    await asyncio.sleep(0.001)
            assert ("GetSession", True) in seen

        asyncio.run(use())

    def test_one_that_is_impatient_leaves_a_task_that_is_being_made(
        self, engine: GuardedEngine
    ) -> None:
        """Alone as in a map: the call is not cancelled on its way."""

        async def impatient(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            if call.rpc != "CreateTask":
                return await proceed(call)
            making = asyncio.ensure_future(proceed(call))
            while len(engine.of("CreateTask")) < started[0]:
                await asyncio.sleep(0)
            making.cancel()
            raise Refusal("too slow")

        started = [0]

        async def use() -> None:
            connecting = aio.connect(engine.endpoint, interceptors=[impatient])
            async with await connecting as connection:
                session = await connection.get_session("s")
                ledger = connection.link.frontend.claims.begin("s", b"y").ledger
                for made, create in enumerate(
                    (lambda: session.create_task(b"x"), lambda: session.run_many([b"x"])), 1
                ):
                    started[0] = made
                    with pytest.raises(Refusal):
                        await create()
                    while ledger.highest < made:
                        await asyncio.sleep(0.001)
            assert engine.cancelled == 0

        asyncio.run(use())

    def test_a_caller_that_is_cancelled_leaves_a_task_that_is_being_made(
        self, engine: GuardedEngine
    ) -> None:
        async def note(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            return await proceed(call)

        async def use() -> None:
            async with await aio.connect(engine.endpoint, interceptors=[note]) as connection:
                session = await connection.get_session("s")
                claims = connection.link.frontend.claims
                making = asyncio.ensure_future(session.create_task(b"x"))
                while not any(name == "CreateTask" for name, _ in engine.seen):
                    await asyncio.sleep(0)
                making.cancel()
                await asyncio.wait({making})
                other = claims.begin("s", b"y")
                ledger = other.ledger
                while set(ledger.active) != {other}:
                    await asyncio.sleep(0.001)
                assert ledger.highest == 1, "its reply was recorded"

        asyncio.run(use())


asked_for: contextvars.ContextVar[str] = contextvars.ContextVar("asked_for", default="")


class TestOfTheProcess:
    """An installed interceptor is around the calls of every connection, in the caller's context."""

    @pytest.mark.parametrize("kind", ["plain", "coroutine"])
    def test_it_sees_the_callers_context_whichever_way_a_task_is_made(
        self, engine: GuardedEngine, kind: str
    ) -> None:
        seen: list[tuple[str, str, str]] = []

        def note(call: OutgoingCall) -> None:
            seen.append((call.rpc, asked_for.get(), call.endpoint))

        def plain(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            note(call)
            return proceed(call)

        async def coroutine(call: OutgoingCall, proceed: Callable[[OutgoingCall], Any]) -> Any:
            note(call)
            return await proceed(call)

        async def use() -> None:
            async with await aio.connect(engine.endpoint) as connection:
                session = await connection.get_session("s")
                asked_for.set("aio")
                await session.create_task(b"x")

        undo = install_interceptor(plain if kind == "plain" else coroutine)
        try:
            with connect(engine.endpoint) as connection:
                session = connection.get_session("s")
                token = asked_for.set("create")
                session.create_task(b"x")
                asked_for.reset(token)
                token = asked_for.set("many")
                session.run_many([b"a", b"b"])
                asked_for.reset(token)
            asyncio.run(use())
        finally:
            undo()
        created = [(by, at) for rpc, by, at in seen if rpc == "CreateTask"]
        endpoint = engine.endpoint
        assert sorted(created) == [
            *(("aio", endpoint), ("create", endpoint), ("many", endpoint), ("many", endpoint))
        ]
        with connect(engine.endpoint) as connection:
            before = len(seen)
            connection.get_session("s")
            assert len(seen) == before, "it is undone for connections made later"
