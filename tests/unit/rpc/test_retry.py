"""Which call is repeated after what, as the table says; time comes from the loop."""

from __future__ import annotations

import asyncio

import pytest

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    SessionBusyError,
    SessionNotFoundError,
    UnavailableError,
)
from flamepy.rpc.retry import REPEATABLE, RetryDetails, repeat
from flamepy.types import RetryPolicy

QUICK = RetryPolicy(attempts=4, wait_initial=0.001, wait_max=0.002, wait_jitter=0.0)


class Calls:
    """Fails as told, then answers."""

    def __init__(self, *errors: FlameError) -> None:
        self.errors = list(errors)
        self.made = 0

    async def __call__(self, left: float) -> str:
        assert left > 0
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def away() -> UnavailableError:
    return UnavailableError("away")


def ask(name: str, calls: Calls, *, policy: RetryPolicy = QUICK, limit: float = 10.0) -> str:
    return asyncio.run(repeat(name, policy, limit, calls))


@pytest.mark.parametrize("name", sorted(REPEATABLE))
def test_reads_and_idempotent_calls_ride_out_an_outage(name: str) -> None:
    calls = Calls(away(), away())
    assert ask(name, calls) == "answer"
    assert calls.made == 3


@pytest.mark.parametrize(
    "name",
    ["CreateTask", "CreateSession", "DeleteSession", "RegisterApplication", "UpdateApplication"],
)
def test_a_write_is_never_repeated_blindly(name: str) -> None:
    calls = Calls(away())
    with pytest.raises(UnavailableError):
        ask(name, calls)
    assert calls.made == 1


@pytest.mark.parametrize(
    "error", [SessionNotFoundError("x"), SessionBusyError("x"), DeadlineExceededError("x")]
)
def test_an_answer_is_an_answer(error: FlameError) -> None:
    calls = Calls(error)
    with pytest.raises(type(error)):
        ask("GetSession", calls)
    assert calls.made == 1


def test_the_policy_ends_it_and_the_error_says_how_often() -> None:
    calls = Calls(*(away() for _ in range(9)))
    with pytest.raises(UnavailableError) as caught:
        ask("GetSession", calls)
    assert calls.made == caught.value.attempts == 4
    assert caught.value.elapsed > 0


def test_each_further_try_is_told_before_the_wait_for_it() -> None:
    errors = [away(), away()]
    calls, told = Calls(*errors), list[RetryDetails]()
    asyncio.run(repeat("GetSession", QUICK, 10.0, calls, told.append))
    assert [(one.call, one.attempt) for one in told] == [("GetSession", 1), ("GetSession", 2)]
    assert [one.error for one in told] == errors
    assert all(0 < one.delay <= 0.002 for one in told)
    told.clear()
    with pytest.raises(UnavailableError):
        asyncio.run(repeat("CreateTask", QUICK, 10.0, Calls(away()), told.append))
    assert told == []


def test_the_calls_own_time_ends_it() -> None:
    calls = Calls(*(away() for _ in range(99)))
    patient = RetryPolicy(attempts=99, wait_initial=0.05, wait_jitter=0.0)
    with pytest.raises(UnavailableError):
        ask("GetSession", calls, policy=patient, limit=0.2)
    assert 1 <= calls.made < 10


def test_a_cancelled_wait_ends_at_once() -> None:
    async def go() -> int:
        calls = Calls(*(away() for _ in range(99)))
        slow = RetryPolicy(attempts=99, wait_initial=60.0, wait_max=60.0)
        job = asyncio.create_task(repeat("GetSession", slow, 600.0, calls))
        await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        return calls.made

    assert asyncio.run(go()) == 1
