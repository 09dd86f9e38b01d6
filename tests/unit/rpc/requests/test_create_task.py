"""Tasks of unknown fate: any history of lost requests and replies makes each task once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flamepy._proto import types_pb2
from flamepy.errors import (
    AmbiguousResultError,
    DeadlineExceededError,
    FlameError,
    InternalError,
    InvalidArgumentError,
    SessionClosedError,
    SessionNotFoundError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.rpc.requests.adoption import SESSIONS, Claims
from flamepy.rpc.requests.create_task import Creation, Series
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retrier import Retrier, disabled
from flamepy.rpc.transport.attempt import ON_WIRE, Transport
from flamepy.rpc.transport.calls import CallerLeft
from flamepy.testing import FakeClock
from flamepy.types import RetryPolicy, SessionInfo, SessionState, Task, TaskCounts, TaskState
from flamepy.wire.times import to_millis

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MANY = RetryPolicy(attempts=1000, timeout=None, wait_jitter=0.0, budget=False)
FATES = ["answered", "request lost", "reply lost", "unseen"]


def lost(failure: Failure = Failure.LOST) -> UnavailableError:
    error = UnavailableError("lost")
    error.failure = failure.value
    return error


class Engine:
    """A session as an engine keeps it, behind a network that loses what it is told to lose.

    It has what ``Creation`` needs of a frontend. A fate is "answered", "request lost", "reply
    lost" (the task is made) or "unseen" (a number is used up, and no task shows).
    """

    endpoint = "http://there"
    workspace = "default"

    def __init__(self, fates: list[str], delays: list[float], existing: int = 0) -> None:
        self.fates, self.delays = list(fates), list(delays)
        self.claims = Claims()
        calls: Any = self
        self.transport = Transport(calls, self.endpoint)
        self.retrier = Retrier(MANY)
        self.retrier.ever = True
        self.tasks: dict[int, Task] = {}
        self.last = 0
        self.born = NOW
        self.limits: list[float] = []
        self.reads: Counter[str] = Counter()
        for _ in range(existing):
            self.make(b"x")
        self.claims.saw(self.info())

    def info(self) -> SessionInfo:
        counts = TaskCounts(pending=len(self.tasks))
        return SessionInfo("s", "app", SessionState.OPEN, self.born, counts)

    def make(self, payload: bytes) -> Task:
        self.last += 1
        task = Task(str(self.last), "s", TaskState.PENDING, self.born, input=payload)
        self.tasks[self.last] = task
        return task

    async def rest(self) -> None:
        await asyncio.sleep(self.delays.pop() if self.delays else 0.0)

    async def detachable(
        self, name: str, request: Any, timeout: float, late: Any, *, leave: float, metadata: Any
    ) -> Any:
        """Make the call; one that takes longer than ``leave`` goes on, as ``Calls`` has it."""
        self.limits.append(timeout)
        sent = asyncio.ensure_future(self.send(request))

        def land(ended: asyncio.Future[Any]) -> None:
            late.land(None if ended.exception() else ended.result())

        try:
            await asyncio.wait({sent}, timeout=leave)
        except asyncio.CancelledError:
            late.detach()
            sent.add_done_callback(land)
            raise
        if not sent.done():
            late.detach()
            sent.add_done_callback(land)
            raise CallerLeft
        return sent.result()

    async def unary(self, name: str, request: Any, timeout: float, metadata: Any) -> Any:
        return await self.send(request)

    async def send(self, request: Any) -> Any:
        fate = self.fates.pop() if self.fates else "answered"
        await self.rest()
        if fate == "request lost":
            raise lost()
        if fate == "unseen":
            self.last += 1
            raise lost(Failure.INTERNAL if self.last % 2 else Failure.LOST)
        task = self.make(request.task.input)
        await self.rest()
        if fate == "reply lost":
            raise lost()
        made = types_pb2.Task(metadata=types_pb2.Metadata(id=task.id))
        made.status.creation_time = to_millis(task.creation_time)
        made.spec.session_id, made.spec.input = "s", task.input or b""
        return made

    async def get_task(self, session_id: str, task_id: str, **options: Any) -> Task:
        self.reads["GetTask"] += 1
        await self.rest()
        if int(task_id) not in self.tasks:
            raise TaskNotFoundError(task_id)
        return self.tasks[int(task_id)]

    async def get_session(self, session_id: str, **options: Any) -> SessionInfo:
        self.reads["GetSession"] += 1
        await self.rest()
        info = self.info()
        self.claims.saw(info)
        return info

    async def collect_tasks(self, session_id: str, **options: Any) -> list[Task]:
        self.reads["ListTask"] += 1
        found = list(self.tasks.values())
        await self.rest()
        return found

    async def create(self, payload: bytes, mode: str = "verify", **terms: Any) -> Task:
        bounds = replace(Terms(MANY, 60.0, 3600.0), **terms)
        made = Creation(self, "s", payload, mode, None)  # type: ignore[arg-type]  # stands for one
        return await made.run(bounds)

    def series(self, mode: str = "verify") -> Series:
        return Series(self, "s", Terms(MANY, 60.0, 3600.0), None, mode)  # type: ignore[arg-type]


def play(coroutine: Any) -> Any:
    loop = FakeClock().new_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


@settings(max_examples=300, deadline=None)
@given(
    fates=st.lists(st.sampled_from(FATES), max_size=80),
    delays=st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0]), max_size=200),
    payloads=st.lists(
        st.tuples(st.sampled_from([b"x", b"x", b"y", b""]), st.booleans()), min_size=1, max_size=40
    ),
    existing=st.integers(0, 5),
)
def test_concurrent_submissions_make_each_task_once(
    fates: list[str], delays: list[float], payloads: list[tuple[bytes, bool]], existing: int
) -> None:
    """One by one as ``run`` makes them, or in a series as ``map`` does."""
    fates = [fate for fate in fates if fate != "unseen"] + fates[:2]

    async def go() -> None:
        engine = Engine(fates, delays, existing)
        series = engine.series()

        async def create(payload: bytes, by_series: bool) -> int:
            if by_series:
                return (await series.create(payload)).number
            return int((await engine.create(payload)).id)

        ids = await asyncio.gather(*(create(*payload) for payload in payloads))
        assert len(set(ids)) == len(ids), "two submissions have one task"
        assert [engine.tasks[number].input for number in ids] == [one for one, _ in payloads]
        assert sorted(engine.tasks) == sorted([*range(1, existing + 1), *ids]), "one was doubled"

    play(go())


def test_a_reply_that_comes_after_its_task_was_adopted_finds_another() -> None:
    """A looks while B's equal call is under way and takes B's task: B must not take it, too."""

    async def go() -> None:
        engine = Engine(["answered", "request lost"], [])
        engine.delays = [0.0] * 6 + [5.0, 0.0, 0.0]  # B's reply is the last to come
        tasks = await asyncio.gather(engine.create(b"x"), engine.create(b"x"))
        assert {task.id for task in tasks} == {"1", "2"}
        assert len(engine.tasks) == 2

    play(go())


def test_a_thousand_lost_at_once_are_read_once_each() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"] * 1000, [])
        await asyncio.gather(*(engine.create(b"%d" % (number % 7)) for number in range(1000)))
        assert len(engine.tasks) == 1000
        assert engine.reads["ListTask"] <= 2
        assert engine.reads["GetTask"] < 1200  # one each for the answer, and the search

    play(go())


def test_a_gap_is_looked_behind() -> None:
    async def go() -> None:
        engine = Engine(["reply lost", "unseen", "unseen", "unseen"], [])
        first = [await engine.create(b"a"), await engine.create(b"a")]
        assert [task.id for task in first] == ["4", "5"]
        assert len(engine.tasks) == 2

    play(go())


def test_what_was_there_before_is_not_adopted() -> None:
    async def go() -> None:
        engine = Engine(["request lost"], [], existing=3)
        assert (await engine.create(b"x")).id == "4"

    play(go())


@pytest.mark.parametrize("fate", ["request lost", "reply lost"])
def test_raise_says_that_it_is_not_known(fate: str) -> None:
    async def go() -> None:
        engine = Engine([fate], [])
        with pytest.raises(AmbiguousResultError, match="may or may not have been made"):
            await engine.create(b"x", "raise")
        assert engine.reads == Counter()

    play(go())


def test_retry_is_at_least_once() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"], [])
        assert (await engine.create(b"x", "retry")).id == "2"
        assert engine.reads == Counter()

    play(go())


def test_not_sent_is_sent_again_without_a_look() -> None:
    async def go() -> None:
        engine = Engine([], [])
        failures = [lost(Failure.NOT_SENT), lost(Failure.LOCKED)]
        sent = engine.detachable

        async def detachable(*arguments: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await sent(*arguments, **options)

        engine.detachable = detachable  # type: ignore[method-assign]  # in between
        assert (await engine.create(b"x")).id == "1"
        assert engine.reads == Counter()

    play(go())


def test_a_session_that_was_not_seen_is_read_before_the_first_task() -> None:
    async def go() -> None:
        engine = Engine(["request lost"], [], existing=2)
        engine.claims = Claims()

        async def get_session(session_id: str, **options: Any) -> SessionInfo:
            engine.reads["GetSession"] += 1
            engine.claims.saw(engine.info())
            return engine.info()

        engine.get_session = get_session  # type: ignore[method-assign]  # as the frontend does
        assert (await engine.create(b"x")).id == "3"
        assert (await engine.create(b"x")).id == "4"
        assert engine.reads["GetSession"] <= 2

    play(go())


def test_when_it_cannot_be_read_it_is_ambiguous() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"], [])

        async def get_task(*arguments: Any, **options: Any) -> Task:
            raise UnavailableError("away")

        engine.get_task = get_task  # type: ignore[method-assign]  # it is away
        with pytest.raises(AmbiguousResultError) as caught:
            await engine.create(b"x")
        assert caught.value.grpc_code is None
        assert "away" in caught.value.message

    play(go())


def test_a_task_that_was_found_and_cannot_be_read_is_found_again() -> None:
    """The engine answers INTERNAL when its answer is fetched: it is looked for, not made again."""

    async def go() -> None:
        engine = Engine(["reply lost"], [])
        reads, fetched = engine.get_task, []

        async def get_task(session_id: str, task_id: str, **options: Any) -> Task:
            task = await reads(session_id, task_id, **options)
            fetched.append(task_id)
            if fetched == ["1", "1"]:  # found by the first, fetched by the second
                error = InternalError("oops")
                error.failure = Failure.INTERNAL.value
                raise error
            return task

        engine.get_task = get_task  # type: ignore[method-assign]  # one of its answers fails
        assert (await engine.create(b"x")).id == "1"
        assert fetched[:2] == ["1", "1"]
        assert sorted(engine.tasks) == [1]

    play(go())


@pytest.mark.parametrize("forgotten", ["the session was deleted", "many others were used"])
def test_a_task_whose_caller_left_is_not_adopted_by_an_equal_submission(forgotten: str) -> None:
    """What is known of its session stays while the call is under way."""

    async def go() -> None:
        engine = Engine(["request lost", "answered"], [5.0])
        with pytest.raises(DeadlineExceededError):
            await engine.create(b"x", timeout=1.0)
        if forgotten == "the session was deleted":
            engine.claims.forget("s")
        else:
            for number in range(2 * SESSIONS):
                engine.claims.saw(replace(engine.info(), id=str(number)))
        engine.claims.saw(engine.info())
        engine.delays = [9.0]
        assert engine.tasks == {}, "the first one is still under way"
        made = await engine.create(b"x")  # lost after the first one's task was made
        assert made.id == "2"
        assert sorted(engine.tasks) == [1, 2]

    play(go())


@pytest.mark.parametrize("end", ["its time is up", "it is cancelled"])
def test_a_call_goes_on_without_its_caller_for_minutes_and_is_known_to_do_so(end: str) -> None:
    """An engine whose handler is cut in the middle may keep a task that nobody sees."""

    async def go() -> None:
        engine = Engine(["request lost", "answered"], [200.0])
        if end == "its time is up":
            with pytest.raises(DeadlineExceededError):
                await engine.create(b"x", timeout=1.0)
        else:
            caller = asyncio.ensure_future(engine.create(b"x", timeout=1.0))
            await asyncio.sleep(0.5)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
        assert engine.limits == [ON_WIRE]
        engine.claims.forget("s")
        assert engine.claims.knows("s"), "its task may still be made"
        await asyncio.sleep(201.0)
        assert sorted(engine.tasks) == [1]
        engine.claims.forget("s")
        assert not engine.claims.knows("s")
        engine.claims.saw(engine.info())
        await engine.create(b"x", timeout=2 * ON_WIRE)
        assert engine.limits[1] == 2 * ON_WIRE

    play(go())


def test_the_reading_of_the_session_counts_for_the_time_of_the_call() -> None:
    async def go() -> None:
        for reading, left in ((3.0, 1.0), (0.5, 3.5)):
            engine = Engine([], [left + 5.0])
            engine.claims = Claims()
            given: list[float] = []

            async def get_session(
                session_id: str,
                *,
                engine: Engine = engine,
                given: list[float] = given,
                reading: float = reading,
                **options: Any,
            ) -> SessionInfo:
                given.append(options["timeout"])
                await asyncio.sleep(reading)
                engine.claims.saw(engine.info())
                return engine.info()

            engine.get_session = get_session  # type: ignore[method-assign]  # it is slow
            start = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineExceededError):
                await engine.create(b"x", timeout=4.0)
            assert given == [pytest.approx(4.0)]
            assert asyncio.get_running_loop().time() - start == pytest.approx(4.0)

    play(go())


def test_what_a_search_reads_has_what_is_left_of_the_time_of_the_call() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"], [], existing=1)
        now = asyncio.get_running_loop().time
        reads, end, given = engine.get_task, now() + 10.0, []

        async def get_task(session_id: str, task_id: str, **options: Any) -> Task:
            given.append(now() + options["timeout"])
            await asyncio.sleep(1.0)
            return await reads(session_id, task_id, **options)

        engine.get_task = get_task  # type: ignore[method-assign]  # it is slow
        assert (await engine.create(b"x", timeout=10.0)).id == "2"
        assert len(given) > 2
        assert given == [pytest.approx(end, abs=0.1)] * len(given)

    play(go())


@pytest.mark.parametrize("code", ["NOT_FOUND", "INTERNAL"])
def test_a_session_that_refuses_a_task_is_gone_or_closed(code: str) -> None:
    """On sqlite a closed one refuses with INTERNAL and the words for one that is gone."""

    async def go() -> None:
        engine = Engine([], [])

        async def detachable(*arguments: Any, **options: Any) -> Any:
            error = SessionNotFoundError("no such session", grpc_code=code)
            error.failure = Failure.REFUSED.value
            raise error

        engine.detachable = detachable  # type: ignore[method-assign]  # it refuses
        kind = SessionNotFoundError if code == "NOT_FOUND" else SessionClosedError
        with pytest.raises(kind, match="no such session") as caught:
            await engine.create(b"x")
        assert type(caught.value) is kind
        assert caught.value.grpc_code == code
        assert engine.reads["GetSession"] == (code == "INTERNAL")
        engine.claims.forget("s")
        assert not engine.claims.knows("s"), "nothing is under way any more"

    play(go())


def test_a_series_does_about_a_doubt_what_it_was_given() -> None:
    async def go() -> None:
        with pytest.raises(AmbiguousResultError):
            await Engine(["reply lost"], []).series("raise").create(b"x")
        assert (await Engine(["reply lost"], []).series("retry").create(b"x")).number == 2
        assert (await Engine(["reply lost"], []).series("verify").create(b"x")).number == 1

    play(go())


def test_without_retries_the_first_error_of_a_series_is_raised() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"], [])
        with disabled(), pytest.raises(UnavailableError):
            await engine.series().create(b"x")
        assert engine.reads == Counter()
        engine.claims.forget("s")
        assert not engine.claims.knows("s"), "nothing is under way any more"

    play(go())


def test_a_series_counts_its_calls_and_keeps_nothing_of_one_that_broke_off() -> None:
    async def go() -> None:
        engine = Engine([], [])
        series = engine.series()
        made = [await series.create(b"x") for _ in range(3)]
        assert [(one.number, one.born) for one in made] == [(1, NOW), (2, NOW), (3, NOW)]
        assert engine.retrier.counters.calls == 3

        async def unary(*arguments: Any) -> Any:
            raise RuntimeError("a bug")

        engine.unary = unary  # type: ignore[method-assign]  # it has one
        with pytest.raises(RuntimeError, match="a bug"):
            await series.create(b"x")
        engine.claims.forget("s")
        assert not engine.claims.knows("s"), "nothing is under way any more"

    play(go())


def test_a_mode_that_is_none_is_refused() -> None:
    async def go() -> None:
        engine = Engine([], [])
        with pytest.raises(InvalidArgumentError, match="on_ambiguous must be"):
            await engine.create(b"x", "always")
        with pytest.raises(InvalidArgumentError, match="on_ambiguous must be"):
            engine.series("always")
        assert engine.tasks == {}

    play(go())


@example(  # the reply is lost when no time is left to look the task up
    fates=["reply lost"], delays=[0.01, 1.0, 1.0, 1.0], patience=[2.0, 0.5], existing=0
)
@settings(max_examples=150, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["answered", "request lost", "reply lost"]), max_size=40),
    delays=st.lists(st.sampled_from([0.0, 0.01, 0.1, 1.0, 3.0]), max_size=120),
    patience=st.lists(st.sampled_from([0.5, 2.0, 60.0]), min_size=1, max_size=15),
    existing=st.integers(0, 3),
)
def test_callers_who_leave_take_no_task_from_those_who_stay(
    fates: list[str], delays: list[float], patience: list[float], existing: int
) -> None:
    async def go() -> None:
        engine = Engine(fates, delays, existing)
        made = await asyncio.gather(
            *(engine.create(b"x", timeout=seconds) for seconds in patience), return_exceptions=True
        )
        await asyncio.sleep(400.0)  # until the last call that was left has ended
        tasks = [one for one in made if isinstance(one, Task)]
        doubts = sum(isinstance(one, (DeadlineExceededError, AmbiguousResultError)) for one in made)
        refused = sum(type(one) is UnavailableError for one in made)  # looked for and not found
        assert len(tasks) + doubts + refused == len(made)
        ids = {int(task.id) for task in tasks}
        assert len(ids) == len(tasks), "two submissions have one task"
        assert ids <= set(engine.tasks) - set(range(1, existing + 1))
        assert len(engine.tasks) - existing <= len(tasks) + doubts, "one was doubled"
        assert not engine.claims.begin("s", b"").ledger._taken, "nothing of them is kept"

    play(go())


def test_who_has_less_time_does_not_wait_for_one_that_reads_longer() -> None:
    async def go() -> None:
        engine = Engine(["request lost", "request lost"], [])
        reads = engine.get_task

        async def slowly(*arguments: Any, **options: Any) -> Task:
            await asyncio.sleep(30.0)
            return await reads(*arguments, **options)

        engine.get_task = slowly  # type: ignore[method-assign]  # its answers are late
        patient = asyncio.ensure_future(engine.create(b"x"))
        await asyncio.sleep(0.5)
        start = asyncio.get_running_loop().time()
        with pytest.raises(AmbiguousResultError):
            await engine.create(b"x", timeout=2.0)
        assert asyncio.get_running_loop().time() - start <= 2.001
        assert (await patient).id == "1"

    play(go())


def test_a_refusal_is_no_doubt() -> None:
    async def go() -> None:
        engine = Engine([], [])

        async def detachable(*arguments: Any, **options: Any) -> Any:
            error = FlameError(3, "no")  # type: ignore[arg-type]  # any error
            error.failure = Failure.REFUSED.value
            raise error

        engine.detachable = detachable  # type: ignore[method-assign]  # it refuses
        with pytest.raises(FlameError, match="no"):
            await engine.create(b"x")
        assert engine.reads == Counter()

    play(go())


def test_a_task_that_was_known_before_is_not_adopted_when_an_older_call_had_it_read() -> None:
    async def go() -> None:
        engine = Engine([], [])
        older = engine.claims.begin("s", b"y")
        engine.make(b"x")  # by somebody else
        engine.claims.saw(engine.info())
        engine.fates = ["request lost"]
        assert (await engine.create(b"x")).id == "2"
        older.ledger.end(older)

    play(go())


def test_another_session_of_the_same_id_begins_anew() -> None:
    claims = Claims()
    info = SessionInfo("s", "app", SessionState.OPEN, NOW, TaskCounts(succeed=9))
    claims.saw(info)
    assert claims.begin("s", b"").floor == 9
    claims.saw(replace(info, counts=TaskCounts(succeed=5)))
    assert claims.begin("s", b"").floor == 9
    claims.saw(replace(info, creation_time=datetime.now(timezone.utc), counts=TaskCounts()))
    assert claims.begin("s", b"").floor == 0


def another(engine: Engine, later: float = 9.0) -> None:
    """Let the engine lose everything; somebody opens the session again."""
    engine.tasks.clear()
    engine.last = 0
    engine.born += timedelta(seconds=later)


@pytest.mark.parametrize("seen", [False, True])
def test_submissions_from_before_and_after_a_loss_have_tasks_of_their_own(seen: bool) -> None:
    """One is under way when the engine loses its state, one comes after; both are lost once."""

    async def go() -> None:
        engine = Engine(["reply lost", "reply lost"], [0.0, 1.0, 1.0, 0.0], existing=5)
        first = asyncio.ensure_future(engine.create(b"x"))
        await asyncio.sleep(0.5)  # it is on its way
        another(engine)
        if seen:
            engine.claims.saw(engine.info())
        tasks = await asyncio.gather(first, engine.create(b"x"))
        assert sorted(task.id for task in tasks) == ["1", "2"]
        assert sorted(engine.tasks) == [1, 2]

    play(go())


@pytest.mark.parametrize("later", [1.0, 9.0])  # s; the first is no other creation time
@pytest.mark.parametrize("existing", [1, 2, 5])
def test_numbers_that_begin_anew_mean_another_session(later: float, existing: int) -> None:
    async def go() -> None:
        engine = Engine([], [], existing)
        another(engine, later)
        older = engine.claims.begin("s", b"y")
        assert (await engine.create(b"x")).id == "1"
        engine.fates = ["reply lost"]
        assert (await engine.create(b"x")).id == "2"
        assert sorted(engine.tasks) == [1, 2]
        older.ledger.end(older)

    play(go())


@pytest.mark.parametrize("later", [1.0, 9.0])  # s; the first is no other creation time
def test_the_last_number_before_a_loss_is_a_new_task_after_it(later: float) -> None:
    """It is one that was got before as well, and the engine gives it again."""

    async def go() -> None:
        engine = Engine([], [])
        older = engine.claims.begin("s", b"y")  # keeps what was got from being forgotten
        assert (await engine.create(b"x")).id == "1"
        another(engine, later)
        assert (await engine.create(b"x")).id == "1"
        assert sorted(engine.tasks) == [1], "it was taken for the old one, and another one made"
        older.ledger.end(older)

    play(go())


def test_a_task_that_was_got_before_the_loss_was_noticed_stays_taken() -> None:
    async def go() -> None:
        engine = Engine(["answered", "request lost"], [0.0, 0.0, 0.0, 1.0])
        another(engine)
        late = asyncio.ensure_future(engine.create(b"x"))
        await asyncio.sleep(0.5)  # it is on its way
        first = await engine.create(b"x")
        assert first.id == "1"
        assert (await late).id == "2", "the first one's task was adopted"

    play(go())


def test_a_loss_that_the_reading_brings_to_light_has_it_read_again() -> None:
    async def go() -> None:
        engine = Engine(["reply lost"], [], existing=5)
        another(engine)  # nobody has seen it yet
        assert (await engine.create(b"x")).id == "1"
        assert sorted(engine.tasks) == [1]

    play(go())


def test_a_creation_time_that_a_restart_rounds_is_the_same_session() -> None:
    async def go() -> None:
        engine = Engine(["request lost"], [1.0], existing=1)  # of equal input, by somebody else
        creating = asyncio.ensure_future(engine.create(b"x"))
        await asyncio.sleep(0.5)  # it is on its way
        engine.born -= timedelta(milliseconds=900)
        engine.claims.saw(engine.info())
        assert (await creating).id == "2", "what was there before was adopted"

    play(go())


@pytest.mark.parametrize("kind", ["one by one", "series"])
def test_what_is_remembered_is_bounded(kind: str) -> None:
    async def go() -> None:
        engine = Engine([], [])
        blocking = asyncio.ensure_future(engine.create(b"y"))
        create = engine.create if kind == "one by one" else engine.series().create
        for _ in range(3000):
            await create(b"x")
        await blocking
        ledger = engine.claims.begin("s", b"").ledger
        assert len(ledger._taken) < 1000
        for number in range(9000):
            engine.claims.saw(replace(engine.info(), id=str(number)))
        assert len(engine.claims._ledgers) < 5000

    play(go())
