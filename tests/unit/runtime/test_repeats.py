"""A line that comes again and again is written once, then counted."""

from __future__ import annotations

import logging

import pytest

from flamepy.runtime.repeats import KINDS, RepeatedLog, kind_of
from flamepy.testing import FakeClock

LOGGER = logging.getLogger("flamepy.tests.repeats")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> RepeatedLog:
    return RepeatedLog(LOGGER, every=60.0, clock=clock)


def _raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_further_attributes_are_in_each_line(
    log: RepeatedLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        log.log(logging.WARNING, "kind", "it happened", extra={"task": number})
        clock.advance(40.0)
    assert [vars(one)["task"] for one in caplog.records] == [0, 2]


def test_the_first_is_whole_and_the_next_hundred_thousand_are_counted(
    log: RepeatedLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100_000):
        error = _raised(str(number))
        log.log(logging.ERROR, kind_of(error), "it raised: %r", error, error=error)
        clock.advance(2.0**-10)  # exact in floats
    assert [one.message for one in caplog.records] == [
        "it raised: ValueError('0')",
        "it raised: ValueError('61440') (61440 times in the last 60 s; this is the last one)",
    ]
    assert all(one.exc_info for one in caplog.records)
    log.flush(everything=True)
    assert "(38559 times in the last 38 s" in caplog.records[-1].message


def test_what_is_new_is_said_at_once(log: RepeatedLog, caplog: pytest.LogCaptureFixture) -> None:
    log.log(logging.WARNING, "a", "the first")
    log.log(logging.WARNING, "a", "the first")
    log.log(logging.WARNING, "b", "the second")
    assert [one.message for one in caplog.records] == ["the first", "the second"]


def test_what_stopped_to_come_is_told_when_it_is_due(
    log: RepeatedLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        log.log(logging.WARNING, "a", "lost")
    log.flush()
    assert len(caplog.records) == 1
    clock.advance(61)
    log.flush()
    log.flush()
    assert [one.message for one in caplog.records[1:]] == [
        "lost (2 times in the last 61 s; this is the last one)"
    ]


def test_kinds_are_bounded_and_none_is_left_uncounted(
    log: RepeatedLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.log(logging.WARNING, "first", "first")
    log.log(logging.WARNING, "first", "first")
    for number in range(KINDS):
        log.log(logging.WARNING, number, "%d", number)
    assert "first (1 times in the last 0 s; this is the last one)" in caplog.messages
    assert len(log._kinds) == KINDS


def test_errors_of_one_line_are_of_one_kind() -> None:
    assert kind_of(_raised("a")) == kind_of(_raised("b"))
    assert kind_of(_raised("a")) != kind_of(ValueError("a"))
