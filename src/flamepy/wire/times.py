"""Times of the wire: milliseconds since the epoch, as aware UTC datetimes.

Engines on sqlite and fs store whole seconds (docs/protocol.md#time), so a time may precede the
caller's own clock by up to a second; nothing in flamepy orders by it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SAME = timedelta(seconds=1.5)
_LIMIT = 253_402_300_799_999  # 9999-12-31, the last that datetime holds


@lru_cache(maxsize=1024)  # tasks of one moment share it: engines store whole seconds
def from_millis(millis: int) -> datetime:
    """Return ``millis`` as an aware UTC datetime; what datetime cannot hold is clamped."""
    return _EPOCH + timedelta(milliseconds=max(-62_135_596_800_000, min(millis, _LIMIT)))


def to_millis(moment: datetime) -> int:
    """Return whole milliseconds since the epoch (the inverse of ``from_millis``)."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def is_same_moment(one: datetime, other: datetime) -> bool:
    """Return True if two creation times may be of one object: a restart may round them."""
    return abs(one - other) <= SAME
