"""What one call that has failed may still cost, decided from given times: no loop, no clock."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tenacity import RetryCallState

from flamepy.errors import (
    AlreadyExistsError,
    AmbiguousResultError,
    ApplicationNotFoundError,
    FlameError,
    NotFoundError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retry_state import LATE, MARGIN, Counters, RetryState
from flamepy.types import RetryDetails, RetryPolicy

POLICY = RetryPolicy(
    attempts=4, wait_initial=0.5, wait_exp_base=2.0, wait_max=3.0, wait_jitter=0.0, timeout=10.0
)
START = 1000.0


@dataclass
class Tokens:
    """A budget that gives as many repeats as it is told, and notes what it was asked for."""

    left: int = 1000
    asked: list[tuple[float, bool]] = field(default_factory=list)

    def take(self, now: float, *, lost: bool) -> bool:
        self.asked.append((now, lost))
        self.left -= 1
        return self.left >= 0


@dataclass
class Connection:
    """What a call's connection knows of its engine."""

    patient: float = 60.0
    budget: Any = field(default_factory=Tokens)
    counters: Counters = field(default_factory=Counters)
    ever: bool = False
    way_out: str = "; start one"
    back_at: float = float("-inf")
    told: list[RetryDetails] = field(default_factory=list)

    def scheduled(self, details: RetryDetails) -> None:
        self.told.append(details)

    def patience(self, terms: Terms) -> float:
        return self.patient

    def rest(self, waits: int) -> float:
        return 1.0 + waits


class Call:
    """One call that fails: ``RetryState`` asked as tenacity asks it."""

    def __init__(
        self, name: str = "GetTask", *, timeout: float | None = None, policy: RetryPolicy = POLICY
    ) -> None:
        self.connection = Connection()
        self.time = START
        terms = Terms(policy, 60.0, timeout, default=30.0)
        self.retry_state = RetryState(
            self.connection, name, terms, now=lambda: self.time, start=START
        )

    def fail(self, failure: Failure | FlameError, takes: float = 0.0) -> FlameError:
        """Let a try fail after so many seconds."""
        error = failure if isinstance(failure, FlameError) else failed(failure)
        began, self.time = self.time, self.time + takes
        self.retry_state.note(error, began)
        self.error = error
        return error

    def next(self) -> float | None:
        """Return the seconds until the next try, waited for already; None for no other one."""
        state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # asked of nothing else
        ended: Future[Any] = Future()
        ended.set_exception(self.error)
        state.outcome = ended  # type: ignore[assignment]  # tenacity's own is a subclass
        retry_state = self.retry_state
        if not retry_state.may_repeat(self.error):
            return None
        state.upcoming_sleep = retry_state.wait(state)
        if retry_state.is_over(state):
            return None
        retry_state.report(state)
        self.time += state.upcoming_sleep
        if retry_state.is_waiting():
            retry_state.spend(state.upcoming_sleep)
        return state.upcoming_sleep


def failed(failure: Failure) -> FlameError:
    error = UnavailableError("away")
    error.failure = failure.value
    return error


class TestTries:
    def test_waits_double_up_to_their_limit_and_tries_up_to_theirs(self) -> None:
        call = Call(policy=replace(POLICY, attempts=6, timeout=None))
        waits = []
        call.fail(Failure.LOST)
        while (wait := call.next()) is not None:
            waits.append(wait)
            call.fail(Failure.LOST)
        assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]
        assert call.connection.counters.retries == 5
        assert [one.attempt for one in call.connection.told] == [1, 2, 3, 4, 5]
        assert [one.delay for one in call.connection.told] == waits
        assert {one.call for one in call.connection.told} == {"GetTask"}

    def test_the_policys_time_is_that_of_the_tries_and_their_waits(self) -> None:
        call = Call()
        call.fail(Failure.LOST, takes=9.4)
        assert call.next() == 0.5
        call = Call()
        call.fail(Failure.LOST, takes=9.5)
        assert call.next() is None, "the wait would use it up"

    def test_waiting_for_the_engine_costs_none_of_it(self) -> None:
        call = Call()
        for wait in (1.0, 2.0, 3.0, 4.0):
            call.fail(Failure.NOT_SENT, takes=0.5)
            assert call.next() == wait
        call.fail(Failure.LOST, takes=9.0)  # 12 seconds after it began
        assert call.next() == 0.5
        assert call.connection.counters.waits == 4
        assert call.connection.counters.retries == 1
        assert len(call.connection.budget.asked) == 1, "waiting takes nothing of the budget"

    def test_the_time_of_the_call_bounds_everything(self) -> None:
        call = Call(timeout=2.0)
        assert call.retry_state.left() == 2.0
        call.fail(Failure.LOST, takes=1.4)
        assert call.retry_state.left() == pytest.approx(0.6)
        assert call.next() == 0.5
        call.fail(Failure.LOST)
        assert call.next() is None

    def test_internal_errors_are_repeated_twice_at_most(self) -> None:
        call = Call()
        for wait in (0.5, 1.0):
            call.fail(Failure.INTERNAL)
            assert call.next() == wait
        call.fail(Failure.INTERNAL)
        assert call.next() is None

    @pytest.mark.parametrize("error", [ValueError("mine"), FlameError(3, "no table has it")])  # type: ignore[arg-type]  # any code
    def test_other_errors_are_not_repeated(self, error: BaseException) -> None:
        call = Call()
        call.fail(Failure.LOST)
        assert call.retry_state.may_repeat(error) is False


class TestPatience:
    def test_it_ends_an_outage_that_lasts_and_begins_anew_with_the_next_one(self) -> None:
        call = Call(timeout=100.0)
        call.connection.patient = 10.0
        waits = []
        for _ in range(4):
            call.fail(Failure.NOT_SENT)
            waits.append(call.next())
        assert waits == [1.0, 2.0, 3.0, 4.0]
        call.fail(Failure.NOT_SENT)
        assert call.next() is None, "ten seconds are over"
        call = Call(timeout=100.0)
        call.connection.patient = 10.0
        for _ in range(3):
            call.fail(Failure.NOT_SENT)
            call.next()
        call.fail(Failure.LOST)  # it was answered, in a way
        assert call.next() == 0.5
        for wait in (1.0, 2.0, 3.0, 4.0):
            call.fail(Failure.NOT_SENT)
            assert call.next() == wait

    def test_the_last_wait_is_what_is_left_of_it(self) -> None:
        call = Call()
        call.connection.patient = 4.5
        call.fail(Failure.NOT_SENT)
        assert call.next() == 1.0
        call.fail(Failure.NOT_SENT)
        assert call.next() == 2.0
        call.fail(Failure.NOT_SENT)
        assert call.next() == 1.5
        call.fail(Failure.NOT_SENT)
        assert call.next() is None

    def test_a_wait_leaves_a_moment_for_the_last_try(self) -> None:
        call = Call(timeout=1.5)
        call.fail(Failure.NOT_SENT)
        assert call.next() == 1.0
        call.fail(Failure.NOT_SENT)
        assert call.next() == pytest.approx(0.5 - MARGIN)
        call.fail(Failure.NOT_SENT)
        assert call.next() is None

    def test_without_it_an_engine_that_is_away_costs_a_try(self) -> None:
        call = Call()
        call.connection.patient = 0.0
        for wait in (0.5, 1.0, 2.0):
            call.fail(Failure.NOT_SENT)
            assert not call.retry_state.is_waiting()
            assert call.next() == wait
        call.fail(Failure.NOT_SENT)
        assert call.next() is None
        assert call.connection.counters.waits == 0


class TestBudget:
    def test_a_connection_that_has_none_left_does_not_repeat_and_says_so(self) -> None:
        call = Call()
        call.connection.budget.left = 1
        call.fail(Failure.LOST)
        assert call.next() == 0.5
        error = call.fail(Failure.UNAVAILABLE)
        assert call.next() is None
        assert "retry budget is used up" in error.message
        assert call.connection.counters.refused_retries == 1
        assert call.connection.budget.asked == [(START, True), (START + 0.5, False)]

    def test_a_policy_without_one_is_not_asked(self) -> None:
        call = Call(policy=replace(POLICY, budget=False))
        call.connection.budget.left = 0
        call.fail(Failure.LOST)
        assert call.next() == 0.5
        assert call.connection.budget.asked == []


class TestDoubts:
    def test_a_write_of_unknown_fate_is_looked_up_while_there_is_time(self) -> None:
        call = Call("DeleteSession", timeout=2.0)
        error = call.fail(Failure.LOST, takes=1.9)
        assert call.retry_state.unknown is error
        assert call.retry_state.may_look(error)
        assert not call.retry_state.may_look(failed(Failure.LOST)), "another one"
        call.time += 0.2
        assert not call.retry_state.may_look(error)

    def test_a_read_leaves_no_doubt_and_neither_does_what_was_not_sent(self) -> None:
        for name, failure in (("GetTask", Failure.LOST), ("DeleteSession", Failure.NOT_SENT)):
            call = Call(name)
            error = call.fail(failure)
            assert call.retry_state.unknown is None
            assert not call.retry_state.may_look(error)

    @pytest.mark.parametrize(
        ("name", "refusal", "late"),
        [
            ("RegisterApplication", AlreadyExistsError("x"), True),
            ("DeleteSession", NotFoundError("x"), True),
            ("UnregisterApplication", ApplicationNotFoundError("x"), True),
            ("CreateTask", NotFoundError("x"), False),
            ("DeleteSession", UnavailableError("x"), False),
        ],
    )
    def test_a_refusal_of_what_was_sent_again_may_mean_that_the_first_one_came_late(
        self, name: str, refusal: FlameError, late: bool
    ) -> None:
        call = Call(name)
        call.fail(Failure.LOST)
        assert not call.retry_state.was_late(refusal), "it was not sent again yet"
        call.retry_state.send_again()
        assert call.retry_state.unknown is None
        assert call.connection.counters.sent_again == 1
        assert call.retry_state.was_late(refusal) is late

    def test_what_could_not_be_read_is_named_beside_the_doubt(self) -> None:
        call = Call("DeleteSession")
        error = UnavailableError("the first", grpc_code="UNAVAILABLE")
        made = call.retry_state.ambiguous_error(error, UnavailableError("the second"))
        assert isinstance(made, AmbiguousResultError)
        assert made.grpc_code == "UNAVAILABLE"
        for text in ("DeleteSession may or may not have happened", "the first", "the second"):
            assert text in made.message

    @pytest.mark.parametrize(("since", "late"), [(LATE - 0.1, True), (LATE, False)])
    def test_an_engine_that_has_just_come_back_may_not_know_its_applications_yet(
        self, since: float, late: bool
    ) -> None:
        call = Call("GetApplication")
        call.connection.back_at = START - since
        error = call.fail(ApplicationNotFoundError("x"))
        assert (error.failure == Failure.LATE.value) is late
        assert (call.next() == 0.5) is late
        call = Call("GetSession")
        call.connection.back_at = START - since
        assert call.fail(TaskNotFoundError("x")).failure != Failure.LATE.value


@pytest.mark.parametrize("ever", [False, True])
def test_only_an_engine_that_never_answered_is_one_to_start(ever: bool) -> None:
    call = Call()
    call.connection.ever = ever
    error = call.fail(Failure.NOT_SENT)
    call.retry_state.sum_up(error)
    assert error.message.endswith(call.connection.way_out) is not ever


def test_the_error_says_how_often_and_how_long_it_was_tried() -> None:
    call = Call()
    call.fail(Failure.LOST, takes=0.5)
    call.next()
    error = call.fail(Failure.LOST, takes=1.0)
    call.retry_state.sum_up(error)
    assert (error.attempts, error.elapsed) == (2, 2.0)
    call = Call()
    error = call.fail(Failure.NOT_SENT)
    call.retry_state.sum_up(error)
    assert error.attempts == 1, "it was tried, although waiting costs none"
