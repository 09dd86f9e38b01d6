"""What watching may cost is checked where it is given."""

from __future__ import annotations

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.clocks import LONGEST
from flamepy.watching.policy.settings import WatchSettings


def test_one_interval_is_both_limits() -> None:
    assert WatchSettings().poll_limits == (0.1, 1.0)
    assert WatchSettings(poll_interval=2).poll_limits == (2, 2)
    assert WatchSettings(poll_interval=(0.5, 5.0)).poll_limits == (0.5, 5.0)
    assert WatchSettings(poll_interval=[0.5, 5.0]).poll_limits == (0.5, 5.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("poll_interval", bad) for bad in (0, -1.0, (2.0, 1.0), (1.0,), (1, 2, 3), "1", True)),
        *(("poll_interval", bad) for bad in (float("nan"), (0.1, None), None)),
        *(("poll_timeout", bad) for bad in (0, -1.0, "1", True, float("nan"))),
        *(("audit", bad) for bad in (0, -5, "x", None, float("nan"))),
        *(("calls_per_second", bad) for bad in (0, -1)),
        *(("bytes_per_second", bad) for bad in (0, -1)),
        *(("stall_after", bad) for bad in (0, -1)),
        *(("watch_budget", bad) for bad in (-1, 1.5, True)),
        *(("retain_terminal", bad) for bad in (-1, 0.5, None)),
        *(("payloads", bad) for bad in (1, None)),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        WatchSettings(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


def test_a_time_of_any_size_is_as_long_as_can_be_counted() -> None:
    made = WatchSettings(poll_interval=(1, float("inf")), poll_timeout=1e300, audit=10**400)
    assert made.poll_limits == (1.0, LONGEST)
    assert made.poll_timeout == made.audit == LONGEST
