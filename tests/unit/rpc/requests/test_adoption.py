"""What is remembered of sessions costs the same for each, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.steps import steps

from flamepy._proto import types_pb2
from flamepy.rpc.requests.adoption import SESSIONS, SINGLE, Claims, Reads
from flamepy.rpc.requests.create_task import Series
from flamepy.rpc.requests.frontend import Frontend
from flamepy.rpc.retry.call_limits import Terms
from flamepy.types import RetryPolicy, SessionInfo, SessionState, Task, TaskCounts, TaskState
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

    async def unary(self, name: str, request: Any, left: float, metadata: Any) -> Any:
        self.asked.append(name)
        return self.replies[name]

    either = unary


def frontend(**replies: Any) -> Frontend:
    calls: Any = Replies(**replies)
    return Frontend.of(calls, "http://there", RetryPolicy())


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
    ended = claims.begin("s3", b"")
    ended.ledger.end(ended)
    for number in range(SESSIONS, SESSIONS + 5):
        claims.saw(info(number))
    assert claims.knows("s0")
    assert claims.knows("s1"), "a task is being made in it"
    assert claims.knows("s3"), "a task was made in it a moment ago"
    assert not claims.knows("s2")
    assert not claims.knows("s4")
    assert kept.ledger is claims._ledgers["s1"]


def reads(tasks: dict[int, bytes], born: datetime = NOW) -> Reads:
    """Return how a session of these inputs is read."""

    def task(number: int) -> Task:
        return Task(str(number), "s1", TaskState.PENDING, born, input=tasks[number])

    async def get(number: int) -> Task | None:
        return task(number) if number in tasks else None

    async def total() -> int:
        return len(tasks)

    async def listed() -> AsyncIterator[Task]:
        for number in tasks:
            yield task(number)

    return Reads(get, total, listed)


class TestLosses:
    """An engine that lost its state gives the numbers of before to other tasks."""

    def test_answers_of_after_a_loss_may_come_in_any_order(self) -> None:
        """The first is above all that were known and shows no loss, the second one does."""
        claims = Claims()
        claims.saw(info(1, total=5))
        first, second, third = (claims.begin("s1", b"x") for _ in range(3))
        assert first.ledger.got(6, NOW + timedelta(seconds=60.1), first)
        assert second.ledger.got(3, NOW + timedelta(seconds=60.0), second)
        found = third.ledger.find(third, reads({3: b"x", 6: b"x"}, NOW + timedelta(seconds=60)))
        assert asyncio.run(found) is None, "both belong to others"
        first.ledger.give_up(first)
        found = third.ledger.find(third, reads({3: b"x", 6: b"x"}, NOW + timedelta(seconds=60)))
        assert asyncio.run(found) == 6, "the first one has it no more"

    def test_what_was_looked_at_before_it_is_looked_at_again(self) -> None:
        claims = Claims()
        claims.saw(info(1))
        first, second = claims.begin("s1", b"x"), claims.begin("s1", b"y")
        assert asyncio.run(first.ledger.find(first, reads({1: b"y"}))) is None
        claims.saw(replace(info(1), creation_time=NOW + timedelta(seconds=60)))
        later = reads({1: b"x"}, NOW + timedelta(seconds=60))
        assert asyncio.run(second.ledger.find(second, later)) is None, "it is another task now"
        assert asyncio.run(first.ledger.find(first, later)) == 1

    def test_who_was_answered_by_the_lost_session_may_look_in_the_new_one(self) -> None:
        claims = Claims()
        claims.saw(info(1))
        first, second = claims.begin("s1", b"x"), claims.begin("s1", b"x")
        assert first.ledger.got(1, NOW, first)
        claims.saw(replace(info(1), creation_time=NOW + timedelta(seconds=60)))
        later = reads({1: b"x"}, NOW + timedelta(seconds=60))
        assert asyncio.run(second.ledger.find(second, later)) == 1
        first.ledger.give_up(first)
        assert asyncio.run(first.ledger.find(first, later)) is None, "the second one has it"


def test_of_a_session_that_was_never_seen_any_task_may_be_the_one() -> None:
    one = Claims().begin("s1", b"x")
    assert one.floor == 0
    assert asyncio.run(one.ledger.find(one, reads({1: b"x"}))) == 1


def test_each_looks_from_the_number_that_it_knew() -> None:
    claims = Claims()
    claims.saw(info(1))
    older = claims.begin("s1", b"x")
    claims.saw(info(1, total=10))
    newer = claims.begin("s1", b"x")
    made = {number: b"y" for number in range(1, 11)} | {5: b"x"}
    assert asyncio.run(newer.ledger.find(newer, reads(made))) is None
    assert asyncio.run(older.ledger.find(older, reads(made))) == 5


@pytest.mark.parametrize("others", [0, SINGLE // 2, 50 * SINGLE])
def test_a_search_costs_a_list_at_most_and_none_where_few_are_unknown(others: int) -> None:
    claims = Claims()
    claims.saw(info(1))
    one = claims.begin("s1", b"x")
    made = {number: b"y" for number in range(1, others + 1)}
    engine, asked = reads(made), []
    get, listed = engine.get, engine.listed

    async def noted(number: int) -> Task | None:
        asked.append(number)
        return await get(number)

    async def all_of_them() -> AsyncIterator[Task]:
        asked.append("list")
        async for task in listed():
            yield task

    engine.get, engine.listed = noted, all_of_them
    assert asyncio.run(one.ledger.find(one, engine)) is None
    assert asked.count("list") == (others > SINGLE)
    assert len(asked) <= min(others, SINGLE) + 3
    asked.clear()
    assert asyncio.run(one.ledger.find(one, engine)) is None
    assert len(asked) <= 3, "what was read once is known"


def test_ids_that_are_no_numbers_are_left_out() -> None:
    claims = Claims()
    claims.saw(info(1))
    one = claims.begin("s1", b"x")
    engine = reads({1: b"a", 4: b"x"})
    listed = engine.listed

    async def with_names() -> AsyncIterator[Task]:
        yield Task("first", "s1", TaskState.PENDING, NOW, input=b"x")
        async for task in listed():
            yield task

    async def total() -> int:
        return 4

    engine.listed, engine.total = with_names, total
    assert asyncio.run(one.ledger.find(one, engine)) == 4


def test_what_an_ended_submission_got_is_remembered_while_others_may_look() -> None:
    """However many there were: the tasks above the lowest number that one may look from."""
    claims = Claims()
    claims.saw(info(1))
    looking = claims.begin("s1", b"x")
    ledger, number = looking.ledger, 500
    for one in range(1, number + 1):
        other = claims.begin("s1", b"x")
        assert ledger.got(one, NOW, other)
        ledger.end(other)
    made = {one: b"x" for one in range(1, number + 1)}
    assert asyncio.run(ledger.find(looking, reads(made))) is None
    made[number + 1] = b"x"
    assert asyncio.run(ledger.find(looking, reads(made))) == number + 1


@pytest.mark.parametrize("gap", [1, 2, 10])
def test_a_task_above_numbers_that_were_used_up_is_found(gap: int) -> None:
    """A number may be missing for good; the counters say whether there are more above it."""
    claims = Claims()
    claims.saw(info(1))
    one = claims.begin("s1", b"x")
    made = {1: b"a", 2 + gap: b"x"}
    engine = reads(made)

    async def total() -> int:  # the counters are ahead of a list for a moment
        return 2 + gap

    engine.total = total
    assert asyncio.run(one.ledger.find(one, engine)) == 2 + gap


def test_a_series_reads_its_session_again_when_its_numbers_were_forgotten() -> None:
    """Without them an older task of equal input would be taken for the one that was made."""
    made = types_pb2.Task(metadata=types_pb2.Metadata(id="8"))
    engine = frontend(GetSession=encode_session(info(1, total=7)), CreateTask=made)
    calls: Any = engine.transport.calls
    terms = Terms(RetryPolicy(), 0.0)

    async def act() -> None:
        series = Series(engine, "s1", terms, None, "verify")
        await series.begin()
        engine.claims.forget("s1")
        await series.create(b"x")
        await series.create(b"x")

    asyncio.run(act())
    assert calls.asked == ["GetSession", "GetSession", "CreateTask", "CreateTask"]
