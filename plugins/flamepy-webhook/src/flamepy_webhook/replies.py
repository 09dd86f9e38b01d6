"""What a receiver's answer means, by the Standard Webhooks specification. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from enum import Enum

LONGEST_PAUSE = 86_400.0  # seconds; a Retry-After that asks for more is not obeyed longer
_THROTTLED = frozenset({429, 502, 503, 504})
_TOO_MUCH_OR_WRONG = frozenset({400, 413, 422})


class Verdict(Enum):
    """What to do after an answer."""

    SENT = "sent"
    RETRY = "retry"  # this request later
    THROTTLE = "throttle"  # this request later, and nothing else now
    GONE = "gone"  # nothing ever again


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status, and header fields by lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def judge(reply: Reply) -> Verdict:
    """Return what an answer means.

    Every status but 2xx is a failure to be repeated: a redirect is not followed, and an error of
    the receiver's configuration (401, 404) is mended sooner or later.
    """
    if 200 <= reply.status < 300:
        return Verdict.SENT
    if reply.status == 410:
        return Verdict.GONE
    if reply.status in _THROTTLED or "retry-after" in reply.headers:
        return Verdict.THROTTLE
    return Verdict.RETRY


def may_be_one_of_many(reply: Reply) -> bool:
    """Return whether a batch was refused for its size, or for one event in it."""
    return reply.status in _TOO_MUCH_OR_WRONG


def describe(reply: Reply) -> str:
    """Return an error text; nothing that the receiver wrote is in it, as it may echo secrets."""
    if 300 <= reply.status < 400:
        return (
            f"the receiver answered {reply.status}; redirects are not followed: "
            "set url to where the receiver is now"
        )
    return f"the receiver answered {reply.status}"


def pause_of(reply: Reply, now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks to wait; None without a usable one.

    Args:
        reply: the answer; a date is read by the receiver's clock, if it sent ``Date``.
        now: seconds since the epoch.
    """
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal() and text.isascii():
        return min(float(text[:12]), LONGEST_PAUSE)
    until = _date(text)
    if until is None:
        return None
    sent = _date(reply.headers.get("date", ""))
    return min(max(until - (now if sent is None else sent), 0.0), LONGEST_PAUSE)


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # "-0000": a date in UTC of unknown origin
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = moment.timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return seconds if math.isfinite(seconds) else None
