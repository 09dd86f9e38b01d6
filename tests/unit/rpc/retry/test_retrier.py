"""How a call is repeated: tries, patience, budget, time; time comes from the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import (
    AlreadyExistsError,
    AmbiguousResultError,
    ApplicationNotFoundError,
    ConnectionClosedError,
    FlameError,
    FlameErrorCode,
    InvalidArgumentError,
    UnavailableError,
)
from flamepy.rpc.retry.budget import Budget
from flamepy.rpc.retry.call_limits import Terms, check_options
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retrier import Retrier
from flamepy.testing import RETRY_AT_ONCE, FakeClock, retries_disabled
from flamepy.types import RetryDetails, RetryPolicy

QUICK = RetryPolicy(attempts=4, wait_initial=0.1, wait_max=1.0, wait_jitter=0.0, timeout=None)
AWAY, LOST = Failure.NOT_SENT, Failure.LOST


def failed(failure: Failure, text: str = "away") -> UnavailableError:
    error = UnavailableError(text)
    error.failure = failure.value
    return error


class Script:
    """Fails as told, then answers; notes when it was tried."""

    def __init__(self, *failures: Failure | FlameError, repeat: Failure | None = None) -> None:
        self.failures = list(failures)
        self.repeat = repeat
        self.times: list[float] = []
        self.limits: list[float] = []
        self.takes = 0.0

    async def __call__(self, left: float) -> str:
        loop = asyncio.get_running_loop()
        self.times.append(loop.time())
        self.limits.append(left)
        if self.takes:
            await asyncio.sleep(min(self.takes, left))
        if self.failures:
            failure = self.failures.pop(0)
        elif self.repeat is not None:
            failure = self.repeat
        else:
            return "answer"
        raise failure if isinstance(failure, FlameError) else failed(failure)


def play(make: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, float]:
    """Run a coroutine in the time of a fake clock; return its result and how long it took."""
    clock = FakeClock()
    loop = clock.new_loop()
    try:
        start = loop.time()
        return loop.run_until_complete(make()), loop.time() - start
    finally:
        loop.close()


def retrier(policy: RetryPolicy = QUICK, **options: Any) -> Retrier:
    made = Retrier(policy, **options)
    made.ever = True
    return made


def ask(
    script: Script,
    *,
    call: str = "GetSession",
    policy: RetryPolicy = QUICK,
    patience: float = 60.0,
    timeout: float | None = None,
    made: Retrier | None = None,
) -> tuple[Any, float]:
    async def go() -> Any:
        terms = Terms(policy, patience, timeout)
        try:
            return await (made or retrier(policy)).run(call, terms, script)
        except FlameError as error:
            return error

    return play(go)


def asking(seconds: float, failure: Failure = Failure.UNAVAILABLE) -> FlameError:
    """Return the refusal of a server that says when to come back."""
    error = failed(failure)
    error.retry_after = seconds
    return error


def gaps(script: Script) -> list[float]:
    return [after - before for before, after in zip(script.times, script.times[1:], strict=False)]


class TestAServerThatSaysWhen:
    def test_it_is_waited_for_and_the_policys_time_does_not_count_it(self) -> None:
        script = Script(asking(30.0), asking(45.0))
        answer, took = ask(script, policy=RetryPolicy(timeout=5.0, wait_jitter=0.0))
        assert answer == "answer"
        assert gaps(script) == pytest.approx([30.0, 45.0], abs=0.01)
        assert took == pytest.approx(75.0, abs=0.01)

    def test_a_wait_of_the_policy_that_is_longer_stays(self) -> None:
        script = Script(asking(0.01))
        ask(script, policy=RetryPolicy(wait_initial=1.0, wait_jitter=0.0))
        assert gaps(script) == pytest.approx([1.0], abs=0.01)

    def test_more_than_the_patience_is_not_waited_for(self) -> None:
        script = Script(repeat=asking(61.0))
        error, took = ask(script, patience=60.0)
        assert (len(script.times), error.retry_after) == (1, 61.0)
        assert took < 0.01

    def test_nor_is_more_than_the_call_has_left(self) -> None:
        script = Script(repeat=asking(8.0))
        _, took = ask(script, timeout=5.0)
        assert len(script.times) == 1
        assert took < 0.01

    def test_never_is_obeyed(self) -> None:
        script = Script(repeat=asking(float("inf")))
        error, _ = ask(script)
        assert isinstance(error, FlameError)
        assert len(script.times) == 1

    def test_a_write_of_unknown_fate_that_is_not_sent_again_is_still_looked_up(self) -> None:
        async def go() -> Any:
            async def resolve(error: FlameError, left: float) -> str:
                return "found"

            terms = Terms(QUICK, 60.0)
            script = Script(repeat=asking(float("inf"), Failure.LOST))
            return await retrier().run("CloseSession", terms, script, resolve)

        assert play(go)[0] == "found"


class TestTries:
    def test_waits_double_and_the_policy_ends_it(self) -> None:
        script = Script(repeat=LOST)
        error, took = ask(script)
        assert isinstance(error, UnavailableError)
        assert error.attempts == len(script.times) == 4
        gaps = [b - a for a, b in zip(script.times, script.times[1:], strict=False)]
        assert gaps == pytest.approx([0.1, 0.2, 0.4], abs=0.01)
        assert error.elapsed == pytest.approx(took, abs=0.01)

    def test_the_policys_time_ends_it_too(self) -> None:
        slow = RetryPolicy(
            attempts=99, wait_initial=1.0, wait_max=1.0, wait_jitter=0.0, timeout=3.5
        )
        script = Script(repeat=LOST)
        ask(script, policy=slow)
        assert len(script.times) == 4

    def test_jitter_is_added(self) -> None:
        jittered = RetryPolicy(wait_initial=0.0, wait_jitter=1.0)
        gaps = set()
        for _ in range(5):
            script = Script(LOST)
            ask(script, policy=jittered)
            gaps.add(script.times[1] - script.times[0])
        assert len(gaps) == 5
        assert max(gaps) <= 1.01

    def test_an_unknown_internal_is_repeated_twice_only(self) -> None:
        script = Script(repeat=Failure.INTERNAL)
        ask(script, policy=RetryPolicy(attempts=50, timeout=None))
        assert len(script.times) == 3

    def test_without_waits_it_is_repeated_at_once(self) -> None:
        answer, took = ask(Script(LOST, LOST, LOST), policy=RETRY_AT_ONCE)
        assert answer == "answer"
        assert took < 0.01

    def test_disabled_it_raises_the_first_error_as_it_came(self) -> None:
        script = Script(LOST)
        with retries_disabled():
            error, _ = ask(script)
        assert isinstance(error, UnavailableError)
        assert len(script.times) == 1
        assert ask(Script(LOST))[0] == "answer"

    def test_each_further_try_is_told_before_the_wait_for_it(self) -> None:
        told: list[RetryDetails] = []
        ask(Script(AWAY, LOST, LOST), made=retrier(scheduled=told.append))
        assert [(one.call, one.attempt) for one in told] == [("GetSession", 1), ("GetSession", 2)]
        assert [round(one.delay, 1) for one in told] == [0.1, 0.2]
        assert all(one.error.failure == "connection lost" for one in told)

    def test_an_application_that_a_fresh_engine_does_not_know_yet_is_asked_for_again(self) -> None:
        def unknown() -> ApplicationNotFoundError:
            error = ApplicationNotFoundError("app")
            error.failure = Failure.REFUSED.value
            return error

        async def go(call: str, back: float) -> int:
            made = retrier()
            made.back_at = asyncio.get_running_loop().time() - back
            script = Script(unknown())
            try:
                await made.run(call, Terms(QUICK, 60.0), script)
            except ApplicationNotFoundError:
                return 1
            return len(script.times)

        assert play(lambda: go("OpenSession", 1.0))[0] == 2
        assert play(lambda: go("OpenSession", 9.0))[0] == 1
        assert play(lambda: go("UpdateApplication", 1.0))[0] == 1


class TestPatience:
    def test_an_outage_within_it_costs_no_try_and_no_token(self) -> None:
        made = retrier()

        async def go() -> str:
            loop = asyncio.get_running_loop()
            back = loop.time() + 55.0

            async def attempt(left: float) -> str:
                if loop.time() < back:
                    made.missed()
                    raise failed(AWAY)
                return "answer"

            return await made.run("CreateTask", Terms(QUICK, 60.0), attempt)

        answer, took = play(go)
        assert answer == "answer"
        assert 55.0 <= took < 56.0  # noticed within a second
        assert made.counters.retries == 0
        assert made.budget.left == made.budget.capacity

    def test_a_longer_one_is_an_error_when_it_is_over(self) -> None:
        error, took = ask(Script(repeat=AWAY), patience=30.0)
        assert isinstance(error, UnavailableError)
        assert took == pytest.approx(30.0, abs=0.1)

    def test_each_outage_has_its_own(self) -> None:
        made = retrier()

        async def go() -> str:
            loop = asyncio.get_running_loop()
            start = loop.time()
            losses = [failed(LOST)]

            async def attempt(left: float) -> str:
                spent = loop.time() - start
                if spent > 25.0 and losses:
                    raise losses.pop()
                if spent < 50.0:
                    raise failed(AWAY)
                return "answer"

            return await made.run("GetSession", Terms(QUICK, 30.0, 100.0), attempt)

        assert play(go)[0] == "answer"

    def test_before_the_first_answer_it_is_short(self) -> None:
        made = retrier()
        made.ever = False
        error, took = ask(Script(repeat=AWAY), patience=600.0, made=made)
        assert isinstance(error, UnavailableError)
        assert took == pytest.approx(10.0, abs=0.1)

    def test_without_any_an_outage_costs_tries(self) -> None:
        script = Script(repeat=AWAY)
        ask(script, patience=0.0)
        assert len(script.times) == 4

    def test_after_a_minute_it_rests_longer(self) -> None:
        made = retrier()
        script = Script(repeat=AWAY)

        async def go() -> None:
            made.missed()
            with pytest.raises(UnavailableError):
                await made.run("GetSession", Terms(QUICK, 600.0), script)

        play(go)
        gaps = [b - a for a, b in zip(script.times, script.times[1:], strict=False)]
        young = [
            gap for gap, at in zip(gaps, script.times, strict=False) if at < script.times[0] + 60
        ]
        assert max(young) <= 0.5
        assert 20.0 <= max(gaps) <= 30.0

    def test_all_that_wait_go_on_when_one_is_answered_and_few_ask(self) -> None:
        made = retrier()
        tries = 0

        async def go() -> list[float]:
            loop = asyncio.get_running_loop()
            start = loop.time()
            made.missed()

            async def attempt(left: float) -> float:
                nonlocal tries
                tries += 1
                if loop.time() < start + 40.0:
                    raise failed(AWAY)
                made.answered()
                return loop.time() - start

            calls = [made.run("GetTask", Terms(QUICK, 60.0), attempt) for _ in range(500)]
            return await asyncio.gather(*calls)

        ends, _ = play(go)
        assert max(ends) < 41.0
        assert tries < 500 * 3 + 40 * 40


class TestTime:
    @given(
        failures=st.lists(st.sampled_from([AWAY, LOST, Failure.LOCKED, Failure.DEADLINE])),
        takes=st.floats(0.0, 5.0),
        timeout=st.floats(0.01, 20.0),
    )
    def test_a_call_ends_within_its_timeout_whatever_happens(
        self, failures: list[Failure], takes: float, timeout: float
    ) -> None:
        script = Script(*failures, repeat=AWAY)
        script.takes = takes
        _, took = ask(script, timeout=timeout, policy=RetryPolicy(attempts=99, timeout=None))
        assert took <= timeout + 0.01

    def test_without_a_timeout_a_try_has_thirty_seconds(self) -> None:
        script = Script(AWAY, LOST)
        ask(script)
        assert script.limits == [30.0, 30.0, 30.0]

    def test_without_a_timeout_it_ends_thirty_seconds_after_its_patience(self) -> None:
        script = Script(repeat=AWAY)
        script.takes = 1.0
        _, took = ask(script, patience=45.0)
        assert took <= 75.0


class TestBudget:
    def test_ten_repeats_then_calls_fail_fast_and_say_so(self) -> None:
        made = retrier()
        for _ in range(10):
            assert ask(Script(Failure.LOCKED), made=made)[0] == "answer"
            made.budget.left -= made.budget.left % 1.0  # what the answer gave back
        error, _ = ask(Script(Failure.LOCKED), made=made)
        assert isinstance(error, UnavailableError)
        assert "retry budget is used up" in error.message
        assert made.counters.refused_retries == 1

    def test_a_policy_may_do_without_or_have_another_size(self) -> None:
        none = RetryPolicy(budget=0.0)
        assert isinstance(ask(Script(Failure.LOCKED), policy=none)[0], UnavailableError)
        free = RetryPolicy(budget=False)
        assert ask(Script(Failure.LOCKED), policy=free, made=Retrier(none))[0] == "answer"

    def test_answers_give_a_tenth_back_up_to_its_size(self) -> None:
        budget = Budget(2.0)
        assert budget.take(0.0, lost=False)
        assert budget.take(0.0, lost=False)
        assert not budget.take(0.0, lost=False)
        for _ in range(10):
            budget.answered()
        assert budget.take(0.0, lost=False)
        for _ in range(99):
            budget.answered()
        assert budget.left == 2.0

    def test_calls_that_lose_one_connection_pay_once(self) -> None:
        budget = Budget(2.0)
        assert all(budget.take(1.0 + number / 1000, lost=True) for number in range(100))
        assert budget.left == 1.0
        assert budget.take(2.0, lost=True)
        assert not budget.take(3.0, lost=True)


class TestResolving:
    def run(self, found: object, *failures: Failure, attempts: int = 4) -> tuple[Any, Script]:
        script = Script(*failures)

        async def resolve(error: FlameError, left: float) -> Any:
            if isinstance(found, FlameError):
                raise found
            return found

        async def go() -> Any:
            policy = RetryPolicy(attempts=attempts)
            try:
                return await retrier().run("CreateTask", Terms(policy, 9.0), script, resolve)
            except FlameError as error:
                return error

        return play(go)[0], script

    def test_what_happened_is_not_sent_again(self) -> None:
        answer, script = self.run("found", LOST)
        assert answer == "found"
        assert len(script.times) == 1

    def test_after_the_last_try_it_is_looked_up_as_well(self) -> None:
        answer, script = self.run("found", LOST, attempts=1)
        assert answer == "found"
        assert len(script.times) == 1
        error, _ = self.run(None, LOST, attempts=1)
        assert isinstance(error, UnavailableError)

    def test_what_cannot_be_read_is_ambiguous(self) -> None:
        error, _ = self.run(UnavailableError("no"), LOST)
        assert isinstance(error, AmbiguousResultError)
        assert isinstance(error.__cause__, UnavailableError)

    @pytest.mark.parametrize(
        "failure", [Failure.INTERNAL, Failure.EXHAUSTED, Failure.ABORTED, Failure.LOCKED]
    )
    @pytest.mark.parametrize("attempts", [1, 4])
    def test_a_read_that_fails_otherwise_is_ambiguous_too(
        self, failure: Failure, attempts: int
    ) -> None:
        """Its own error would say that the call may be made again; then there may be two."""
        read = FlameError(FlameErrorCode.INTERNAL, "unreadable", retryable=True)
        read.failure = failure.value
        error, script = self.run(read, LOST, attempts=attempts)
        assert isinstance(error, AmbiguousResultError)
        assert not error.retryable
        assert error.__cause__ is read
        assert error.message.endswith("away; unreadable")
        assert (error.attempts >= 1, len(script.times)) == (True, 1)

    def test_a_read_that_succeeds_later_settles_it(self) -> None:
        read = FlameError(FlameErrorCode.INTERNAL, "unreadable", retryable=True)
        read.failure = Failure.INTERNAL.value
        looks = [read, None]
        script = Script(LOST)

        async def resolve(error: FlameError, left: float) -> Any:
            look = looks.pop(0)
            if look is not None:
                raise look
            return look

        async def go() -> Any:
            return await retrier().run("CreateTask", Terms(QUICK, 9.0), script, resolve)

        assert play(go)[0] == "answer"
        assert len(script.times) == 2

    @pytest.mark.parametrize(
        ("call", "late"),
        [
            ("RegisterApplication", True),
            ("UnregisterApplication", True),
            ("DeleteSession", True),
            ("CreateTask", False),
        ],
    )
    @pytest.mark.parametrize("refusal", [AlreadyExistsError("there"), ApplicationNotFoundError("")])
    def test_a_refusal_of_the_second_may_mean_that_the_first_was_late(
        self, call: str, late: bool, refusal: FlameError
    ) -> None:
        """The engine lives and executed the lost call after it had been looked for."""
        looks = [None, "found"]
        script = Script(LOST, refusal)

        async def resolve(error: FlameError, left: float) -> Any:
            return looks.pop(0)

        async def go() -> Any:
            try:
                return await retrier().run(call, Terms(QUICK, 9.0), script, resolve)
            except FlameError as error:
                return error

        assert play(go)[0] == ("found" if late else refusal)

    def test_a_refusal_of_the_first_is_final(self) -> None:
        refused = AlreadyExistsError("there")
        script = Script(refused)

        async def resolve(error: FlameError, left: float) -> Any:
            raise AssertionError("nobody doubts it")

        async def go() -> Any:
            with pytest.raises(AlreadyExistsError):
                await retrier().run("RegisterApplication", Terms(QUICK, 9.0), script, resolve)

        play(go)

    def test_a_refusal_of_the_read_is_the_answer(self) -> None:
        refused = ApplicationNotFoundError("gone")
        assert self.run(refused, LOST)[0] is refused


class TestEnd:
    def test_waits_end_at_once_when_it_is_closed(self) -> None:
        async def go() -> float:
            made = retrier()
            loop = asyncio.get_running_loop()
            slow = RetryPolicy(wait_initial=60.0, wait_max=60.0, timeout=None)
            terms = Terms(slow, 600.0, 600.0)
            calls = [
                asyncio.ensure_future(made.run("GetSession", terms, Script(repeat=failure)))
                for failure in (LOST, AWAY)
            ]
            await asyncio.sleep(0.05)
            start = loop.time()
            made.close("the connection was closed")
            for call in calls:
                with pytest.raises(ConnectionClosedError):
                    await call
            with pytest.raises(ConnectionClosedError):
                await made.run("GetSession", terms, Script(LOST))
            return loop.time() - start

        assert play(go)[0] < 0.01

    def test_a_cancelled_wait_ends_at_once(self) -> None:
        async def go() -> int:
            script = Script(repeat=LOST)
            slow = RetryPolicy(attempts=99, wait_initial=60.0, wait_max=60.0)
            job = asyncio.create_task(retrier().run("GetSession", Terms(slow, 600.0), script))
            await asyncio.sleep(0.01)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            return len(script.times)

        assert asyncio.run(go()) == 1


class TestPolicies:
    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({"attempts": 0}, "attempts must be a whole number, 1 or more, got 0"),
            ({"attempts": True}, "attempts must be"),
            ({"timeout": 0}, "timeout must be seconds, more than 0, or None, got 0"),
            ({"wait_max": -1}, "wait_max must be seconds, 0 or more, got -1"),
            ({"wait_jitter": "1"}, "wait_jitter must be"),
            ({"wait_exp_base": 0.5}, "wait_exp_base must be a number, 1 or more"),
            ({"wait_initial": float("nan")}, "wait_initial must be"),
            ({"budget": -1}, "budget must be"),
            ({"budget": "many"}, "budget must be"),
        ],
    )
    def test_a_bad_value_is_refused_with_the_rule(self, values: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidArgumentError, match=says):
            RetryPolicy(**values)

    def test_options_of_a_connection_are_checked(self) -> None:
        check_options(None, 0, "verify")
        for options, says in (
            ((3, 1.0, "verify"), "retry must be a flamepy.types.RetryPolicy"),
            ((None, -1, "verify"), "patience must be seconds"),
            ((None, True, "verify"), "patience must be seconds"),
            ((None, 1.0, "maybe"), "on_ambiguous must be"),
        ):
            with pytest.raises(InvalidArgumentError, match=says):
                check_options(*options)  # type: ignore[arg-type]  # on purpose


def test_counters_may_be_read_from_another_thread() -> None:
    made = retrier()
    ask(Script(LOST), made=made)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(made.counters.retries))
    thread.start()
    thread.join()
    assert seen == [1]
    assert made.counters.calls == 1
