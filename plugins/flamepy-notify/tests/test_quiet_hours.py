"""Quiet hours: which minutes are quiet, and when they end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from flamepy_notify.quiet_hours import QuietHours

from flamepy.errors import InvalidArgumentError

NIGHT = "* 22-23,0-6 * * *"
WEEKEND = "* * * * sat,sun"


def utc(*given: int) -> datetime:
    return datetime(*given, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]  # five numbers


def test_a_night_ends_in_the_morning() -> None:
    quiet = QuietHours([NIGHT])
    assert quiet.end(utc(2026, 3, 4, 21, 59)) is None
    assert quiet.end(utc(2026, 3, 4, 22, 0)) == utc(2026, 3, 5, 7, 0)
    assert quiet.end(utc(2026, 3, 5, 6, 59) + timedelta(seconds=59)) == utc(2026, 3, 5, 7, 0)
    assert quiet.end(utc(2026, 3, 5, 7, 0)) is None


def test_several_expressions_add_up() -> None:
    quiet = QuietHours([NIGHT, WEEKEND])
    friday_evening, monday = utc(2026, 3, 6, 22, 30), utc(2026, 3, 9, 7, 0)
    assert quiet.end(friday_evening) == monday


def test_they_are_of_a_time_zone_and_follow_its_clock() -> None:
    quiet = QuietHours([NIGHT], timezone="Europe/Berlin")
    assert quiet.end(utc(2026, 1, 10, 21, 0)) == utc(2026, 1, 11, 6, 0)
    # The clock goes from 2:00 to 3:00 on March 29, and from 3:00 to 2:00 on October 25.
    assert quiet.end(utc(2026, 3, 28, 21, 0)) == utc(2026, 3, 29, 5, 0)
    assert quiet.end(utc(2026, 10, 24, 20, 0)) == utc(2026, 10, 25, 6, 0)


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    elsewhere = datetime(2026, 3, 5, 3, 0, tzinfo=timezone(timedelta(hours=5)))
    assert QuietHours([NIGHT]).end(elsewhere) == utc(2026, 3, 5, 7, 0)


def test_none_is_never_quiet() -> None:
    assert QuietHours([]).end(utc(2026, 3, 4, 3, 0)) is None


def test_long_ones_are_asked_about_again() -> None:
    end = QuietHours(["* * * 12 *"]).end(utc(2026, 12, 1, 0, 0))
    assert end == utc(2026, 12, 16, 0, 0)


@pytest.mark.parametrize(
    "expression", ["", "x", "61 * * * *", "* * * *", "0 * 22 * * *", "* 25 * * *"]
)
def test_what_is_no_expression_is_named(expression: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a cron expression"):
        QuietHours([expression])


def test_hours_without_an_end_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="nothing would ever be sent"):
        QuietHours(["* 0-11 * * *", "* 12-23 * * *"])


def test_a_zone_that_is_none_is_refused() -> None:
    for name in ("Europe/Nowhere", "", "../etc/passwd"):
        with pytest.raises(InvalidArgumentError, match="timezone"):
            QuietHours([NIGHT], timezone=name)
