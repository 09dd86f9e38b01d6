"""A viewer that returns gets the changes that it missed, or all of it."""

from __future__ import annotations

import asyncio

import pytest

from flamepy.dashboard.channel import KEPT, LEAST, Channel, made


def published(channel: Channel, *documents: dict[str, object]) -> None:
    for document in documents:
        channel.publish(made(channel.document, document, 0.0), 0.0, 0.0)


def kinds(messages: bytes) -> list[str]:
    return [one[7:] for one in messages.decode().splitlines() if one.startswith("event: ")]


def test_the_first_gets_the_document_and_then_changes() -> None:
    channel = Channel("life", "overview", {})
    assert channel.since(-1) == b""
    published(channel, {"a": 1}, {"a": 2}, {"a": 2}, {"a": 3})
    assert channel.number == 3, "what is the same is no change"
    assert kinds(channel.since(-1)) == ["document"]
    assert kinds(channel.since(1)) == ["change", "change"]
    assert b"id: life.3\n" in channel.since(2)
    assert channel.since(3) == b""


def test_one_that_missed_too_much_gets_the_document() -> None:
    channel = Channel("life", "overview", {})
    published(channel, *({"a": number} for number in range(KEPT + 20)))
    assert kinds(channel.since(channel.number - KEPT)) == ["change"] * KEPT
    assert kinds(channel.since(channel.number - KEPT - 1)) == ["document"]
    assert kinds(channel.since(0)) == ["document"]


@pytest.mark.parametrize("last", ["", "other.2", "life", "life.x", "life.99", "life.-1"])
def test_a_number_of_another_process_means_nothing(last: str) -> None:
    channel = Channel("life", "overview", {})
    published(channel, {"a": 1}, {"a": 2})
    assert channel.number_of(last) == -1
    assert channel.number_of("life.2") == 2


def test_four_changes_a_second_at_most_and_fewer_where_they_cost_much() -> None:
    channel = Channel("life", "overview", {})
    channel.publish(made(None, {"a": 1}, 0.0), 10.0, 0.001)
    assert channel.due == 10.0 + LEAST
    channel.publish(made({"a": 1}, {"a": 2}, 0.5), 20.0, 0.5)
    assert channel.due == 24.0
    channel.publish(None, 30.0, 0.01)
    assert channel.due == pytest.approx(30.08)


def test_every_text_is_one_line_of_ascii() -> None:
    channel = Channel("life", "overview", {})
    published(channel, {"a": "line\nother\r\u2028 \ud800 \u202e ü"})
    message = channel.since(-1)
    message.decode("ascii")
    assert message.count(b"\n") == 4


def test_waiting_ends_with_news() -> None:
    async def play() -> None:
        channel = Channel("life", "overview", {})
        waits = asyncio.ensure_future(channel.wait(-1, 30.0))
        await asyncio.sleep(0)
        assert not waits.done()
        published(channel, {"a": 1})
        await waits
        await channel.wait(0, 30.0)
        failed = asyncio.ensure_future(channel.wait(1, 30.0))
        await asyncio.sleep(0)
        channel.fail("why", 0.0)
        await failed
        await channel.wait(1, 0.0)

    asyncio.run(play())
