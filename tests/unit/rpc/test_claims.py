"""What is remembered of sessions costs the same for each, however many there are."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest
from support.steps import steps

from flamepy._proto import types_pb2
from flamepy.rpc.claims import SESSIONS, Claims
from flamepy.rpc.creating import Series
from flamepy.rpc.frontend import Frontend
from flamepy.rpc.terms import Terms
from flamepy.types import RetryPolicy, SessionInfo, SessionState, TaskCounts
from flamepy.wire.sessions import encode_session

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MANY = (1_000, SESSIONS - 1, SESSIONS + 1, 20_000)


def info(number: int, total: int = 0) -> SessionInfo:
    return SessionInfo(f"s{number}", "app", SessionState.OPEN, NOW, TaskCounts(succeed=total))


class Replies:
    """Stands for ``Calls``: each call is answered with what is given for its name."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies
        self.asked: list[str] = []

    async def unary(self, name: str, request: Any, left: float, **rest: Any) -> Any:
        self.asked.append(name)
        return self.replies[name]

    whole = unary


def frontend(**replies: Any) -> Frontend:
    calls: Any = Replies(**replies)
    return Frontend(calls, "http://there", RetryPolicy())


def test_a_list_of_sessions_costs_the_same_for_each_however_many_there_are() -> None:
    costs = []
    for number in MANY:
        sessions = [encode_session(info(one)) for one in range(number)]
        made = frontend(ListSession=types_pb2.SessionList(sessions=sessions))
        asyncio.run(made.list_sessions())
        costs.append(steps(lambda: asyncio.run(made.list_sessions())) / number)  # noqa: B023  # now
    assert max(costs) < 1.1 * min(costs), costs


def test_a_list_makes_no_ledgers_and_keeps_those_that_there_are_true() -> None:
    claims = Claims()
    claims.saw(info(1))
    claims.listed([info(1, total=7), info(2, total=9)])
    assert claims.begin("s1", b"").floor == 7
    assert not claims.knows("s2")


@pytest.mark.parametrize("busy", [False, True])
def test_sessions_that_are_read_one_by_one_cost_the_same_above_the_bound(busy: bool) -> None:
    claims, costs, active = Claims(), [], []
    for first in range(0, 3 * SESSIONS, SESSIONS):
        infos = [info(first + one) for one in range(SESSIONS)]
        if busy:  # in each of them a task is being made, so that none can be forgotten

            def act() -> None:
                for one in infos:  # noqa: B023  # called now
                    claims.saw(one)
                    active.append(claims.begin(one.id, b""))
        else:

            def act() -> None:
                for one in infos:  # noqa: B023  # called now
                    claims.saw(one)

        costs.append(steps(act) / SESSIONS)
    assert max(costs) < 5 * min(costs), costs  # so many more at each addition, at any size
    assert costs[2] < 1.1 * costs[1], costs
    assert len(claims._ledgers) == (3 * SESSIONS if busy else SESSIONS)


def test_the_sessions_that_were_used_last_are_remembered() -> None:
    claims = Claims()
    for number in range(SESSIONS):
        claims.saw(info(number))
    claims.saw(info(0))
    kept = claims.begin("s1", b"")
    for number in range(SESSIONS, SESSIONS + 5):
        claims.saw(info(number))
    assert claims.knows("s0")
    assert claims.knows("s1"), "a task is being made in it"
    assert not claims.knows("s2")
    assert kept.ledger is claims._ledgers["s1"]


def test_a_series_reads_its_session_again_when_its_numbers_were_forgotten() -> None:
    """Without them an older task of equal input would be taken for the one that was made."""
    made = types_pb2.Task(metadata=types_pb2.Metadata(id="8"))
    engine = frontend(GetSession=encode_session(info(1, total=7)), CreateTask=made)
    calls: Any = engine.calls
    terms = Terms(RetryPolicy(), 0.0)

    async def act() -> None:
        series = Series(engine, "s1", terms, None, "verify")
        await series.begin()
        engine.claims.forget("s1")
        await series.create(b"x")
        await series.create(b"x")

    asyncio.run(act())
    assert calls.asked == ["GetSession", "GetSession", "CreateTask", "CreateTask"]
