"""What has become of inputs is handed on at once where few wait, together where many do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.loops import run

from flamepy.aio.pump import MANY, Pump
from flamepy.aio.result_order import Result
from flamepy.errors import InvalidArgumentError

TURNS = 200


class Endless:
    """A series whose creations are never answered."""

    async def create(self, payload: bytes) -> None:
        await asyncio.Event().wait()


async def deliveries(under_way: int) -> list[list[Result]]:
    """Hand on a result in each turn of the loop beside so many creations."""
    delivered: list[list[Result]] = []
    endless: Any = Endless()
    nothing: Any = None
    pump = Pump(nothing, "s", endless, ordered=True, deliver=delivered.append)
    pump.submit([(TURNS + number, b"") for number in range(under_way)])
    for place in range(TURNS):
        pump.submit([(place, InvalidArgumentError("no"))])
        await asyncio.sleep(0)
    while sum(map(len, delivered)) < TURNS:
        await asyncio.sleep(0)
    for worker in pump._workers:
        worker.cancel()
    await asyncio.gather(*pump._workers, return_exceptions=True)
    return [turn for turn in delivered if turn[0].place < TURNS]


@pytest.mark.parametrize(("under_way", "together"), [(MANY, False), (60 * MANY, True)])
def test_many_are_handed_on_together(under_way: int, together: bool) -> None:
    turns = run(deliveries(under_way))
    assert [one.place for turn in turns for one in turn] == list(range(TURNS))
    assert (len(turns) < TURNS / 2) is together
