"""What a server says about when a call may be made again, in the trailers of its refusal. Pure.

Three forms, the first that is there counts: gRPC's ``grpc-retry-pushback-ms``, ``RetryInfo`` of
``google.rpc`` in ``grpc-status-details-bin``, and ``retry-after`` as of HTTP. What cannot be read
is left out, but for a pushback: there it means, as a negative one, that the call is not repeated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timezone
from email.utils import parsedate_to_datetime

from flamepy.runtime.clocks import LONGEST, wall
from flamepy.wire.fields import fields

PUSHBACK, DETAILS, RETRY_AFTER = "grpc-retry-pushback-ms", "grpc-status-details-bin", "retry-after"
NEVER = math.inf
_WHOLE = re.compile(r"\d{1,18}")
_TYPE = b"google.rpc.RetryInfo"
# Numbers of fields: of google.rpc.Status, of google.protobuf.Any, of RetryInfo, of Duration.
_DETAIL, _TYPE_URL, _VALUE, _RETRY_DELAY, _SECONDS, _NANOS = 3, 1, 2, 1, 1, 2


def retry_delay(trailers: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Return the seconds that a server asks to wait; ``NEVER``: it asks not to try again.

    Args:
        trailers: the trailing metadata of a refusal.

    Returns:
        None if it does not say.
    """
    found: dict[str, str | bytes] = {key: value for key, value in trailers}
    if PUSHBACK in found:
        return _pushback(found[PUSHBACK])
    details = found.get(DETAILS)
    delay = _retry_info(details) if isinstance(details, bytes) else None
    return _retry_after(found.get(RETRY_AFTER)) if delay is None else delay


def _pushback(value: str | bytes) -> float:
    if not isinstance(value, str) or _WHOLE.fullmatch(value.strip()) is None:
        return NEVER  # negative, or not a number: gRPC's rule
    return min(int(value) / 1000, LONGEST)


def _retry_after(value: str | bytes | None) -> float | None:
    if not isinstance(value, str):
        return None
    if _WHOLE.fullmatch(value.strip()) is not None:
        return min(float(value), LONGEST)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return min(max(0.0, moment.timestamp() - wall()), LONGEST)


def _retry_info(details: bytes) -> float | None:
    try:
        for number, detail in fields(details):
            if number == _DETAIL and isinstance(detail, bytes):
                parts = dict(fields(detail))
                url, value = parts.get(_TYPE_URL), parts.get(_VALUE, b"")
                if isinstance(url, bytes) and url.rpartition(b"/")[2] == _TYPE:
                    return _duration(value)
    except ValueError:
        return None
    return None


def _duration(info: int | bytes) -> float | None:
    if not isinstance(info, bytes):
        return None
    delay = dict(fields(info)).get(_RETRY_DELAY)
    if not isinstance(delay, bytes):
        return None
    parts = dict(fields(delay))
    whole, nanos = parts.get(_SECONDS, 0), parts.get(_NANOS, 0)
    if not isinstance(whole, int) or not isinstance(nanos, int):
        return None
    if whole >= 1 << 63 or nanos >= 1 << 63:  # negative: at once
        return 0.0
    return min(whole + nanos / 1e9, LONGEST)
