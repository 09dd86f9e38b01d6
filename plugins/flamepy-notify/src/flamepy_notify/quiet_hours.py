"""Quiet hours: the minutes in which nothing is sent, by cron expressions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from flamepy.errors import InvalidArgumentError

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
LONGEST = timedelta(days=15)  # that one look goes ahead


class QuietHours:
    """The minutes that one of several cron expressions matches, on the clock of a time zone.

    ``"* 22-23,0-6 * * *"`` is every night from 22:00 to 7:00, ``"* * * * sat,sun"`` the weekend.

    Args:
        expressions: five fields each: minute, hour, day of the month, month, day of the week.
        timezone: an IANA name such as ``"Europe/Berlin"``.

    Raises:
        InvalidArgumentError: an expression or the time zone is not one, or every minute is quiet.
    """

    def __init__(self, expressions: Sequence[str], *, timezone: str = "UTC") -> None:
        self._zone = _zone(timezone)
        self._expressions = tuple(map(_checked, expressions))
        if self._expressions and all(map(self._matches, _samples(self._zone))):
            raise InvalidArgumentError(
                f"quiet_hours {list(expressions)} are always: nothing would ever be sent; name the "
                "hours too, as in '* 22-23,0-6 * * *'"
            )

    def end(self, moment: datetime) -> datetime | None:
        """Return when the quiet hours that contain a moment end; None if it is in none.

        At most 15 days later: ask again then.
        """
        minute = moment.astimezone(ZoneInfo("UTC")).replace(second=0, microsecond=0)
        at = minute
        while at - minute < LONGEST and self._matches(at):
            at += _MINUTE
        return None if at == minute else at

    def _matches(self, moment: datetime) -> bool:
        # The clock on the wall decides, so that a night is quiet whichever way the clocks change.
        wall = moment.astimezone(self._zone).replace(tzinfo=None, second=0, microsecond=0)
        return any(next(CronSim(one, wall - _SECOND), None) == wall for one in self._expressions)


def _samples(zone: ZoneInfo) -> Iterator[datetime]:
    """Yield a minute of each hour of a year, another one each time."""
    start = datetime(2024, 1, 1, tzinfo=zone)
    return (start + timedelta(minutes=67 * hour) for hour in range(8000))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidArgumentError(
            f"timezone {name!r} is not known here: give an IANA name such as 'Europe/Berlin' (the "
            "package tzdata has them where the system does not)"
        ) from None


def _checked(expression: str) -> str:
    try:
        if len(expression.split()) != 5:
            raise CronSimError("it has five fields")
        CronSim(expression, datetime(2024, 1, 1))
    except CronSimError as error:
        raise InvalidArgumentError(
            f"quiet_hours {expression!r} is not a cron expression ({error}): minute, hour, day of "
            "the month, month, day of the week, as in '* 22-23,0-6 * * *'"
        ) from None
    return expression
