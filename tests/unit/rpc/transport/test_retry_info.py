"""What a server says about the next try: read in three forms, and ignored where it is garbage."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import UnavailableError
from flamepy.rpc.transport.retry_info import NEVER, retry_delay
from flamepy.rpc.transport.status import Call, from_rpc


def field(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def details(delay: Duration, kind: str = "google.rpc.RetryInfo") -> bytes:
    """Return a google.rpc.Status whose second detail is a RetryInfo."""
    info = AnyMessage(type_url=f"type.googleapis.com/{kind}")
    info.value = field(1, delay.SerializeToString())
    other = AnyMessage(type_url="type.googleapis.com/google.rpc.Help", value=b"\x0a\x00")
    parts = [field(3, one.SerializeToString()) for one in (other, info)]
    return b"\x08\x0e" + field(2, b"busy") + b"".join(parts)


def test_a_pushback_is_milliseconds_and_counts_first() -> None:
    assert retry_delay([("grpc-retry-pushback-ms", "250"), ("retry-after", "9")]) == 0.25
    assert retry_delay([("grpc-retry-pushback-ms", "0")]) == 0.0


@pytest.mark.parametrize("value", ["-1", "", "soon", "1.5"])
def test_a_negative_pushback_or_one_that_is_no_number_says_never(value: str) -> None:
    assert retry_delay([("grpc-retry-pushback-ms", value)]) == NEVER


def test_retry_info_is_seconds_and_nanoseconds_and_counts_before_retry_after() -> None:
    found = details(Duration(seconds=2, nanos=500_000_000))
    assert retry_delay([("grpc-status-details-bin", found), ("retry-after", "9")]) == 2.5
    assert retry_delay([("grpc-status-details-bin", details(Duration(seconds=-3)))]) == 0.0
    other = details(Duration(seconds=2), "google.rpc.DebugInfo")
    assert retry_delay([("grpc-status-details-bin", other), ("retry-after", "9")]) == 9.0


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_delay([("retry-after", "3")]) == 3.0
    later = format_datetime(datetime.now(timezone.utc) + timedelta(hours=10), usegmt=True)
    delay = retry_delay([("retry-after", later)])
    assert delay is not None
    assert 0.0 < delay <= 36_000.0
    assert retry_delay([("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]) == 0.0
    for garbage in ("soon", "-3", "", "1e3"):
        assert retry_delay([("retry-after", garbage)]) is None


def test_without_a_word_there_is_none() -> None:
    assert retry_delay([]) is None
    assert retry_delay([("x", "1"), ("grpc-status-details-bin", b"\x08\x0e")]) is None


@given(st.binary(max_size=60))
def test_details_that_are_garbage_never_raise(data: bytes) -> None:
    delay = retry_delay([("grpc-status-details-bin", data)])
    assert delay is None or delay >= 0.0


def test_the_error_of_a_refusal_has_it() -> None:
    def refusal(*trailers: tuple[str, str]) -> UnavailableError:
        refused = grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), "busy"
        )
        found = from_rpc(refused, Call("GetSession"))
        assert isinstance(found, UnavailableError)
        return found

    assert (refusal().retry_after, refusal().retryable) == (None, True)
    asked = refusal(("retry-after", "7"))
    assert (asked.retry_after, asked.retryable) == (7.0, True)
    never = refusal(("grpc-retry-pushback-ms", "-1"))
    assert (never.retry_after, never.retryable) == (math.inf, False)
