"""What each answer means is what the Standard Webhooks specification says."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from flamepy_webhook.replies import (
    LONGEST_PAUSE,
    Reply,
    Verdict,
    describe,
    judge,
    may_be_one_of_many,
    pause_of,
)

NOW = 1_800_000_000.0
THROTTLING = {429, 502, 503, 504}


@pytest.mark.parametrize("status", range(200, 300))
def test_2xx_is_sent(status: int) -> None:
    assert judge(Reply(status)) is Verdict.SENT


@pytest.mark.parametrize("status", [*range(300, 410), *range(411, 600)])
def test_everything_else_is_a_failure_to_be_repeated(status: int) -> None:
    expected = Verdict.THROTTLE if status in THROTTLING else Verdict.RETRY
    assert judge(Reply(status)) is expected
    assert str(status) in describe(Reply(status))


def test_410_is_the_end() -> None:
    assert judge(Reply(410)) is Verdict.GONE


def test_a_redirect_says_what_to_do() -> None:
    assert "set url" in describe(Reply(308))


@pytest.mark.parametrize("status", [500, 403, 301])
def test_retry_after_asks_every_event_to_wait(status: int) -> None:
    assert judge(Reply(status, {"retry-after": "3"})) is Verdict.THROTTLE


def test_only_answers_about_the_body_may_be_about_one_of_many_events() -> None:
    assert [s for s in range(300, 600) if may_be_one_of_many(Reply(s))] == [400, 413, 422]


def pause(text: str, date: str | None = None) -> float | None:
    fields = {"retry-after": text}
    return pause_of(Reply(503, fields if date is None else {**fields, "date": date}), NOW)


def test_retry_after_in_seconds() -> None:
    assert (pause("0"), pause(" 17 ")) == (0.0, 17.0)


def test_retry_after_as_a_date() -> None:
    assert pause(formatdate(NOW + 90, usegmt=True)) == 90.0
    assert pause(formatdate(NOW - 90, usegmt=True)) == 0.0


def test_a_date_is_read_by_the_clock_of_the_receiver() -> None:
    wrong = NOW - 5_000
    assert pause(formatdate(wrong + 90, usegmt=True), formatdate(wrong, usegmt=True)) == 90.0


def test_a_pause_is_a_day_at_most() -> None:
    assert pause("99999999999999999999") == LONGEST_PAUSE
    assert pause(formatdate(NOW + 10**8, usegmt=True)) == LONGEST_PAUSE


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "Wed, 99 Foo 2026", "²", "nan", "inf"])
def test_what_is_no_retry_after_is_none(text: str) -> None:
    assert pause(text) is None


def test_none_is_none() -> None:
    assert pause_of(Reply(503), NOW) is None
